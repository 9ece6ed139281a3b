#!/usr/bin/env bash
# The four combinations of Simplified TinyBERT's two simplifications, one step or two, with the hard label or without, in
# small: on the data and the teacher that openqa_cpu.sh made, which must have run that far. Two CPU cores, less than 45
# minutes. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/openqa RESULTS=results/four_combinations \
#     bash recipes/simplified_tinybert/four_combinations_cpu.sh
#   .venv/bin/python recipes/seeds_table.py results/four_combinations --against one_hard
#
# Two steps share the updates of the one: half of them each.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/openqa} RESULTS=${RESULTS:-results/four_combinations}
STUDENT_STEPS=${STUDENT_STEPS:-100} GENERAL_STEPS=${GENERAL_STEPS:-100} SEEDS=${SEEDS:-1}
DEPTH=${DEPTH:-50} QUERIES=${QUERIES:-200} PRECISION=${PRECISION:-bf16} TEACHER=${TEACHER:-$OUT/teacher}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
mkdir -p "$RESULTS"

source "$(dirname "$0")/../judge_on_openqa.sh"

$distilrank general-distil --text "$DATA/wikipedia_2015_26k/passages.tsv.xz" --teacher minilm-l6 --layers 3 \
  --steps "$GENERAL_STEPS" --batch-size 32 --learning-rate 2e-4 --precision "$PRECISION" --out "$OUT/general_3"
SYSTEM=$TEACHER judge teacher
for seed in $SEEDS; do
  for combination in one,1 one,0 two,1 two,0; do
    steps=${combination%,*} hard=${combination#*,}
    name=${steps}_$([ "$hard" = 1 ] && echo hard || echo soft)-$seed
    updates=$STUDENT_STEPS
    [ "$steps" = one ] || updates=$((STUDENT_STEPS / 2))
    $distilrank distil --data "$OUT/data" --teacher "$TEACHER" --student "$OUT/general_3" --max-tokens 192 \
      --precision "$PRECISION" --set dropout=0 --dev-queries 20 --dev-depth 20 --batch-size 64 --learning-rate 2e-4 \
      --steps "$updates" --triples $((STUDENT_STEPS * 32)) --seed "$seed" --set steps="$steps" --set hard="$hard" \
      --out "$OUT/$name"
    judge "$name" --teacher "$OUT/teacher.SET.trec"
  done
done
