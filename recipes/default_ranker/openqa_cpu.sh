#!/usr/bin/env bash
# The ranker that comes with the package, from open data alone: questions and passages of Wikipedia. A late-interaction
# ranker of MiniLM-L6 learns from itself before training, mixed with BM25, and from distant labels; half-way back to where
# it started it keeps what it won on the questions and what it knew elsewhere. Three seeds; the one that is best on the
# questions' dev split is packed, with word embeddings in 4 bits. Every step goes on where it stopped when the script is
# run again. With SEEDS=2 PACK= another machine, or another core, can make a seed of its own.
#
#   DATA=../shared/data OUT=runs/default_ranker RESULTS=results/default_ranker bash recipes/default_ranker/openqa_cpu.sh
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/default_ranker} RESULTS=${RESULTS:-results/default_ranker}
GROUPS_READ=${GROUPS_READ:-2400} STEPS=${STEPS:-100} SEEDS=${SEEDS:-1 2 3} PRECISION=${PRECISION:-bf16} PACK=${PACK-yes}
distilrank=${DISTILRANK:-.venv/bin/distilrank} python=${PYTHON:-.venv/bin/python}
passages=$DATA/wikipedia_2015_26k/passages.tsv.xz
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/openqa_wiki" --run BM25 --depth 50 --positives 1 \
  --collection "$passages" --out "$OUT/data"
$distilrank convert minilm-l6 --head late_interaction --out "$OUT/warm"

head -n "$GROUPS_READ" "$OUT/data/groups/train.jsonl" > "$OUT/groups.jsonl"
$distilrank teach --data "$OUT/data" --groups "$OUT/groups.jsonl" --teacher "$OUT/warm" --precision "$PRECISION" \
  --max-tokens 256 --out "$OUT/scores"
$distilrank teach --data "$OUT/data" --groups "$OUT/groups.jsonl" --scores-from "$OUT/data/runs/train.trec.gz" \
  --out "$OUT/bm25"
[ -d "$OUT/mix" ] || $distilrank mix-scores "$OUT/scores" "$OUT/bm25" --groups "$OUT/groups.jsonl" --scale none --weight 4 \
  --weight 1 --out "$OUT/mix"

judge() { # name of the system
  [ -f "$RESULTS/$1.openqa_dev.json" ] || $distilrank evaluate "$OUT/$1" --data "$OUT/data" --split dev --depth 20 \
    --max-queries 200 --measures nDCG@10,RR@10 --json "$RESULTS/$1.openqa_dev.json" --out-run "$OUT/$1.openqa_dev.trec"
  [ -f "$RESULTS/$1.trec_dl19.json" ] || $distilrank evaluate "$OUT/$1" --data "$DATA/trec_dl19" --run BM25 \
    --measures "nDCG@10,RR(rel=2)@10,AP(rel=2)" --json "$RESULTS/$1.trec_dl19.json" --out-run "$OUT/$1.trec_dl19.trec"
}

judge warm
for seed in $SEEDS; do
  $distilrank fine-tune --data "$OUT/data" --groups "$OUT/mix/groups.jsonl" --model minilm-l6 --head late_interaction \
    --objective listwise --objective info_nce --set gains=scores --learning-rate 2e-5 --steps "$STEPS" --batch-size 8 \
    --max-tokens 256 --precision "$PRECISION" --set dropout=0 --set calibration_groups=0 --evaluate-every 50 \
    --dev-queries 100 --dev-depth 20 --seed "$seed" --out "$OUT/tuned-$seed"
  $distilrank average "$OUT/warm" "$OUT/tuned-$seed" --out "$OUT/ranker-$seed"
  judge "ranker-$seed"
done
[ -n "$PACK" ] || exit 0
best=$($python recipes/default_ranker/best_on_dev.py "$RESULTS")
echo "best on the dev split: $best"
$distilrank pack "$OUT/$best" --embedding-bits 4 --data "$OUT/data" --split dev --depth 20 --max-queries 200 --out "$OUT/packed"
$distilrank calibrate "$OUT/packed" --data "$OUT/data" --split dev --depth 20 --max-queries 200 --unjudged not-relevant
judge packed
