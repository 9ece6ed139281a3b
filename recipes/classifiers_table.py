"""One table of several classifiers over several seeds, from what ``distilrank evaluate --json`` wrote.

    python recipes/classifiers_table.py results/sst2 --against labels

The folder holds ``teacher.<test set>.json`` and ``<system>-<seed>.<test set>.json``. The teacher's interval is the
bootstrap's over examples; the others' are Student's over seeds. Comparisons pair the runs of one seed: Student's
interval of the mean difference, and the p value of the paired t-test with Holm's correction over the systems of a
measure. Writes ``summary.json`` beside them.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from distilrank.data.files import read_json, write_json
from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.over_seeds import classifier_mean, compare_by_seed
from distilrank.evaluation.report.markdown import measure_markdown

NAME = re.compile(r"(?P<system>.+?)-(?P<seed>\d+)\.(?P<set>[a-z0-9_]+)\.json")


def measured(file: Path) -> dict[str, Interval]:
    """Return measure -> the value of the system under test with its interval."""
    content = read_json(file)
    found = next(each["measures"] for each in content["systems"] if each["name"] == content["system"])
    return {measure: Interval(**value) for measure, value in found.items()}


def summarise(folder: Path, test_set: str, baseline: str) -> dict[str, Any]:
    """Print each measure's table, and return its systems and their comparisons with the baseline."""
    found: dict[str, dict[str, dict[str, Interval]]] = defaultdict(dict)
    for file in sorted(folder.glob(f"*-*.{test_set}.json")):
        if match := NAME.fullmatch(file.name):
            found[match["system"]][match["seed"]] = measured(file)
    summary: dict[str, Any] = {}
    for measure, of_teacher in measured(folder / f"teacher.{test_set}.json").items():
        values = {name: {seed: each[measure] for seed, each in seeds.items()} for name, seeds in found.items()}
        rows = {"teacher": classifier_mean({"": of_teacher})}
        rows |= {name: classifier_mean(seeds, teacher=of_teacher) for name, seeds in values.items()}
        means = {name: {seed: each.mean for seed, each in seeds.items()} for name, seeds in values.items()}
        pairs = [(name, baseline) for name in means if name != baseline and baseline in means]
        comparisons = compare_by_seed(means, pairs)
        print(f"\n{measure_markdown(f'{test_set}, {measure}', rows, comparisons)}")
        summary[measure] = {
            "systems": {name: row.as_dict() for name, row in rows.items()},
            "comparisons": [each.as_dict() for each in comparisons],
        }
    return summary


def main() -> None:
    """Read, print as Markdown, and write ``summary.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", default="labels", help="the baseline")
    options = parser.parse_args()
    sets = sorted(file.name.split(".")[1] for file in options.folder.glob("teacher.*.json"))
    summary = {each: summarise(options.folder, each, options.against) for each in sets}
    write_json(options.folder / "summary.json", summary)


if __name__ == "__main__":
    main()
