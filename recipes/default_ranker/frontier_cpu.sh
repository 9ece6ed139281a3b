#!/usr/bin/env bash
# Smaller than the ranker that comes along: what fewer bits, a smaller vocabulary and fewer layers take and cost. After
# openqa_cpu.sh; every step goes on where it stopped when the script is run again. About two hours of one core, most of it
# for the three layers.
#
#   DATA=../shared/data OUT=runs/default_ranker RESULTS=results/default_ranker/frontier bash recipes/default_ranker/frontier_cpu.sh
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/default_ranker} RESULTS=${RESULTS:-results/default_ranker/frontier}
PRECISION=${PRECISION:-bf16} STEPS=${STEPS:-3000}
distilrank=${DISTILRANK:-.venv/bin/distilrank} python=${PYTHON:-.venv/bin/python}
ranker=weights/default_ranker text=$OUT/every_seventh_passage.tsv
mkdir -p "$OUT" "$RESULTS"
[ -f "$text" ] || { xzcat "$DATA/wikipedia_2015_26k/passages.tsv.xz" | awk 'NR % 7 == 0' > "$text.part"; mv "$text.part" "$text"; }

few_bits() { # folder of the ranker, name of the packed one
  $distilrank pack "$1" --embedding-bits 4 --weight-bits 4 --margin 0.2 --data "$OUT/data" --split dev --depth 20 \
    --max-queries 200 --out "$OUT/$2"
  [ -f "$RESULTS/$2.openqa_dev.json" ] || $distilrank evaluate "$OUT/$2" --data "$OUT/data" --split dev --depth 20 \
    --max-queries 200 --measures nDCG@10,RR@10 --json "$RESULTS/$2.openqa_dev.json"
  [ -f "$RESULTS/$2.trec_dl19.json" ] || $distilrank evaluate "$OUT/$2" --data "$DATA/trec_dl19" --run BM25 \
    --measures "nDCG@10,RR(rel=2)@10,AP(rel=2)" --json "$RESULTS/$2.trec_dl19.json"
}

# Six layers: half bytes, then a vocabulary of 14,459 tokens, then of 7,064.
$distilrank trim "$ranker" --text "$text" --reserve 0 --min-count 90 --out "$OUT/14k"
$distilrank trim "$ranker" --text "$text" --reserve 0 --min-count 280 --out "$OUT/7k"
few_bits "$OUT/ranker-1" six_layers
few_bits "$OUT/14k" six_layers_14k
few_bits "$OUT/7k" six_layers_7k

# Three layers of the last, which learn its token states on plain text, then its scores on the questions.
$distilrank general-distil --text "$text" --teacher "$OUT/7k" --layers 3 --steps "$STEPS" --batch-size 32 \
  --learning-rate 4e-4 --max-tokens 128 --precision "$PRECISION" --set attention=0 --set embedding=0 --set dropout=0 \
  --set 'layer_weights=[0,0.1,0.1,1]' --out "$OUT/three_general"
$distilrank convert "$OUT/three_general" --head late_interaction --out "$OUT/three_start"
$distilrank fine-tune --data "$OUT/data" --groups "$OUT/mix/groups.jsonl" --model "$OUT/three_start" \
  --head late_interaction --objective listwise --objective info_nce --set gains=scores --learning-rate 1e-4 --steps 200 \
  --batch-size 8 --max-tokens 256 --precision "$PRECISION" --set dropout=0 --set calibration_groups=0 \
  --evaluate-every 100 --dev-queries 100 --dev-depth 20 --seed 1 --out "$OUT/three"
few_bits "$OUT/three" three_layers_7k

$python recipes/default_ranker/frontier.py "$OUT" "$RESULTS"
