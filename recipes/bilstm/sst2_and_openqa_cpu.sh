#!/usr/bin/env bash
# The BiLSTM of Tang et al. in small, meant for two CPU cores and less than 45 minutes: SST-2 from a MiniLM-L6 classifier
# with a transfer set by the three rules, beside the same network on labels alone; and a ranker of open-domain questions
# over Wikipedia whose passages can be read ahead. Every step goes on where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/bilstm RESULTS=results/bilstm bash recipes/bilstm/sst2_and_openqa_cpu.sh
#   .venv/bin/python recipes/classifiers_table.py results/bilstm --against labels
#
# SST-2 is judged on its dev split: its test split has no public labels. The vocabulary is small because Adadelta goes
# over every embedding in every step. TASKS="sst2" leaves the ranker out. RANKER names a cross-encoder to learn from; by
# default one is trained, from a bi-encoder's scores.
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/bilstm} RESULTS=${RESULTS:-results/bilstm} TASKS=${TASKS:-sst2 openqa}
TEACHER_STEPS=${TEACHER_STEPS:-300} VARIANTS=${VARIANTS:-2} STEPS=${STEPS:-3000} EVERY=${EVERY:-1000} SEEDS=${SEEDS:-1}
RANKER=${RANKER:-$OUT/ranker} RANKER_STEPS=${RANKER_STEPS:-60} PAIRS=${PAIRS:-12000} PAIR_STEPS=${PAIR_STEPS:-600}
QUERIES=${QUERIES:-200} PRECISION=${PRECISION:-bf16} EXAMPLES=${EXAMPLES:-} # all of SST-2's, unless told otherwise
distilrank=${DISTILRANK:-.venv/bin/distilrank}
vectors=$DATA/word_vectors/w2v_wiki_books_100d.txt.gz
mkdir -p "$OUT" "$RESULTS"

sst2() {
  local bilstm="--procedure bilstm --teacher $OUT/teacher --data $OUT/sst2 --vectors $vectors --shape 150/200"
  bilstm="$bilstm --max-tokens 64 --steps $STEPS --evaluate-every $EVERY --set student.vocabulary_size=20000"
  bilstm="$bilstm --precision $PRECISION"
  [ -d "$OUT/sst2" ] || $distilrank prepare --data "$DATA/sst2" ${EXAMPLES:+--max-queries "$EXAMPLES"} \
    --out "$OUT/sst2"
  $distilrank fine-tune --data "$OUT/sst2" --model minilm-l6 --steps "$TEACHER_STEPS" --batch-size 64 --max-tokens 64 \
    --learning-rate 1e-4 --precision "$PRECISION" --set dropout=0 --out "$OUT/teacher"
  $distilrank augment --data "$OUT/sst2" --method rules --set variants="$VARIANTS" --out "$OUT/transfer.jsonl"
  judge teacher
  for seed in $SEEDS; do
    $distilrank distil $bilstm --seed "$seed" --augmented "$OUT/transfer.jsonl" --out "$OUT/bilstm-$seed"
    $distilrank distil $bilstm --seed "$seed" --set alpha=1 --out "$OUT/labels-$seed"
    judge "labels-$seed" --teacher "$OUT/teacher"
    judge "bilstm-$seed" --teacher "$OUT/teacher" --baseline "$OUT/labels-$seed"
  done
}

judge() { # name of the classifier, further options
  [ -f "$RESULTS/$1.sst2_dev.json" ] || $distilrank evaluate "$OUT/$1" --data "$OUT/sst2" --split dev \
    --json "$RESULTS/$1.sst2_dev.json" "${@:2}"
}

openqa() {
  [ -d "$OUT/openqa" ] || $distilrank prepare --data "$DATA/openqa_wiki" --run BM25 --depth 50 --positives 1 \
    --collection "$DATA/wikipedia_2015_26k/passages.tsv.xz" --out "$OUT/openqa"
  if [ "$RANKER" = "$OUT/ranker" ]; then
    local common="--data $OUT/openqa --max-tokens 192 --precision $PRECISION --set dropout=0 --dev-queries 20 --dev-depth 20"
    local scores="--objective listwise --set gains=scores --batch-size 8 --steps $RANKER_STEPS"
    [ -f "$OUT/scored.jsonl" ] || $distilrank teach --data "$OUT/openqa" --out "$OUT/scored.jsonl" \
      --limit $((RANKER_STEPS * 8)) --precision "$PRECISION" --max-tokens 192
    $distilrank fine-tune $common $scores --groups "$OUT/scored.jsonl" --model minilm-l6 --head cosine \
      --learning-rate 5e-5 --set calibration_groups=0 --out "$OUT/ranker"
  fi
  for seed in $SEEDS; do
    $distilrank distil --procedure bilstm --teacher "$RANKER" --data "$OUT/openqa" --vectors "$vectors" --shape 150/200 \
      --max-tokens 192 --triples $((PAIRS / 2)) --steps "$PAIR_STEPS" --batch-size 64 --evaluate-every 200 \
      --set student.vocabulary_size=20000 --precision "$PRECISION" \
      --dev-queries 40 --dev-depth 20 --seed "$seed" --out "$OUT/siamese-$seed"
    [ -f "$RESULTS/siamese-$seed.openqa_dev.json" ] || $distilrank evaluate "$OUT/siamese-$seed" --data "$OUT/openqa" \
      --split dev --depth 20 --max-queries "$QUERIES" --measures nDCG@10,RR@10 --teacher "$RANKER" \
      --json "$RESULTS/siamese-$seed.openqa_dev.json" --out-run "$OUT/siamese-$seed.openqa_dev.trec"
  done
}

for task in $TASKS; do
  "$task"
done
