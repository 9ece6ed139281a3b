# Sourced by recipes on open-domain questions: measures a system on TREC DL 2019 and on the questions' own dev split, unless
# its result is there. Reads DATA, OUT, RESULTS, DEPTH, QUERIES, distilrank and, for a model outside OUT, SYSTEM.
judge() { # name of the system, options; SET in them stands for the test set
  local name=$1
  shift
  for set in trec_dl19 openqa_dev; do
    local test="--data $DATA/trec_dl19 --run BM25 --depth $DEPTH --measures nDCG@10,RR(rel=2)@10,AP(rel=2)"
    [ $set = trec_dl19 ] || test="--data $OUT/data --split dev --depth 20 --max-queries $QUERIES --measures nDCG@10,RR@10"
    [ -f "$RESULTS/$name.$set.json" ] && continue
    $distilrank evaluate "${SYSTEM:-$OUT/$name}" $test --json "$RESULTS/$name.$set.json" \
      --out-run "$OUT/$name.$set.trec" "${@//SET/$set}"
  done
}
