#!/usr/bin/env bash
# The three procedures of Gao, Dai and Callan on MS MARCO passages: students of 6 and 4 layers from a 12-layer BERT.
# Runs on your own copies; on a GPU.
#
#   MSMARCO=data/msmarco TRAIN_RUN=data/bm25.train.trec DEV_RUN=data/bm25.dev.trec TEXT=data/wikipedia.txt \
#     bash recipes/bert_rankers/msmarco.sh
#
# MSMARCO: folder with collection.tsv, queries.train.tsv, qrels.train.tsv, queries.dev.tsv and qrels.dev.tsv (the
# "small" dev files under these names). TRAIN_RUN, DEV_RUN: first-stage runs in TREC form, such as BM25's best 100.
# TEXT: plain text for LM Distill, a sentence a line, blank lines between documents. GENERAL_6 and GENERAL_4 may name
# public general students instead, such as huawei-noah/TinyBERT_General_6L_768D and huawei-noah/TinyBERT_General_4L_312D.
#
# Batch, rate and epochs are those of the procedure, not the paper's, which are not known to us; nor is its start of
# Ranker Distill: here random weights (START_6, START_4), and with START_6="--layers 6" layers of the ranker.
set -euo pipefail
: "${MSMARCO:?is the folder of MS MARCO}" "${TRAIN_RUN:?is a run of the train queries}" "${DEV_RUN:?is a run of the dev queries}"
OUT=${OUT:-runs/msmarco} RESULTS=${RESULTS:-results/msmarco} SEED=${SEED:-42} PRECISION=${PRECISION:-bf16}
TEACHER_STEPS=${TEACHER_STEPS:-100000} TRIPLES=${TRIPLES:-1000000}
SHAPE_6=6/768/3072/12 SHAPE_4=4/312/1200/12
START_6=${START_6:---shape $SHAPE_6} START_4=${START_4:---shape $SHAPE_4}
distilrank=${DISTILRANK:-distilrank}
common="--data $OUT/data --max-tokens 256 --precision $PRECISION --seed $SEED --evaluate-every 5000"
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$MSMARCO" --run "train=$TRAIN_RUN" --run "dev=$DEV_RUN" --depth 100 \
  --positives 1 --negatives 7 --out "$OUT/data"
$distilrank fine-tune $common --model bert-base-uncased --objective bce --batch-size 16 --learning-rate 1e-5 \
  --steps "$TEACHER_STEPS" --out "$OUT/teacher"

judge() { # name of the system, options
  [ -f "$RESULTS/$1.dev.json" ] || $distilrank evaluate "$OUT/$1" --data "$OUT/data" --split dev --measures RR@10 \
    --json "$RESULTS/$1.dev.json" --out-run "$OUT/$1.dev.trec" "${@:2}"
}

judge teacher
for layers in 6 4; do
  shape=SHAPE_$layers start=START_$layers given=GENERAL_$layers
  general=${!given:-$OUT/general_$layers}
  [ -n "${!given:-}" ] || $distilrank general-distil --text "${TEXT:?is the plain text for LM Distill}" --precision "$PRECISION" \
    --teacher bert-base-uncased --shape "${!shape}" --seed "$SEED" --chunks "$OUT/chunks" --out "$general"
  student="--procedure bert_rankers --teacher $OUT/teacher --triples $TRIPLES"
  $distilrank distil $common $student ${!start} --set task=ranker_distillation --out "$OUT/ranker_$layers"
  $distilrank distil $common $student --student "$general" --set task=fine_tuning --out "$OUT/lm_tuned_$layers"
  $distilrank distil $common $student --student "$general" --set task=ranker_distillation --out "$OUT/lm_ranker_$layers"
  for system in ranker lm_tuned lm_ranker; do
    judge "${system}_$layers" --teacher "$OUT/teacher.dev.trec"
  done
done
