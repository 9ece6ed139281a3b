#!/usr/bin/env bash
# Every paper's student of one ranker of open-domain questions over Wikipedia, small enough for two CPU cores. The data,
# the teacher and the students by labels, by Hinton's distillation and by Simplified TinyBERT are those of
# recipes/simplified_tinybert/openqa_cpu.sh, which must have run with the same OUT and RESULTS. This adds TinyBERT and LM
# Distill + Ranker Distill (Gao et al.), which start from one general student of the public checkpoint, and the siamese
# BiLSTM, whose passages can be read ahead. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/openqa RESULTS=results/openqa bash recipes/four_papers/openqa_cpu.sh
#   .venv/bin/python recipes/seeds_table.py results/openqa --against labels --against standard
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/openqa} RESULTS=${RESULTS:-results/openqa}
STUDENT_STEPS=${STUDENT_STEPS:-150} GENERAL_STEPS=${GENERAL_STEPS:-150} BILSTM_STEPS=${BILSTM_STEPS:-450}
SEEDS=${SEEDS:-1 2 3} SYSTEMS=${SYSTEMS:-tinybert bert_rankers bilstm} DEPTH=${DEPTH:-100} QUERIES=${QUERIES:-200}
PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
source "$(dirname "$0")/../judge_on_openqa.sh"

$distilrank general-distil --text "$DATA/wikipedia_2015_26k/passages.tsv.xz" --teacher minilm-l6 --layers 3 \
  --steps "$GENERAL_STEPS" --batch-size 32 --learning-rate 2e-4 --precision "$PRECISION" --seed 1 \
  --chunks "$OUT/chunks" --out "$OUT/general"

bert="--data $OUT/data --teacher $OUT/teacher --max-tokens 192 --precision $PRECISION --set dropout=0 --batch-size 64"
bert="$bert --learning-rate 2e-4 --dev-queries 40 --dev-depth 20"
distil() { # system, seed
  case $1 in
    tinybert) # half of the updates in each stage
      $distilrank distil $bert --procedure tinybert --student "$OUT/general" --triples $((STUDENT_STEPS * 32)) \
        --set layers.max_steps=$((STUDENT_STEPS / 2)) --set answers.max_steps=$((STUDENT_STEPS / 2)) --seed "$2" \
        --out "$OUT/$1-$2" ;;
    bert_rankers)
      $distilrank distil $bert --procedure bert_rankers --student "$OUT/general" --triples $((STUDENT_STEPS * 32)) \
        --set task=ranker_distillation --steps "$STUDENT_STEPS" --seed "$2" --out "$OUT/$1-$2" ;;
    bilstm) # more updates: nothing in it is pre-trained but the word vectors
      $distilrank distil --procedure bilstm --teacher "$OUT/teacher" --data "$OUT/data" --shape 150/200 --max-tokens 192 \
        --vectors "$DATA/word_vectors/w2v_wiki_books_100d.txt.gz" --set student.vocabulary_size=20000 \
        --triples $((BILSTM_STEPS * 32)) --steps "$BILSTM_STEPS" --batch-size 64 --evaluate-every 150 \
        --precision "$PRECISION" --dev-queries 40 --dev-depth 20 --seed "$2" --out "$OUT/$1-$2" ;;
  esac
}

for seed in $SEEDS; do
  for system in $SYSTEMS; do
    distil "$system" "$seed"
    judge "$system-$seed" --teacher "$OUT/teacher.SET.trec"
  done
done
