#!/usr/bin/env bash
# Cross-encoders like the small public ones on MS MARCO, by squared error of raw logits, one pair at a time. Runs on your
# own copy of MS MARCO passages; on a GPU.
#
#   MSMARCO=data/msmarco TRAIN_RUN=data/bm25.train.trec DEV_RUN=data/bm25.dev.trec bash recipes/small_public_rankers/msmarco.sh
#
# MSMARCO, TRAIN_RUN and DEV_RUN are those of recipes/bert_rankers/msmarco.sh.
#
# What is public about the five "version 2" models, cross-encoder/ms-marco-{TinyBERT-L2,MiniLM-L2,-L4,-L6,-L12}-v2:
# - Training: examples/training/ms_marco/train_cross-encoder_kd.py of UKPLab/sentence-transformers (read at commit
#   1dfb473): MSELoss on raw logits (Identity for the activation), both pairs of every triple, batch of 32, one epoch, 512
#   tokens, 7e-6, 5,000 steps of warm-up, mixed precision, from microsoft/MiniLM-L12-H384-uncased; its library's fit adds
#   AdamW with a weight decay of 0.01, a linear schedule and gradients of norm 1 at most, which are the defaults here.
#   A user who came short of 39.02 with labels found that this script was the one (issue 1669 of that repository).
# - Teacher: mean logits of BERT-base, BERT-large and ALBERT-large for MS MARCO's triples (Hofstaetter et al., arXiv
#   2010.02666; scores at zenodo.org/records/4068216).
# - Its successor train_cross_encoder_kd_mse.py (commit 123426d), written later and not for these models, has 2,000,000
#   pairs, batch of 16, 8e-6, 10% warm-up.
# - Starts: TinyBERT-L2-v2 names nreimers/BERT-Tiny_L-2_H-128_A-2 in its config.json (Google's BERT of that shape).
# - Their cards: nDCG@10 on TREC DL 2019 and RR@10 on MS MARCO dev, in percent: TinyBERT-L2 69.84 and 32.56, MiniLM-L2
#   71.01 and 34.85, L4 73.04 and 37.70, L6 74.30 and 39.01, L12 74.31 and 39.02.
# Not public, as far as we could find: whether that script's rate and length served all five, how many steps they took, and
# what L6, L4 and L2 started from; issues 3505 and 3566 ask for it. For L6 we take every second layer of L12
# (nreimers/MiniLM-L6-H384-uncased, by the same author), for L4 and L2 layers of the teacher, unless MINILM_4 and MINILM_2
# name others. TinyBERT-L4 and -L6 are of "version 1", whose train_script.py sets up a score between 0 and 1 and, in the
# part that we could read, no teacher; SYSTEMS="tinybert_6 tinybert_4" makes both the way of version 2.
#
# TEACHER is any ranker with one logit or two; the default learned from the ensemble, whose models are not public. Its
# logits are read as they are: a teacher squashed by a sigmoid gives other, flatter students. TRIPLES: the published script
# read all of the ensemble's; here a million, that is 62,500 steps, of which 5,000 are 8%.
set -euo pipefail
: "${MSMARCO:?is the folder of MS MARCO}" "${TRAIN_RUN:?is a run of the train queries}" "${DEV_RUN:?is a run of the dev queries}"
OUT=${OUT:-runs/msmarco} RESULTS=${RESULTS:-results/small_public_rankers} SEED=${SEED:-42} PRECISION=${PRECISION:-bf16}
TEACHER=${TEACHER:-cross-encoder/ms-marco-MiniLM-L12-v2} TRIPLES=${TRIPLES:-1000000} MAX_TOKENS=${MAX_TOKENS:-512}
RATE=${RATE:-7e-6} BATCH=${BATCH:-32} WARMUP_SHARE=${WARMUP_SHARE:-0.08}
SYSTEMS=${SYSTEMS:-minilm_12 minilm_6 minilm_4 minilm_2 tinybert_2}
distilrank=${DISTILRANK:-distilrank}
declare -A start=(
  [minilm_12]="--student ${MINILM_12:-microsoft/MiniLM-L12-H384-uncased}"
  [minilm_6]="--student ${MINILM_6:-nreimers/MiniLM-L6-H384-uncased}"
  [minilm_4]="${MINILM_4:+--student $MINILM_4}"
  [minilm_2]="${MINILM_2:+--student $MINILM_2}"
  [tinybert_6]="--student ${TINYBERT_6:-huawei-noah/TinyBERT_General_6L_768D}"
  [tinybert_4]="--student ${TINYBERT_4:-huawei-noah/TinyBERT_General_4L_312D}"
  [tinybert_2]="--student ${TINYBERT_2:-google/bert_uncased_L-2_H-128_A-2}"
)
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$MSMARCO" --run "train=$TRAIN_RUN" --run "dev=$DEV_RUN" --depth 100 \
  --positives 1 --negatives 7 --out "$OUT/data"
for system in $SYSTEMS; do
  $distilrank distil --procedure standard --set alpha=1 --set objective=mse --teacher "$TEACHER" --data "$OUT/data" \
    ${start[$system]:---layers ${system#minilm_}} --triples "$TRIPLES" --epochs 1 --max-tokens "$MAX_TOKENS" \
    --batch-size "$BATCH" --learning-rate "$RATE" --set warmup_share="$WARMUP_SHARE" --precision "$PRECISION" \
    --seed "$SEED" --evaluate-every "${EVALUATE_EVERY:-5000}" ${STEPS:+--steps "$STEPS"} --out "$OUT/$system"
  [ -f "$RESULTS/$system.dev.json" ] || $distilrank evaluate "$OUT/$system" --data "$OUT/data" --split dev \
    --measures "nDCG@10 RR@10" --json "$RESULTS/$system.dev.json"
done
