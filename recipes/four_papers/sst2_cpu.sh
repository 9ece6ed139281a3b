#!/usr/bin/env bash
# Every paper's student of one SST-2 classifier, small enough for two CPU cores: a MiniLM-L6 teacher, then a 3/384
# student by plain fine-tuning, by Hinton's distillation, by Simplified TinyBERT and by TinyBERT (which starts from a
# general student), and a BiLSTM. Judged on SST-2's dev split: its test split has no public labels. Every step goes on
# where it stopped when the script is run again.
#
#   DATA=../shared/data OUT=runs/sst2 RESULTS=results/sst2 bash recipes/four_papers/sst2_cpu.sh
#   .venv/bin/python recipes/classifiers_table.py results/sst2 --against labels
set -euo pipefail
DATA=${DATA:-../shared/data} OUT=${OUT:-runs/sst2} RESULTS=${RESULTS:-results/sst2}
TEACHER_EPOCHS=${TEACHER_EPOCHS:-1} STEPS=${STEPS:-500} GENERAL_STEPS=${GENERAL_STEPS:-400}
SEEDS=${SEEDS:-1 2 3} PRECISION=${PRECISION:-bf16}
SYSTEMS=${SYSTEMS:-labels standard simplified tinybert bilstm}
distilrank=${DISTILRANK:-.venv/bin/distilrank}
common="--data $OUT/data --max-tokens 64 --precision $PRECISION --set dropout=0"
mkdir -p "$OUT" "$RESULTS"

[ -d "$OUT/data" ] || $distilrank prepare --data "$DATA/sst2" --out "$OUT/data"
$distilrank fine-tune $common --epochs "$TEACHER_EPOCHS" --batch-size 64 --learning-rate 1e-4 --out "$OUT/teacher"
case " $SYSTEMS " in *" tinybert "*)
  $distilrank general-distil --text "$DATA/wikipedia_2015_26k/passages.tsv.xz" --layers 3 --steps "$GENERAL_STEPS" \
    --batch-size 32 --max-tokens 64 --learning-rate 2e-4 --precision "$PRECISION" --out "$OUT/general" ;;
esac

case " $SYSTEMS " in *" bilstm "*)
  [ -f "$OUT/rules.jsonl" ] || $distilrank augment --data "$OUT/data" --method rules --set variants=1 \
    --out "$OUT/rules.jsonl" ;;
esac

judge() { # name of the system, further options
  [ -f "$RESULTS/$1.sst2_dev.json" ] && return
  $distilrank evaluate "$OUT/$1" --data "$OUT/data" --split dev --json "$RESULTS/$1.sst2_dev.json" "${@:2}"
}

distil() { # system, seed
  local to="--teacher $OUT/teacher --seed $2 --out $OUT/$1-$2" bert="$common --batch-size 64 --learning-rate 2e-4"
  case $1 in
    labels) $distilrank distil $bert $to --steps "$STEPS" --layers 3 --procedure standard --set alpha=0 ;;
    standard) $distilrank distil $bert $to --steps "$STEPS" --layers 3 --procedure standard ;;
    simplified) $distilrank distil $bert $to --steps "$STEPS" --layers 3 --procedure simplified_tinybert ;;
    tinybert) # half of the steps in each stage
      $distilrank distil --data "$OUT/data" --max-tokens 64 $to --procedure tinybert --student "$OUT/general" \
        --set layers.precision="$PRECISION" --set answers.precision="$PRECISION" --set layers.dropout=0 \
        --set answers.dropout=0 --set layers.batch_size=64 --set answers.batch_size=64 \
        --set layers.max_steps=$((STEPS / 2)) --set answers.max_steps=$((STEPS / 2)) \
        --set layers.learning_rate=2e-4 --set answers.learning_rate=2e-4 ;;
    bilstm) # small batches, and more of them: nothing in it is pre-trained but the word vectors
      $distilrank distil --data "$OUT/data" $to --procedure bilstm --shape 150/200 --augmented "$OUT/rules.jsonl" \
        --set student.vocabulary_size=20000 \
        --vectors "$DATA/word_vectors/w2v_wiki_books_100d.txt.gz" --precision "$PRECISION" --steps $((STEPS * 6)) ;;
  esac
}

judge teacher
for seed in $SEEDS; do
  for system in $SYSTEMS; do
    distil "$system" "$seed"
    judge "$system-$seed" --teacher "$OUT/teacher"
  done
done
