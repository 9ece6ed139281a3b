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
from scipy import stats

from distilrank.data.files import read_json, write_json
from distilrank.evaluation.intervals import mean_interval, ratio_interval
from distilrank.evaluation.significance import holm, randomisation_test

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


def mean_over_seeds(seeds: dict[str, Values], measure: str) -> dict[str, Any]:
    """Return mean and 95% interval over seeds, or over queries where there is one seed only."""
    means = [float(values[measure].mean()) for values in seeds.values()]
    if len(means) == 1:
        return {**mean_interval(next(iter(seeds.values()))[measure]).as_dict(), "over": "queries"}
    half = float(stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / len(means) ** 0.5)
    mean = float(np.mean(means))
    return {"mean": mean, "low": mean - half, "high": mean + half, "over": f"{len(means)} seeds", "seeds": means}


def summarise(systems: dict[str, dict[str, Values]], baselines: list[str], teacher: str) -> dict[str, Any]:
    """Return for each measure the systems' means, shares of the teacher kept, and comparisons."""
    summary: dict[str, Any] = {}
    for measure in next(iter(next(iter(systems.values())).values())):
        by_query = {name: np.mean([v[measure] for v in seeds.values()], axis=0) for name, seeds in systems.items()}
        rows: dict[str, Any] = {name: mean_over_seeds(seeds, measure) for name, seeds in systems.items()}
        comparisons = []
        for name, values in by_query.items():
            if len(systems[name]) > 1 and teacher in by_query:
                kept = ratio_interval(values, by_query[teacher])
                rows[name]["kept_of_teacher"] = None if kept is None else kept.as_dict()
            others = [each for each in baselines if each in by_query and each != name and len(systems[name]) > 1]
            p_values = holm([randomisation_test(values, by_query[other]) for other in others])
            for other, p_value in zip(others, p_values, strict=True):
                difference = mean_interval(values - by_query[other]).as_dict()
                comparisons.append({"system": name, "baseline": other, "difference": difference, "p_holm": p_value})
        summary[measure] = {"systems": rows, "comparisons": comparisons}
    return summary


def main() -> None:
    """Read, print as Markdown, and write ``summary.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", action="append", default=[], help="baseline; repeatable")
    parser.add_argument("--teacher", default="teacher")
    options = parser.parse_args()
    summary = {}
    for name, systems in read_folder(options.folder).items():
        summary[name] = summarise(systems, options.against, options.teacher)
        for measure, content in summary[name].items():
            print(f"\n**{name}, {measure}**\n\n| system | mean | 95% interval | over | kept of teacher |")
            print("|---|---|---|---|---|")
            for system, row in content["systems"].items():
                kept = row.get("kept_of_teacher")
                share = f"{kept['mean']:.1%} ({kept['low']:.1%} to {kept['high']:.1%})" if kept else ""
                interval = f"{row['low']:.3f} to {row['high']:.3f}"
                print(f"| {system} | {row['mean']:.4f} | {interval} | {row['over']} | {share} |")
            for each in content["comparisons"]:
                d = each["difference"]
                change = f"{d['mean']:+.4f} ({d['low']:+.4f} to {d['high']:+.4f}), p {each['p_holm']:.4f}"
                print(f"\n{each['system']} against {each['baseline']}: {change}")
    write_json(options.folder / "summary.json", summary)


if __name__ == "__main__":
    main()
