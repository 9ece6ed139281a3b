#!/usr/bin/env bash
# Several labels at once, on SICK: three labels (related, entailed, contradicted) made of its two annotations of each pair
# (recipes/sick_labels.py). A MiniLM-L6 teacher, and a 3/384 student from the labels alone, by standard distillation and by
# Simplified TinyBERT, judged on SICK's test split: all labels right, F1 over all decisions and averaged over labels. The
# BiLSTM on the same data is recipes/bilstm/sick_cpu.sh. For two CPU cores; every step goes on where it stopped when the
# script is run again.
#
#   DATA=../shared/data OUT=runs/multi_label RESULTS=results/multi_label bash recipes/standard/multi_label_cpu.sh
#   .venv/bin/python recipes/classifiers_table.py results/multi_label --against labels
#
# Every logit is a decision of its own: the soft term is the binary cross entropy with the teacher's probabilities, the
# hard one with the labels, both averaged over the labels.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/multi_label} RESULTS=${RESULTS:-results/multi_label}
TEACHER_STEPS=${TEACHER_STEPS:-420} STEPS=${STEPS:-280} SEEDS=${SEEDS:-1 2 3} PRECISION=${PRECISION:-bf16}
SYSTEMS=${SYSTEMS:-labels standard simplified}
LIMIT=${LIMIT:-} # such as "--max-queries 50", to try it out
distilrank=${DISTILRANK:-.venv/bin/distilrank} python=${PYTHON:-.venv/bin/python}
common="--data $OUT/data --max-tokens 96 --precision $PRECISION --set dropout=0"
mkdir -p "$OUT" "$RESULTS"

[ -f "$OUT/raw-number/test.jsonl" ] || $python "$(dirname "$0")/../sick_labels.py" "$DATA/sick" "$OUT"
[ -d "$OUT/data" ] || $distilrank prepare --data "$OUT/raw-labels" --out "$OUT/data"
$distilrank fine-tune $common --model minilm-l6 --steps "$TEACHER_STEPS" --batch-size 32 --learning-rate 1e-4 \
  --out "$OUT/teacher"

judge() { # name of the system, further options
  [ -f "$RESULTS/$1.sick_test.json" ] || $distilrank evaluate "$OUT/$1" --data "$OUT/data" --split test \
    --json "$RESULTS/$1.sick_test.json" $LIMIT "${@:2}"
}

judge teacher
declare -A way=(
  [labels]="--procedure standard --set alpha=0"
  [standard]="--procedure standard"
  [simplified]="--procedure simplified_tinybert"
)
for seed in $SEEDS; do
  for system in $SYSTEMS; do
    $distilrank distil $common ${way[$system]} --teacher "$OUT/teacher" --layers 3 --steps "$STEPS" --batch-size 64 \
      --learning-rate 2e-4 --seed "$seed" --out "$OUT/$system-$seed"
    judge "$system-$seed" --teacher "$OUT/teacher"
  done
done
