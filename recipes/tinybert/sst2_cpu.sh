#!/usr/bin/env bash
# TinyBERT in small on SST-2, for two CPU cores and less than 45 minutes: a MiniLM-L6 teacher of a few thousand sentences,
# general distillation on Wikipedia passages, augmentation with a masked-language head that is fitted on the spot, and a
# 3/384 student with every step of the procedure and without each of them. Judged on SST-2's dev split: its test split
# has no public labels. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/tinybert_sst2 RESULTS=results/tinybert_sst2 bash recipes/tinybert/sst2_cpu.sh
#   .venv/bin/python recipes/classifiers_table.py results/tinybert_sst2 --against whole
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/tinybert_sst2} RESULTS=${RESULTS:-results/tinybert_sst2}
EXAMPLES=${EXAMPLES:-6000} COPIES=${COPIES:-3} TEACHER_EPOCHS=${TEACHER_EPOCHS:-3} GENERAL_STEPS=${GENERAL_STEPS:-400}
HEAD_STEPS=${HEAD_STEPS:-400} LAYERS_STEPS=${LAYERS_STEPS:-250} ANSWERS_STEPS=${ANSWERS_STEPS:-150}
SEEDS=${SEEDS:-1} SYSTEMS=${SYSTEMS:-whole no_general no_task no_augmentation} PRECISION=${PRECISION:-bf16}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
text=$DATA/wikipedia_2015_26k/passages.tsv.xz
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/sst2" --max-queries "$EXAMPLES" --out "$OUT/data"
$distilrank fine-tune --data "$OUT/data" --model minilm-l6 --epochs "$TEACHER_EPOCHS" --batch-size 32 --learning-rate 1e-4 \
  --max-tokens 64 --precision "$PRECISION" --out "$OUT/teacher"
$distilrank general-distil --text "$text" --teacher minilm-l6 --layers 3 --steps "$GENERAL_STEPS" --batch-size 32 \
  --max-tokens 64 --learning-rate 2e-4 --precision "$PRECISION" --out "$OUT/general"
$distilrank fit-mlm-head --model minilm-l6 --text "$text" --steps "$HEAD_STEPS" --max-tokens 64 --out "$OUT/mlm"
$distilrank augment --data "$OUT/data" --mlm "$OUT/mlm" --vectors "$DATA/word_vectors/w2v_wiki_books_100d.txt.gz" \
  --set copies="$COPIES" --out "$OUT/augmented.jsonl"

judge() { # name of the system, further options
  [ -f "$RESULTS/$1.sst2_dev.json" ] && return
  $distilrank evaluate "$OUT/$1" --data "$OUT/data" --split dev --json "$RESULTS/$1.sst2_dev.json" "${@:2}"
}

judge teacher
for seed in $SEEDS; do
  for system in $SYSTEMS; do
    start="--student $OUT/general" augmented="--augmented $OUT/augmented.jsonl" task=true answers=$ANSWERS_STEPS
    case $system in
      no_general) start="--shape 3/384/1536/12" ;;
      no_task) task=false answers=$((LAYERS_STEPS + ANSWERS_STEPS)) ;; # as many updates, on the labels
      no_augmentation) augmented= ;;
    esac
    $distilrank distil --procedure tinybert --teacher "$OUT/teacher" --data "$OUT/data" $start $augmented --task sst2 \
      --seed "$seed" --precision "$PRECISION" --batch-size 64 --learning-rate 2e-4 --set dropout=0 \
      --set task_distillation=$task --set layers.max_steps="$LAYERS_STEPS" --set answers.max_steps="$answers" \
      --out "$OUT/$system-$seed"
    judge "$system-$seed" --teacher "$OUT/teacher"
  done
done
