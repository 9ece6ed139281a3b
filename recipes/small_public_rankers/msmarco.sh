#!/usr/bin/env bash
# Cross-encoders like the small public ones on MS MARCO (MiniLM and TinyBERT with 2 to 12 layers), by squared error of raw
# logits, one pair at a time. Runs on your own copy of MS MARCO passages; on a GPU.
#
#   MSMARCO=data/msmarco TRAIN_RUN=data/bm25.train.trec DEV_RUN=data/bm25.dev.trec bash recipes/small_public_rankers/msmarco.sh
#
# MSMARCO, TRAIN_RUN and DEV_RUN are those of recipes/bert_rankers/msmarco.sh. TEACHER is any ranker with one logit or
# two; the public models learned from scores of an ensemble that this does not rebuild. The teacher's logits are read as
# they are: a teacher squashed by a sigmoid gives other, flatter students. Students start from public checkpoints that
# were distilled from language models; a student of k layers of MiniLM-L12 is one with START="--copy-layers ...".
set -euo pipefail
: "${MSMARCO:?is the folder of MS MARCO}" "${TRAIN_RUN:?is a run of the train queries}" "${DEV_RUN:?is a run of the dev queries}"
OUT=${OUT:-runs/msmarco} RESULTS=${RESULTS:-results/small_public_rankers} SEED=${SEED:-42} PRECISION=${PRECISION:-bf16}
TEACHER=${TEACHER:-cross-encoder/ms-marco-MiniLM-L12-v2} TRIPLES=${TRIPLES:-1000000} MAX_TOKENS=${MAX_TOKENS:-256}
RATE=${RATE:-2e-5} BATCH=${BATCH:-32} SYSTEMS=${SYSTEMS:-minilm_12 minilm_6 tinybert_6 tinybert_4 tinybert_2}
distilrank=${DISTILRANK:-distilrank}
declare -A start=(
  [minilm_12]=${MINILM_12:-microsoft/MiniLM-L12-H384-uncased}
  [minilm_6]=${MINILM_6:-nreimers/MiniLM-L6-H384-uncased}
  [tinybert_6]=${TINYBERT_6:-huawei-noah/TinyBERT_General_6L_768D}
  [tinybert_4]=${TINYBERT_4:-huawei-noah/TinyBERT_General_4L_312D}
  [tinybert_2]=${TINYBERT_2:-google/bert_uncased_L-2_H-128_A-2}
)
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$MSMARCO" --run "train=$TRAIN_RUN" --run "dev=$DEV_RUN" --depth 100 \
  --positives 1 --negatives 7 --out "$OUT/data"
for system in $SYSTEMS; do
  $distilrank distil --procedure standard --set alpha=1 --set objective=mse --teacher "$TEACHER" --data "$OUT/data" \
    --student "${start[$system]}" --triples "$TRIPLES" --max-tokens "$MAX_TOKENS" --batch-size "$BATCH" \
    --learning-rate "$RATE" --precision "$PRECISION" --seed "$SEED" --evaluate-every "${EVALUATE_EVERY:-5000}" \
    ${STEPS:+--steps "$STEPS"} --out "$OUT/$system"
  [ -f "$RESULTS/$system.dev.json" ] || $distilrank evaluate "$OUT/$system" --data "$OUT/data" --split dev \
    --measures "nDCG@10 RR@10" --json "$RESULTS/$system.dev.json"
done
