#!/usr/bin/env bash
# Simplified TinyBERT on MS MARCO documents: students of 6/768 and 3/384 from a 12-layer BERT ranker of passages, and the
# four combinations of its two simplifications. Runs on your own copies; on a GPU.
#
#   MSMARCO=data/msmarco-doc TRAIN_RUN=data/train.trec DEV_RUN=data/dev.trec TEACHER=runs/teacher TEXT=data/wikipedia.txt \
#     bash recipes/simplified_tinybert/msmarco_documents.sh
#
# MSMARCO: folder with collection.tsv (msmarco-docs.tsv: id, address, title, body), queries.train.tsv, qrels.train.tsv,
# queries.dev.tsv and qrels.dev.tsv. TRAIN_RUN, DEV_RUN: first-stage runs of documents in TREC form, such as the published
# best 100. TEACHER: a BERT-base ranker of MS MARCO passages, such as the one of recipes/bert_rankers/msmarco.sh, which is
# what the paper distils. TEXT: plain text for general distillation, a sentence a line, blank lines between documents.
# GENERAL_6 and GENERAL_3 may name general students instead, so that TEXT is not needed.
#
# Epochs, batch and rate are the published code's. It does not say how passages are cut and filtered: 150 words, every
# 75, from a probability of 0.5 by the teacher. The feed-forward width of 3/384 is not stated either: 1536, 12 heads.
set -euo pipefail
: "${MSMARCO:?is the folder of MS MARCO}" "${TRAIN_RUN:?is a run of the train queries}" "${DEV_RUN:?is a run of the dev queries}"
: "${TEACHER:?is the folder of a ranker}"
OUT=${OUT:-runs/msmarco_documents} RESULTS=${RESULTS:-results/msmarco_documents} SEED=${SEED:-42} PRECISION=${PRECISION:-bf16}
TRIPLES=${TRIPLES:-1000000} DEPTH=${DEPTH:-100} THRESHOLD=${THRESHOLD:-0.5} BERT=${BERT:-bert-base-uncased}
STUDENTS=${STUDENTS:-6 3} SHAPE_6=${SHAPE_6:-6/768/3072/12} SHAPE_3=${SHAPE_3:-3/384/1536/12} MORE=${MORE:-}
distilrank=${DISTILRANK:-distilrank}
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$MSMARCO" --documents --window 150 --stride 75 --run "train=$TRAIN_RUN" \
  --run "dev=$DEV_RUN" --depth "$DEPTH" --out "$OUT/data"

judge() { # name of the system, options
  [ -f "$RESULTS/$1.dev.json" ] || $distilrank evaluate "${SYSTEM:-$OUT/$1}" --data "$OUT/data" --split dev \
    --measures RR@10,nDCG@10 --json "$RESULTS/$1.dev.json" --out-run "$OUT/$1.dev.trec" "${@:2}"
}

# MORE: further options of every training, such as --steps 2 to try the recipe.
SYSTEM=$TEACHER judge teacher
for layers in $STUDENTS; do
  shape=SHAPE_$layers given=GENERAL_$layers
  general=${!given:-$OUT/general_$layers}
  [ -n "${!given:-}" ] || $distilrank general-distil --text "${TEXT:?is plain text for general distillation}" \
    --teacher "$BERT" --shape "${!shape}" --precision "$PRECISION" --seed "$SEED" --chunks "$OUT/chunks" $MORE --out "$general"
  for combination in one,1 one,0 two,1 two,0; do
    steps=${combination%,*} hard=${combination#*,}
    name=${layers}_${steps}_$([ "$hard" = 1 ] && echo hard || echo soft)
    $distilrank distil --teacher "$TEACHER" --student "$general" --data "$OUT/data" --filter-positives "$THRESHOLD" \
      --triples "$TRIPLES" --precision "$PRECISION" --seed "$SEED" --set steps="$steps" --set hard="$hard" $MORE \
      --out "$OUT/$name"
    judge "$name" --teacher "$OUT/teacher.dev.trec"
  done
done
