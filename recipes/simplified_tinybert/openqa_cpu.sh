#!/usr/bin/env bash
# Simplified TinyBERT on open-domain questions over Wikipedia, small enough for two CPU cores: a MiniLM-L6 teacher, then
# the same 3/384 student three ways and with three seeds, judged on TREC DL 2019, NFCorpus and the questions' own dev
# split. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/openqa RESULTS=results/openqa bash recipes/simplified_tinybert/openqa_cpu.sh
#
# The teacher learns in three steps: bi-encoder and BM25 scores with the warm cosine head (labels alone, which only say
# that a passage holds the answer string, made it worse than BM25), the same scores with the classic head, calibration.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/openqa} RESULTS=${RESULTS:-results/openqa}
SCORED=${SCORED:-4000} WARM_STEPS=${WARM_STEPS:-300} TEACHER_STEPS=${TEACHER_STEPS:-200} STUDENT_STEPS=${STUDENT_STEPS:-150}
SEEDS=${SEEDS:-1 2 3} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
common="--data $OUT/data --max-tokens 192 --precision $PRECISION --set dropout=0 --dev-queries 40 --dev-depth 20"
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/openqa_wiki" --run BM25 --depth 50 --positives 1 \
  --collection "$DATA/wikipedia_2015_26k/passages.tsv.xz" --out "$OUT/data"
[ -f "$OUT/scored.jsonl" ] || $distilrank teach --data "$OUT/data" --out "$OUT/scored.jsonl" --limit "$SCORED" \
  --precision "$PRECISION" --max-tokens 192
head -n $((WARM_STEPS * 8)) "$OUT/scored.jsonl" > "$OUT/scored_a.jsonl"
tail -n $((TEACHER_STEPS * 8)) "$OUT/scored.jsonl" > "$OUT/scored_b.jsonl"

scores="--objective listwise --set gains=scores --batch-size 8"
$distilrank fine-tune $common $scores --groups "$OUT/scored_a.jsonl" --model minilm-l6 --head cosine \
  --learning-rate 5e-5 --steps "$WARM_STEPS" --set calibration_groups=0 --out "$OUT/teacher-warm"
$distilrank fine-tune $common $scores --groups "$OUT/scored_b.jsonl" --model "$OUT/teacher-warm" --head classic \
  --learning-rate 1e-4 --steps "$TEACHER_STEPS" --set calibration_groups=100 --out "$OUT/teacher"

declare -A test=(
  [trec_dl19]="--data $DATA/trec_dl19 --run BM25 --measures nDCG@10,RR(rel=2)@10,AP(rel=2)"
  [nfcorpus]="--data $DATA/nfcorpus --depth 20 --max-queries 160 --measures nDCG@10,RR@10"
  [openqa_dev]="--data $OUT/data --split dev --depth 20 --max-queries 200 --measures nDCG@10,RR@10"
)
judge() { # name of the system, options that name the teacher's run or the baselines, with SET for the test set
  local name=$1 set
  shift
  for set in "${!test[@]}"; do
    [ -f "$RESULTS/$name.$set.json" ] && continue
    $distilrank evaluate "$OUT/$name" ${test[$set]} --json "$RESULTS/$name.$set.json" --out-run "$OUT/$name.$set.trec" \
      "${@//SET/$set}"
  done
}

judged() { # name of the system: whether every test set has its result, so that the model is not needed
  local set
  for set in "${!test[@]}"; do [ -f "$RESULTS/$1.$set.json" ] || return 1; done
}

judge teacher
for seed in $SEEDS; do
  student="--teacher $OUT/teacher --layers 3 --learning-rate 2e-4 --steps $STUDENT_STEPS --batch-size 64 --seed $seed"
  student="$student --triples $((STUDENT_STEPS * 32))"
  judged "labels-$seed" || $distilrank distil $common $student --procedure standard --set alpha=0 --out "$OUT/labels-$seed"
  judged "standard-$seed" || $distilrank distil $common $student --procedure standard --out "$OUT/standard-$seed"
  judged "simplified-$seed" || $distilrank distil $common $student --procedure simplified_tinybert \
    --out "$OUT/simplified-$seed"
  judge "labels-$seed" --teacher "$OUT/teacher.SET.trec"
  judge "standard-$seed" --teacher "$OUT/teacher.SET.trec" --baseline "$OUT/labels-$seed.SET.trec"
  judge "simplified-$seed" --teacher "$OUT/teacher.SET.trec" --baseline "$OUT/labels-$seed.SET.trec" \
    --baseline "$OUT/standard-$seed.SET.trec"
done
