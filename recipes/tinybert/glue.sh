#!/usr/bin/env bash
# TinyBERT as in the paper, on one GLUE task: general distillation on Wikipedia, augmentation, the layers stage, the
# answers stage, and the file for GLUE's server. Runs on your own copies; on a GPU. The general student is made once and
# shared by all tasks.
#
#   TASK=rte TEXT=data/wikipedia.txt VECTORS=data/glove.42B.300d.txt TEST=data/RTE/test.tsv bash recipes/tinybert/glue.sh
#
# TASK: cola, mnli, mrpc, qnli, qqp, rte, sst2 or stsb, read by its name on the hub. TEXT: plain text, a sentence a line,
# blank lines between documents. VECTORS: in GloVe's or word2vec's text form. TEST: the task's test file, for the
# submission; SUBMISSION is its name at GLUE where that is not TASK (MNLI-m, MNLI-mm).
# LAYERS=6 makes the 6-layer student. ANSWERS_RATE, ANSWERS_BATCH: the paper chooses among 1e-5, 2e-5 and 3e-5, and 16 and
# 32, on dev. GENERAL may name a public general student instead of making one; then TEXT is not needed.
set -euo pipefail
: "${TASK:?is a GLUE task, such as rte}" "${VECTORS:?is a file of word vectors}"
OUT=${OUT:-runs/glue} RESULTS=${RESULTS:-results/glue} LAYERS=${LAYERS:-4} SEED=${SEED:-42} PRECISION=${PRECISION:-bf16}
GENERAL=${GENERAL:-$OUT/general_$LAYERS} BERT=${BERT:-bert-base-uncased} DATA=${DATA:-hf:nyu-mll/glue:$TASK}
TEACHER_EPOCHS=${TEACHER_EPOCHS:-3} ANSWERS_RATE=${ANSWERS_RATE:-3e-5} ANSWERS_BATCH=${ANSWERS_BATCH:-32} MORE=${MORE:-}
declare -A shapes=([4]=4/312/1200/12 [6]=6/768/3072/12)
distilrank=${DISTILRANK:-distilrank}
mkdir -p "$OUT" "$RESULTS"

# MORE: further options of every training, such as --steps 2 to try the recipe.
[ "$GENERAL" != "$OUT/general_$LAYERS" ] || $distilrank general-distil --text "${TEXT:?is plain text}" --teacher "$BERT" \
  --shape "${SHAPE:-${shapes[$LAYERS]}}" --precision "$PRECISION" --seed "$SEED" --chunks "$OUT/chunks" $MORE --out "$GENERAL"

[ -d "$OUT/$TASK" ] || $distilrank prepare --data "$DATA" --out "$OUT/$TASK"
$distilrank fine-tune --model "$BERT" --data "$OUT/$TASK" --max-tokens 128 --epochs "$TEACHER_EPOCHS" --learning-rate 2e-5 \
  --precision "$PRECISION" --seed "$SEED" $MORE --out "$OUT/$TASK-teacher"
$distilrank augment --data "$OUT/$TASK" --mlm "$BERT" --vectors "$VECTORS" --task "$TASK" --out "$OUT/$TASK-augmented.jsonl"

student=$OUT/$TASK-student_$LAYERS-$SEED
$distilrank distil --procedure tinybert --student "$GENERAL" --teacher "$OUT/$TASK-teacher" --data "$OUT/$TASK" \
  --augmented "$OUT/$TASK-augmented.jsonl" --task "$TASK" --precision "$PRECISION" --seed "$SEED" \
  --set answers.learning_rate="$ANSWERS_RATE" --set answers.batch_size="$ANSWERS_BATCH" $MORE --out "$student"

for system in "$OUT/$TASK-teacher" "$student"; do
  $distilrank evaluate "$system" --data "$OUT/$TASK" --split dev --teacher "$OUT/$TASK-teacher" \
    --json "$RESULTS/$(basename "$system").dev.json"
done
[ -z "${TEST:-}" ] || $distilrank glue-submission --model "$student" --task "${SUBMISSION:-$TASK}" --data "$TEST" \
  --out "$RESULTS/submission"
