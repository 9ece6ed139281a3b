#!/usr/bin/env bash
# The three procedures of Gao, Dai and Callan in small, for two CPU cores and less than 45 minutes: students of 3 and 2
# layers from a MiniLM-L6 ranker on open-domain questions over Wikipedia, judged on TREC DL 2019 and the questions' own
# dev split. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/bert_rankers RESULTS=results/bert_rankers bash recipes/bert_rankers/openqa_cpu.sh
#   .venv/bin/python recipes/seeds_table.py results/bert_rankers --against ranker_3
#
# Ranker Distill starts from layers of the ranker, LM Distill from the same layers of the language model: so few steps
# teach random weights nothing. TEACHER names another ranker; by default one is trained, from a bi-encoder's scores.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/bert_rankers} RESULTS=${RESULTS:-results/bert_rankers}
TEACHER=${TEACHER:-$OUT/teacher} TEACHER_STEPS=${TEACHER_STEPS:-60} GENERAL_STEPS=${GENERAL_STEPS:-80} STEPS=${STEPS:-60}
LAYERS=${LAYERS:-3 2} SEEDS=${SEEDS:-1} DEPTH=${DEPTH:-50} QUERIES=${QUERIES:-200} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
passages=$DATA/wikipedia_2015_26k/passages.tsv.xz
common="--data $OUT/data --max-tokens 192 --precision $PRECISION --set dropout=0 --dev-queries 20 --dev-depth 20"
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/openqa_wiki" --run BM25 --depth 50 --positives 1 \
  --collection "$passages" --out "$OUT/data"

if [ "$TEACHER" = "$OUT/teacher" ]; then
  groups=$((TEACHER_STEPS * 8))
  [ -f "$OUT/scored.jsonl" ] || $distilrank teach --data "$OUT/data" --out "$OUT/scored.jsonl" --limit $((2 * groups)) \
    --precision "$PRECISION" --max-tokens 192
  head -n "$groups" "$OUT/scored.jsonl" > "$OUT/scored_a.jsonl"
  tail -n "$groups" "$OUT/scored.jsonl" > "$OUT/scored_b.jsonl"
  scores="--objective listwise --set gains=scores --batch-size 8 --steps $TEACHER_STEPS"
  $distilrank fine-tune $common $scores --groups "$OUT/scored_a.jsonl" --model minilm-l6 --head cosine \
    --learning-rate 5e-5 --set calibration_groups=0 --out "$OUT/teacher-warm"
  $distilrank fine-tune $common $scores --groups "$OUT/scored_b.jsonl" --model "$OUT/teacher-warm" --head classic \
    --learning-rate 1e-4 --set calibration_groups=100 --out "$TEACHER"
fi

source "$(dirname "$0")/../judge_on_openqa.sh"

SYSTEM=$TEACHER judge teacher
for seed in $SEEDS; do
  for layers in $LAYERS; do
    general=$OUT/general_$layers-$seed
    $distilrank general-distil --text "$passages" --teacher minilm-l6 --layers "$layers" --steps "$GENERAL_STEPS" \
      --batch-size 32 --learning-rate 2e-4 --precision "$PRECISION" --seed "$seed" --chunks "$OUT/chunks-$seed" --out "$general"
    student="--procedure bert_rankers --teacher $TEACHER --steps $STEPS --batch-size 32 --learning-rate 2e-4"
    student="$student --triples $((STEPS * 16)) --seed $seed"
    $distilrank distil $common $student --layers "$layers" --set task=ranker_distillation --out "$OUT/ranker_$layers-$seed"
    $distilrank distil $common $student --student "$general" --set task=fine_tuning --out "$OUT/lm_tuned_$layers-$seed"
    $distilrank distil $common $student --student "$general" --set task=ranker_distillation \
      --out "$OUT/lm_ranker_$layers-$seed"
    for system in ranker lm_tuned lm_ranker; do
      judge "${system}_$layers-$seed" --teacher "$OUT/teacher.SET.trec"
    done
  done
done
