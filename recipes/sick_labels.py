"""Two tasks that are not classes, made of SICK's two annotations of each pair of sentences.

    python recipes/sick_labels.py ../shared/data/sick runs/sick

- ``raw-labels``: any of three labels at once, ``related`` (relatedness of 4 or more, of 5), ``entailed`` and
  ``contradicted`` (what the judges said of entailment; neither for NEUTRAL). A pair may have none of them, one, or
  ``related`` with one of the others.
- ``raw-number``: relatedness as the number it is.

Each is a folder of ``train.jsonl``, ``dev.jsonl`` and ``test.jsonl``, SICK's own splits, for ``distilrank prepare``.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from distilrank.data.files import atomic_write

RELATED = 4.0


def pairs(file: Path) -> Iterator[tuple[dict[str, str], float, str]]:
    """Yield both texts, relatedness and the entailment judgement."""
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
            texts = {"text": row["sentence_A"], "text_pair": row["sentence_B"]}
            yield texts, float(row["relatedness_score"]), row["entailment_judgment"]


def labels(relatedness: float, judgement: str) -> list[str]:
    """Return the labels of a pair."""
    holds = {
        "related": relatedness >= RELATED,
        "entailed": judgement == "ENTAILMENT",
        "contradicted": judgement == "CONTRADICTION",
    }
    return [name for name, value in holds.items() if value]


def main() -> None:
    """Write both tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of train.tsv, dev.tsv and test.tsv")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for split in ("train", "dev", "test"):
        found = list(pairs(options.source / f"{split}.tsv"))
        marked = [{**texts, "label": labels(relatedness, judgement)} for texts, relatedness, judgement in found]
        numbered = [{**texts, "label": relatedness} for texts, relatedness, _ in found]
        for name, records in (("raw-labels", marked), ("raw-number", numbered)):
            with atomic_write(options.out / name / f"{split}.jsonl") as file:
                file.writelines(json.dumps(record) + "\n" for record in records)


if __name__ == "__main__":
    main()
