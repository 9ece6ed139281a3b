"""Tables, page and drawing of a comparison."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import numpy as np
import pytest

from distilrank.evaluation.over_seeds import compare_by_query, ranker_mean
from distilrank.evaluation.report.comparison import (
    Comparison,
    Cost,
    MeasureTable,
    cells,
    comparison_markdown,
    header,
)
from distilrank.evaluation.report.comparison_plot import means_and_seeds
from distilrank.evaluation.report.svg import standalone

RNG = np.random.default_rng(8)
TEACHER = {"": RNG.random(15)}
NAMES = ["labels", "$kd_2$ & <co>"]


def tables() -> Mapping[str, MeasureTable]:
    found = {}
    for measure in ("nDCG@10", "RR@10"):
        values = {"BM25": {"": RNG.random(15)}, "teacher": TEACHER}
        values |= {name: {seed: RNG.random(15) for seed in ("1", "2", "3")} for name in NAMES}
        found[measure] = MeasureTable(
            systems={
                name: ranker_mean(each, teacher=TEACHER if name in NAMES else None) for name, each in values.items()
            },
            comparisons=compare_by_query(values, [(NAMES[1], NAMES[0])]),
        )
    return found


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    cost = Cost(training_seconds=61.7, ms_per_100=12.34, megabytes=43.21, parameters=10_800_123)
    return Comparison(
        baseline=NAMES[0],
        trained=NAMES,
        tests={"dev": tables()},
        costs={"teacher": Cost(parameters=22_713_601), **dict.fromkeys(NAMES, cost)},
        alarms=["dev: something is odd"],
        failures={"third-1": "it broke"},
    )


def test_cells_hold_what_was_found(comparison: Comparison) -> None:
    assert header(comparison, "dev") == [
        "system",
        "over",
        "nDCG@10",
        "RR@10",
        "training s",
        "ms per 100",
        "MB",
        "parameters",
    ]
    rows = {row[0][0]: row for row in cells(comparison, "dev")}
    assert list(rows) == ["BM25", "teacher", *NAMES]
    found = comparison.tests["dev"]["RR@10"].systems[NAMES[1]]
    (compared,) = comparison.tests["dev"]["RR@10"].comparisons
    assert found.kept is not None
    assert rows[NAMES[1]][3] == [
        f"{found.interval.mean:.4f}",
        f"({found.interval.low:.3f} to {found.interval.high:.3f})",
        f"{found.kept.mean:.1%} kept",
        f"p {compared.p_holm:.4f}",
    ]
    assert len(rows[NAMES[0]][3]) == 3  # the baseline is not compared with itself
    assert rows[NAMES[0]][0] == [NAMES[0], "(baseline)"]
    assert rows[NAMES[0]][1] == ["3 seeds"]
    assert rows[NAMES[0]][4:] == [["62"], ["12.3"], ["43.2"], ["10,800,123"]]
    assert rows["BM25"][4:] == [[""], [""], [""], [""]]
    assert rows["teacher"][7] == ["22,713,601"]


def test_the_page(comparison: Comparison) -> None:
    page = comparison_markdown(comparison, heading=["`distilrank compare`"], figures={"dev": "dev.svg"})
    lines = page.splitlines()
    assert lines[:3] == ["# Comparison", "", "`distilrank compare`"]
    table = [line for line in lines if line.startswith("| ")]
    assert len(table) == 6
    assert {line.count(" | ") for line in table} == {7}
    assert "| labels (baseline) | 3 seeds | " in page
    (compared,) = comparison.tests["dev"]["nDCG@10"].comparisons
    assert f"- nDCG@10: {NAMES[1]} against labels: {compared.difference.mean:+.4f}" in page
    assert "![Means and intervals on dev](dev.svg)" in page
    assert "## Alarms\n\n- dev: something is odd" in page
    assert "## Failed\n\n- third-1: it broke" in page


def test_as_json(comparison: Comparison) -> None:
    told = json.loads(json.dumps(comparison.as_dict()))
    assert told["tests"]["dev"]["RR@10"]["systems"]["teacher"]["over"] == "queries"
    assert told["costs"]["labels"]["training_seconds"] == 61.7
    assert told["failures"] == {"third-1": "it broke"}


def test_rows_for_the_plots(comparison: Comparison) -> None:
    rows = {row.name: row for row in comparison.rows("dev")}
    assert rows["labels"].ms_per_100_passages == 12.34
    assert rows["labels"].measures["RR@10"] == comparison.tests["dev"]["RR@10"].systems["labels"].interval
    assert rows["BM25"].ms_per_100_passages is None


def test_the_drawing_stands_alone(comparison: Comparison) -> None:
    svg = standalone(means_and_seeds(comparison.tests["dev"], trained=comparison.trained))
    ElementTree.fromstring(svg)
    assert "var(" not in svg
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for text in ("BM25", "teacher", "labels", "$kd_2$ &amp; &lt;co&gt;", "nDCG@10", "RR@10"):
        assert text in texts, texts
    assert texts.count("BM25") == 2  # a field for each measure
    found = comparison.tests["dev"]["nDCG@10"].systems["labels"].interval
    assert f"labels: nDCG@10 {found.mean:.3f}, RR@10 " in svg
    # Every seed is a mark of its own: 2 systems of 3 seeds on 2 measures, and as many means as systems and measures.
    marks = [
        len(re.findall("<use ", group)) for group in re.findall(r'<g id="means-line2d.*?</g>\s*</g>', svg, re.DOTALL)
    ]
    assert marks.count(3) >= 4
