#!/usr/bin/env bash
# Logits that are not classes, on SICK's pairs of sentences: three labels at once (related, entailed, contradicted), made
# of its two annotations (recipes/sick_labels.py), and relatedness as a number. MiniLM-L6 teachers, siamese BiLSTM
# students; for two CPU cores. Transformer students of the same labels: recipes/standard/multi_label_cpu.sh.
#
#   DATA=../shared/data OUT=runs/sick RESULTS=results/sick bash recipes/bilstm/sick_cpu.sh
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/sick} RESULTS=${RESULTS:-results/sick}
TEACHER_STEPS=${TEACHER_STEPS:-250} STEPS=${STEPS:-1500} VARIANTS=${VARIANTS:-6} SEED=${SEED:-1} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
python=${PYTHON:-.venv/bin/python}
LIMIT=${LIMIT:-} # such as "--max-queries 50", to try it out
mkdir -p "$OUT" "$RESULTS"

[ -f "$OUT/raw-number/test.jsonl" ] || $python "$(dirname "$0")/../sick_labels.py" "$DATA/sick" "$OUT"

for task in labels number; do
  [ -d "$OUT/$task" ] || $distilrank prepare --data "$OUT/raw-$task" --out "$OUT/$task"
  $distilrank fine-tune --data "$OUT/$task" --model minilm-l6 --steps "$TEACHER_STEPS" --batch-size 32 --max-tokens 96 \
    --learning-rate 1e-4 --precision "$PRECISION" --set dropout=0 --seed "$SEED" --out "$OUT/teacher-$task"
  $distilrank augment --data "$OUT/$task" --method rules --set variants="$VARIANTS" --out "$OUT/transfer-$task.jsonl"
  $distilrank distil --procedure bilstm --teacher "$OUT/teacher-$task" --data "$OUT/$task" \
    --augmented "$OUT/transfer-$task.jsonl" --vectors "$DATA/word_vectors/w2v_wiki_books_100d.txt.gz" --shape 150/200 \
    --steps "$STEPS" --batch-size 64 --evaluate-every 250 --seed "$SEED" --out "$OUT/bilstm-$task"
  [ -f "$RESULTS/bilstm-$task.json" ] || $distilrank evaluate "$OUT/bilstm-$task" --data "$OUT/$task" --split test \
    --teacher "$OUT/teacher-$task" --json "$RESULTS/bilstm-$task.json" $LIMIT
done
