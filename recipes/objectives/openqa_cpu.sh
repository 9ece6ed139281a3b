#!/usr/bin/env bash
# One student under several objectives on open-domain questions over Wikipedia, for two CPU cores: the same 3 layers of the
# same ranker, the same groups in the same order, scored once by that ranker, and one word that differs. Judged on TREC DL
# 2019 and on the questions' own dev split. Uses the data and the teacher that recipes/simplified_tinybert/openqa_cpu.sh
# made. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/openqa RESULTS=results/objectives bash recipes/objectives/openqa_cpu.sh
#   SEEDS="1 2 3" OBJECTIVES="kl margin_mse ranknet" ... bash recipes/objectives/openqa_cpu.sh     # the best, again
#   .venv/bin/python recipes/seeds_table.py results/objectives --against info_nce --against mse
#
# The groups are the last ones of the training split, which the teacher has not seen. info_nce learns from labels alone.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/openqa} RESULTS=${RESULTS:-results/objectives}
TEACHER=${TEACHER:-$OUT/teacher} STUDENTS=${STUDENTS:-$OUT/objectives} COPY=${COPY:-2,4,6}
OBJECTIVES=${OBJECTIVES:-mse margin_mse ranknet kl info_nce adr_mse kl_layers} SEEDS=${SEEDS:-1}
STEPS=${STEPS:-150} BATCH=${BATCH:-8} GROUPS_SCORED=${GROUPS_SCORED:-$((STEPS * BATCH))} RATE=${RATE:-2e-4}
DEPTH=${DEPTH:-50} QUERIES=${QUERIES:-200} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
mkdir -p "$STUDENTS" "$RESULTS"

source "$(dirname "$0")/../judge_on_openqa.sh"

groups=$STUDENTS/groups-$GROUPS_SCORED.jsonl scores=$STUDENTS/scores-$GROUPS_SCORED
[ -f "$groups" ] || { tail -n "$GROUPS_SCORED" "$OUT/data/groups/train.jsonl" > "$groups.new" && mv "$groups.new" "$groups"; }
$distilrank teach --data "$OUT/data" --groups "$groups" --teacher "$TEACHER" --max-tokens 192 --precision "$PRECISION" \
  --out "$scores"

terms() { # objectives of a system
  case $1 in
    kl_layers) echo --objective kl --objective embedding --objective hidden --objective attention ;;
    *) echo --objective "$1" ;;
  esac
}

SYSTEM=$TEACHER judge teacher
for seed in $SEEDS; do
  for name in $OBJECTIVES; do
    $distilrank distil --procedure scores $(terms "$name") --teacher "$TEACHER" --copy-layers "$COPY" --data "$OUT/data" \
      --groups "$groups" --scores "$scores" --max-tokens 192 --precision "$PRECISION" --set dropout=0 --dev-queries 40 \
      --dev-depth 20 --batch-size "$BATCH" --learning-rate "$RATE" --steps "$STEPS" --seed "$seed" \
      --out "$STUDENTS/$name-$seed"
    SYSTEM=$STUDENTS/$name-$seed judge "$name-$seed" --teacher "$OUT/teacher.SET.trec"
  done
done
