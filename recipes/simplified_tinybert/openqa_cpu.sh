#!/usr/bin/env bash
# Simplified TinyBERT on open-domain questions over Wikipedia, small enough for two CPU cores: a MiniLM-L6 teacher, then
# the same 3/384 student three ways. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/openqa RESULTS=results/openqa bash recipes/simplified_tinybert/openqa_cpu.sh
#
# Not yet run as a whole: its sizes are estimates, and no result of it stands under results/.
#
# The teacher learns in three steps: bi-encoder and BM25 scores with the warm cosine head (labels alone, which only say
# that a passage holds the answer string, made it worse than BM25), the same scores with the classic head, calibration.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/openqa} RESULTS=${RESULTS:-results/openqa}
SCORED=${SCORED:-900} WARM_STEPS=${WARM_STEPS:-90} TEACHER_STEPS=${TEACHER_STEPS:-45} STUDENT_STEPS=${STUDENT_STEPS:-60}
SEEDS=${SEEDS:-42} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
common="--data $OUT/data --max-tokens 192 --precision $PRECISION --set dropout=0 --dev-queries 40 --dev-depth 20"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/openqa_wiki" --run BM25 --depth 50 --positives 1 \
  --collection "$DATA/wikipedia_2015_26k/passages.tsv.xz" --out "$OUT/data"
[ -f "$OUT/scored.jsonl" ] || $distilrank teach --data "$OUT/data" --out "$OUT/scored.jsonl" --limit "$SCORED" \
  --precision "$PRECISION" --max-tokens 192

scores="--groups $OUT/scored.jsonl --objective listwise --set gains=scores --batch-size 8"
$distilrank fine-tune $common $scores --model minilm-l6 --head cosine --learning-rate 5e-5 --steps "$WARM_STEPS" \
  --set calibration_groups=0 --out "$OUT/teacher-warm"
$distilrank fine-tune $common $scores --model "$OUT/teacher-warm" --head classic --learning-rate 1e-4 \
  --steps "$TEACHER_STEPS" --set calibration_groups=100 --out "$OUT/teacher"

judge() { # name of the system, options
  local name=$1
  shift
  $distilrank evaluate "$OUT/$name" --data "$DATA/trec_dl19" --run BM25 --json "$RESULTS/$name.trec_dl19.json" \
    --measures "nDCG@10 RR(rel=2)@10 AP(rel=2)" "$@"
}

judge teacher
for seed in $SEEDS; do
  student="--teacher $OUT/teacher --layers 3 --learning-rate 2e-4 --steps $STUDENT_STEPS --batch-size 64 --seed $seed"
  student="$student --triples $((STUDENT_STEPS * 32))"
  $distilrank distil $common $student --procedure simplified_tinybert --out "$OUT/simplified-$seed"
  $distilrank distil $common $student --procedure standard --out "$OUT/standard-$seed"
  $distilrank distil $common $student --procedure standard --set alpha=0 --out "$OUT/labels-$seed"
  for name in simplified standard labels; do judge "$name-$seed" --teacher "$OUT/teacher"; done
done
