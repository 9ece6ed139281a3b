"""One table of several systems over several seeds, from what ``distilrank evaluate --json`` wrote.

    python recipes/seeds_table.py results/openqa --against labels --against standard

The folder holds ``<system>.<test set>.json`` and, for systems trained with several seeds, ``<system>-<seed>.<test
set>.json``. Intervals of systems with seeds are Student's over the seeds; comparisons average each query over the seeds
first, and give the bootstrap interval of the difference and the p value of the paired randomisation test with Holm's
correction over the baselines of a measure. Writes ``summary.json`` beside them.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import read_json, write_json
from distilrank.evaluation.over_seeds import compare_by_query, ranker_mean
from distilrank.evaluation.report.markdown import measure_markdown

NAME = re.compile(r"(?P<system>.+?)(?:-(?P<seed>\d+))?\.(?P<set>[a-z0-9_]+)\.json")
Values = dict[str, NDArray[np.float64]]


def read_folder(folder: Path) -> dict[str, dict[str, dict[str, Values]]]:
    """Return test set -> system -> seed ("" where there is none) -> measure -> one value per query, by query id."""
    found: dict[str, dict[str, dict[str, Values]]] = defaultdict(lambda: defaultdict(dict))
    for file in sorted(folder.glob("*.json")):
        match = NAME.fullmatch(file.name)
        if not match:
            continue
        content = read_json(file)
        for system in (content["first_stage"], content["system"]):
            values = {m: per_system[system] for m, per_system in content["per_query"].items()}
            name = match["system"] if system == content["system"] else system
            seed = (match["seed"] or "") if system == content["system"] else ""
            found[match["set"]][name][seed] = {m: np.array([v[q] for q in sorted(v)]) for m, v in values.items()}
    return found


def summarise(title: str, systems: dict[str, dict[str, Values]], baselines: list[str], teacher: str) -> dict[str, Any]:
    """Print each measure's table, and return its systems' means, shares of the teacher kept, and comparisons."""
    summary: dict[str, Any] = {}
    for measure in next(iter(next(iter(systems.values())).values())):
        values = {name: {seed: each[measure] for seed, each in seeds.items()} for name, seeds in systems.items()}
        trained = [name for name, seeds in systems.items() if len(seeds) > 1]
        rows = {name: ranker_mean(seeds) for name, seeds in values.items()}
        if teacher in values:
            rows |= {name: ranker_mean(values[name], teacher=values[teacher]) for name in trained}
        comparisons = []
        for name in trained:
            others = [each for each in baselines if each in values and each != name]
            comparisons += compare_by_query(values, [(name, other) for other in others])
        print(f"\n{measure_markdown(f'{title}, {measure}', rows, comparisons)}")
        summary[measure] = {
            "systems": {name: row.as_dict() for name, row in rows.items()},
            "comparisons": [each.as_dict() for each in comparisons],
        }
    return summary


def main() -> None:
    """Read, print as Markdown, and write ``summary.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", action="append", default=[], help="baseline; repeatable")
    parser.add_argument("--teacher", default="teacher")
    options = parser.parse_args()
    found = read_folder(options.folder)
    summary = {name: summarise(name, systems, options.against, options.teacher) for name, systems in found.items()}
    write_json(options.folder / "summary.json", summary)


if __name__ == "__main__":
    main()
