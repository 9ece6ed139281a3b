"""Draw what the smaller forms of the ranker that ships take and reach, and print it as a table.

Usage: python recipes/default_ranker/frontier.py RUNS RESULTS, at the end of ``frontier_cpu.sh``; run from the root of
the repository. Sizes are kept in RESULTS/sizes.json, so that it can be drawn again without RUNS.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ship import PACKAGE, SETS, cell, of

from distilrank.evaluation.report.svg import MUTED, SERIES, drawing, standalone, to_svg

DRAWING = Path("docs/default_ranker_frontier.svg")
FORMS = {
    "packed": "as it ships: six layers in 8 bits, embeddings in 4",
    "six_layers": "all in 4 bits",
    "six_layers_14k": "and 14,459 tokens",
    "six_layers_7k": "and 7,064 tokens",
    "three_layers_7k": "and three layers",
}


def lies_in(form: str, results: Path) -> Path:
    """Return the folder of a form's results."""
    return results.parent if form == "packed" else results


def sizes(runs: Path, results: Path) -> dict[str, float]:
    """Return the megabytes of each form's whole folder, kept from before where its folder is not here."""
    kept = results / "sizes.json"
    found: dict[str, float] = json.loads(kept.read_text()) if kept.is_file() else {}
    for form in FORMS:
        folder = PACKAGE if form == "packed" else runs / form
        if folder.is_dir():
            found[form] = round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 2)
    kept.write_text(json.dumps(found, indent=1) + "\n")
    return found


def draw(megabytes: dict[str, float], results: Path) -> str:
    """Return the drawing: size across, quality up, one line for each test set."""
    with drawing(8.6, 4.6) as figure:
        axes = figure.add_subplot()
        for (test_set, title), colour in zip(SETS.items(), SERIES, strict=False):
            found = [of(lies_in(form, results), form, test_set) for form in megabytes]
            own, bm25 = [each["own"] for each in found], found[0]["bm25"]["mean"]
            across, means = list(megabytes.values()), [each["mean"] for each in own]
            axes.plot(across, means, marker="o", color=colour, linewidth=2)
            axes.vlines(across, [each["low"] for each in own], [each["high"] for each in own], color=colour, alpha=0.45)
            axes.axhline(bm25, color=colour, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(title, (across[0], means[0]), (8, -4), textcoords="offset points", color=colour)
            axes.annotate("BM25", (across[0], bm25), (8, 4), textcoords="offset points", color=MUTED)
        axes.set_xlim(0, 1.4 * max(megabytes.values()))
        axes.set_xlabel("MB of the whole folder")
        axes.set_ylabel("nDCG@10 with 95% intervals over queries")
        return standalone(to_svg(figure, name="frontier", description="Quality against size of the folder"))


def main(runs: Path, results: Path) -> None:
    """Write the drawing, print the table."""
    measured = sizes(runs, results)
    megabytes = {form: measured[form] for form in FORMS if form in measured}
    print("| | MB | " + " | ".join(SETS.values()) + " |\n| --- | ---: | ---: | ---: |")
    for form, size in megabytes.items():
        told = [cell(of(lies_in(form, results), form, each)["own"]) for each in SETS]
        print(f"| {FORMS[form]} | {size:.1f} | {' | '.join(told)} |")
    print("| BM25 | | " + " | ".join(cell(of(results.parent, "packed", each)["bm25"]) for each in SETS) + " |")
    DRAWING.write_text(draw(megabytes, results))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
