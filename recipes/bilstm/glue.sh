#!/usr/bin/env bash
# SST-2, QQP and MNLI of GLUE as Tang et al. have them: BERT-large as the teacher, a transfer set by the three rules, a
# BiLSTM of 0.96 million weights (siamese for pairs) on 300-dimensional word vectors. Needs the hub, or its cache, and a
# GPU for the teacher.
#
#   VECTORS=data/GoogleNews-vectors-negative300.txt bash recipes/bilstm/glue.sh
#   TASKS=qqp VECTORS=glove.840B.300d.txt bash recipes/bilstm/glue.sh
#
# VECTORS: word2vec's or GloVe's text form. GLUE's test splits have no public labels: dev is what is judged here, and
# glue-submission writes the files that the benchmark's own site scores. A teacher of your own goes to $OUT/TASK-teacher,
# or under the name TEACHER_sst2, TEACHER_qqp or TEACHER_mnli.
set -euo pipefail
: "${VECTORS:?is a file of word vectors in text form}"
OUT=${OUT:-runs/glue} RESULTS=${RESULTS:-results/glue} TASKS=${TASKS:-sst2 qqp mnli} MODEL=${MODEL:-bert-large-uncased}
GLUE=${GLUE:-hf:nyu-mll/glue} EPOCHS=${EPOCHS:-30} TEACHER_EPOCHS=${TEACHER_EPOCHS:-3}
SEED=${SEED:-42} PRECISION=${PRECISION:-bf16}
LIMIT=${LIMIT:-} TEACHER_LIMIT=${TEACHER_LIMIT:-} # such as "--steps 2", to try it out
distilrank=${DISTILRANK:-distilrank}
# LSTM/hidden layer, batch and dropout: those of the published configurations; variants are 20 for texts, 10 for pairs.
declare -A shape=([sst2]=150/200 [qqp]=300/200 [mnli]=150/200)
declare -A of_task=([sst2]="" [qqp]="--set student.dropout=0.2" [mnli]="--set student.dropout=0.2")
mkdir -p "$OUT" "$RESULTS"

for task in $TASKS; do
  data=$OUT/$task transfer=$OUT/$task-transfer.jsonl given=TEACHER_$task
  [ -d "$data" ] || $distilrank prepare --data "$GLUE:$task" --out "$data"
  teacher=${!given:-$OUT/$task-teacher}
  [ -n "${!given:-}" ] || $distilrank fine-tune --data "$data" --model "$MODEL" --epochs "$TEACHER_EPOCHS" \
    --batch-size 32 --learning-rate 4e-5 --max-tokens 128 --precision "$PRECISION" --seed "$SEED" $TEACHER_LIMIT \
    --out "$teacher"
  $distilrank augment --data "$data" --method rules --seed "$SEED" --out "$transfer"
  bilstm="--procedure bilstm --teacher $teacher --data $data --vectors $VECTORS --shape ${shape[$task]} ${of_task[$task]}"
  bilstm="$bilstm --epochs $EPOCHS --patience 5 --seed $SEED $LIMIT"
  $distilrank distil $bilstm --augmented "$transfer" --out "$OUT/$task-bilstm"
  $distilrank distil $bilstm --set alpha=1 --out "$OUT/$task-labels"
  for system in bilstm labels; do
    [ -f "$RESULTS/$task-$system.json" ] || $distilrank evaluate "$OUT/$task-$system" --data "$data" --split dev \
      --teacher "$teacher" --json "$RESULTS/$task-$system.json"
  done
done
