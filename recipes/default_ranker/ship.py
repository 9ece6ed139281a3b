"""Put the packed ranker into the package, its torch weights in half precision beside it, and write the card of both.

Usage: python recipes/default_ranker/ship.py RUNS RESULTS, after ``openqa_cpu.sh``; run from the root of the repository.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

from best_on_dev import own_mean

from distilrank.workflows.pack import FILES

sys.path.insert(0, "tools")
from half_precision import half_precision

PACKAGE = Path("src/distilrank/default_ranker")
HALF = Path("weights/default_ranker")
SETS = {"openqa_dev": "openqa dev, BM25's 20", "trec_dl19": "TREC DL 2019, BM25's 100"}


def of(results: Path, name: str, test_set: str) -> dict[str, Any]:
    """Return a system's result on a test set, and BM25's as ``first_stage``."""
    result = json.loads((results / f"{name}.{test_set}.json").read_text())
    by_name = {each["name"]: each["measures"]["nDCG@10"] for each in result["systems"]}
    return {"own": by_name[result["system"]], "bm25": next(iter(by_name.values()))}


def cell(value: dict[str, float]) -> str:
    """Return a mean with its interval."""
    return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def table(results: Path, seeds: list[str]) -> str:
    """Return the table of nDCG@10."""
    rows = ["| nDCG@10 | " + " | ".join(SETS.values()) + " |", "| --- | ---: | ---: |"]
    rows.append("| BM25 | " + " | ".join(cell(of(results, "warm", each)["bm25"]) for each in SETS) + " |")
    named = {"warm": "before training", **{name: name.replace("-", ", seed ") for name in seeds}}
    named["packed"] = "**this folder** (the best seed on dev, weights in 8 and 4 bits)"
    for name, told in named.items():
        rows.append(f"| {told} | " + " | ".join(cell(of(results, name, each)["own"]) for each in SETS) + " |")
    found = [[of(results, name, each)["own"]["mean"] for name in seeds] for each in SETS]
    means = [f"{fmean(own):.3f} ({min(own):.3f} to {max(own):.3f} over seeds)" for own in found]
    rows.append("| mean of the seeds | " + " | ".join(means) + " |")
    return "\n".join(rows)


def spread(results: Path, system: str, test_set: str) -> str:
    """Return the lowest and the highest mean of a system's seeds."""
    found = [own_mean(path) for path in results.glob(f"{system}-*.{test_set}.json")]
    return f"{min(found):.3f} to {max(found):.3f}"


def card(results: Path, seeds: list[str], best: str, *, half: bool) -> str:
    """Return the model card."""
    template = Path(__file__).with_name("card.md").read_text()
    looks = json.loads((results / "looks.json").read_text())
    return template.format(
        what="torch weights in half precision" if half else "ONNX, weights in 8 bits and word embeddings in 4",
        table=table(results, seeds),
        best=best.replace("ranker-", "seed "),
        tuned_dev=spread(results / "trials", "tuned", "openqa_dev"),
        tuned_dl19=spread(results / "trials", "tuned", "trec_dl19"),
        looks=len(looks["looks"]),
        systems=sum(each["systems"] for each in looks["looks"]),
    )


def main(runs: Path, results: Path) -> None:
    """Write both folders."""
    found = sorted(results.glob("ranker-*.openqa_dev.json"))
    best = max(found, key=own_mean).name.removesuffix(".openqa_dev.json")
    seeds = [path.name.removesuffix(".openqa_dev.json") for path in found]
    shutil.rmtree(PACKAGE, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    half_precision(runs / best, HALF)
    for name in (name for name in FILES if name != "README.md"):
        shutil.copyfile(runs / "packed" / name, PACKAGE / name)
    (PACKAGE / "onnx").mkdir()
    shutil.copyfile(runs / "packed" / "onnx" / "model.onnx", PACKAGE / "onnx" / "model.onnx")
    (PACKAGE / "README.md").write_text(card(results, seeds, best, half=False))
    (HALF / "README.md").write_text(card(results, seeds, best, half=True))
    for folder in (PACKAGE, HALF):
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{folder}\t{size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
