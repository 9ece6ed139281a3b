#!/usr/bin/env bash
# The study teacher: a MiniLM-L6 ranker of open-domain questions over Wikipedia, made by the product's own commands. It
# learns the scores of the bi-encoder that the checkpoint comes from, mixed with BM25's, first with the warm cosine head
# and then, body and all, with the classic one; then labels calibrate its logits. Sizes and rates were chosen on openqa
# dev. The result is frozen, in half precision, in study/teacher; run again only to repeat it.
#
#   DATA=../shared/data OUT=runs/study_teacher bash study/teacher.sh
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/study_teacher} PRECISION=${PRECISION:-bf16}
SCORED=${SCORED:-4000} WARM_STEPS=${WARM_STEPS:-300} STEPS=${STEPS:-500}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
common="--data $OUT/data --max-tokens 192 --precision $PRECISION --set dropout=0 --dev-queries 40 --dev-depth 20"
scores="--objective listwise --set gains=scores --batch-size 8"
mkdir -p "$OUT"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/openqa_wiki" --run BM25 --depth 50 --positives 1 \
  --collection "$DATA/wikipedia_2015_26k/passages.tsv.xz" --out "$OUT/data"
[ -f "$OUT/scored.jsonl" ] || $distilrank teach --data "$OUT/data" --out "$OUT/scored.jsonl" --limit "$SCORED" \
  --precision "$PRECISION" --max-tokens 192
head -n $((WARM_STEPS * 8)) "$OUT/scored.jsonl" > "$OUT/scored_a.jsonl"
tail -n $((STEPS * 8)) "$OUT/scored.jsonl" > "$OUT/scored_b.jsonl"
$distilrank fine-tune $common $scores --groups "$OUT/scored_a.jsonl" --model minilm-l6 --head cosine \
  --learning-rate 5e-5 --steps "$WARM_STEPS" --set calibration_groups=0 --out "$OUT/warm"
$distilrank fine-tune $common $scores --groups "$OUT/scored_b.jsonl" --model "$OUT/warm" --head classic \
  --learning-rate 2e-4 --steps "$STEPS" --set calibration_groups=100 --out "$OUT/teacher"
.venv/bin/python tools/half_precision.py "$OUT/teacher" study/teacher
