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

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from distilrank.data.files import read_json, write_json
from distilrank.evaluation.significance import holm

NAME = re.compile(r"(?P<system>.+?)-(?P<seed>\d+)\.(?P<set>[a-z0-9_]+)\.json")


def measured(file: Path) -> dict[str, dict[str, float]]:
    """Return measure -> mean, low and high of the system under test."""
    content = read_json(file)
    return next(each["measures"] for each in content["systems"] if each["name"] == content["system"])


def over_seeds(values: NDArray[np.float64]) -> dict[str, float]:
    """Return mean and Student's 95% interval of one value per seed."""
    mean = float(values.mean())
    few = len(values) < 2
    half = 0.0 if few else float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def summarise(folder: Path, test_set: str, baseline: str) -> dict[str, Any]:
    """Return measure -> rows of systems, and comparisons with the baseline."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = defaultdict(dict)
    for file in sorted(folder.glob(f"*-*.{test_set}.json")):
        if match := NAME.fullmatch(file.name):
            found[match["system"]][match["seed"]] = measured(file)
    teacher = measured(folder / f"teacher.{test_set}.json")
    summary: dict[str, Any] = {}
    for measure, of_teacher in teacher.items():
        values = {name: {seed: each[measure]["mean"] for seed, each in seeds.items()} for name, seeds in found.items()}
        rows: dict[str, Any] = {"teacher": {**of_teacher, "over": "examples"}}
        for name, seeds in values.items():
            interval = over_seeds(np.array([seeds[seed] for seed in sorted(seeds)]))
            share = interval["mean"] / of_teacher["mean"]
            rows[name] = {**interval, "over": f"{len(seeds)} seeds", "kept_of_teacher": share, "seeds": seeds}
        summary[measure] = {"systems": rows, "comparisons": compare(values, baseline)}
    return summary


def compare(values: dict[str, dict[str, float]], baseline: str) -> list[dict[str, Any]]:
    """Compare each system with the baseline on the seeds that both have, two at least."""
    comparisons: list[dict[str, Any]] = []
    p_values: list[float] = []
    for name, seeds in values.items():
        common = sorted(seeds.keys() & values.get(baseline, {}).keys())
        if name == baseline or len(common) < 2:
            continue
        differences = np.array([seeds[seed] - values[baseline][seed] for seed in common])
        comparisons.append({"system": name, "baseline": baseline, "difference": over_seeds(differences)})
        p_values.append(float(stats.ttest_1samp(differences, 0.0).pvalue) if differences.std() > 0 else 1.0)
    for comparison, p_value in zip(comparisons, holm(p_values), strict=True):
        comparison["p_holm"] = p_value
    return comparisons


def main() -> None:
    """Read, print as Markdown, and write ``summary.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", default="labels", help="the baseline")
    options = parser.parse_args()
    sets = sorted(file.name.split(".")[1] for file in options.folder.glob("teacher.*.json"))
    summary = {each: summarise(options.folder, each, options.against) for each in sets}
    for test_set, measures in summary.items():
        for measure, content in measures.items():
            print(f"\n**{test_set}, {measure}**\n\n| system | mean | 95% interval | over | kept of teacher |")
            print("|---|---|---|---|---|")
            for system, row in content["systems"].items():
                kept = f"{row['kept_of_teacher']:.1%}" if "kept_of_teacher" in row else ""
                interval = f"{row['low']:.3f} to {row['high']:.3f}"
                print(f"| {system} | {row['mean']:.4f} | {interval} | {row['over']} | {kept} |")
            for each in content["comparisons"]:
                d = each["difference"]
                change = f"{d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f}), p {each['p_holm']:.4f}"
                print(f"\n{each['system']} against {each['baseline']}: {change}")
    write_json(options.folder / "summary.json", summary)


if __name__ == "__main__":
    main()
