#!/usr/bin/env bash
# Logits that are not classes, on SICK's pairs of sentences: three labels at once (related, entailed, contradicted), made
# of its two annotations, and relatedness as a number. MiniLM-L6 teachers, siamese BiLSTM students; for two CPU cores.
#
#   DATA=../shared/data OUT=runs/sick RESULTS=results/sick bash recipes/bilstm/sick_cpu.sh
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/sick} RESULTS=${RESULTS:-results/sick}
TEACHER_STEPS=${TEACHER_STEPS:-250} STEPS=${STEPS:-1500} VARIANTS=${VARIANTS:-6} SEED=${SEED:-1} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$OUT/raw-labels" "$OUT/raw-number" "$RESULTS"

$python - "$DATA/sick" "$OUT" <<'PYTHON'
import csv, json, sys
from pathlib import Path

source, out = map(Path, sys.argv[1:])
for split in ("train", "dev", "test"):
    with (source / f"{split}.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    labels, numbers = [], []
    for row in rows:
        pair = {"text": row["sentence_A"], "text_pair": row["sentence_B"]}
        score, judged = float(row["relatedness_score"]), row["entailment_judgment"]
        holds = {"related": score >= 4, "entailed": judged == "ENTAILMENT"}
        holds["contradicted"] = judged == "CONTRADICTION"
        labels.append({**pair, "label": [name for name, value in holds.items() if value]})
        numbers.append({**pair, "label": score})
    for name, records in (("raw-labels", labels), ("raw-number", numbers)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (out / name / f"{split}.jsonl").write_text(lines, encoding="utf-8")
PYTHON

for task in labels number; do
  [ -d "$OUT/$task" ] || $distilrank prepare --data "$OUT/raw-$task" --out "$OUT/$task"
  $distilrank fine-tune --data "$OUT/$task" --model minilm-l6 --steps "$TEACHER_STEPS" --batch-size 32 --max-tokens 96 \
    --learning-rate 1e-4 --precision "$PRECISION" --set dropout=0 --seed "$SEED" --out "$OUT/teacher-$task"
  $distilrank augment --data "$OUT/$task" --method rules --set variants="$VARIANTS" --out "$OUT/transfer-$task.jsonl"
  $distilrank distil --procedure bilstm --teacher "$OUT/teacher-$task" --data "$OUT/$task" \
    --augmented "$OUT/transfer-$task.jsonl" --vectors "$DATA/word_vectors/w2v_wiki_books_100d.txt.gz" --shape 150/200 \
    --steps "$STEPS" --batch-size 64 --evaluate-every 250 --seed "$SEED" --out "$OUT/bilstm-$task"
  [ -f "$RESULTS/bilstm-$task.json" ] || $distilrank evaluate "$OUT/bilstm-$task" --data "$OUT/$task" --split test \
    --teacher "$OUT/teacher-$task" --json "$RESULTS/bilstm-$task.json"
done
