from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.report.pareto_plot import Placed, pareto_front, quality_latency_size, unbeaten
from distilrank.evaluation.report.svg import standalone


def placed(name: str, ms: float, mean: float, megabytes: float | None = None) -> Placed:
    return Placed(name=name, ms=ms, quality=Interval(mean, mean - 0.05, mean + 0.05), megabytes=megabytes)


BM25 = placed("BM25", 2.0, 0.30)
STUDENT = placed("student & <co>", 200.0, 0.42, 19.0)
SLOW = placed("slow", 400.0, 0.42, 70.0)
WORSE = placed("worse", 300.0, 0.40, 30.0)
TEACHER = placed("teacher", 900.0, 0.45, 90.0)
ALL = [TEACHER, WORSE, SLOW, STUDENT, BM25]


def test_the_front_holds_what_none_outdoes() -> None:
    assert pareto_front(ALL) == [BM25, STUDENT, TEACHER]
    as_fast = placed("as fast, better", 200.0, 0.43)
    assert pareto_front([*ALL, as_fast]) == [BM25, as_fast, TEACHER]
    assert pareto_front([STUDENT]) == [STUDENT]


def test_a_small_one_is_outdone_by_none() -> None:
    assert unbeaten(ALL) == [TEACHER, STUDENT, BM25]
    small = placed("small", 500.0, 0.41, 5.0)
    assert small not in pareto_front([*ALL, small])
    assert unbeaten([*ALL, small]) == [TEACHER, STUDENT, BM25, small]
    assert unbeaten([STUDENT, STUDENT]) == [STUDENT, STUDENT]  # neither is better


def test_the_drawing() -> None:
    svg = standalone(quality_latency_size(ALL, measure="nDCG@10", passages=100))
    ElementTree.fromstring(svg)
    assert "var(" not in svg
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for text in ("BM25", "student &amp; &lt;co&gt;, 19 MB", "teacher, 90 MB", "nDCG@10 (up is better)"):
        assert text in texts, texts
    assert "median milliseconds for a query of 100 passages (left is faster)" in texts
    assert "None outdoes teacher, student &amp; &lt;co&gt;, BM25" in svg
    assert "teacher: nDCG@10 0.450 in 900.0 ms, 90 MB" in svg


def test_areas_are_sizes() -> None:
    svg = quality_latency_size([placed("a", 1.0, 0.5, 100.0), placed("b", 2.0, 0.5, 25.0)], measure="AP", passages=10)
    # A mark is a path that begins at the lowest point of its circle, as far from its centre as the radius.
    radii = [
        float(radius) for radius in re.findall(r'PathCollection_\d">\s*<defs>\s*<path id="[^"]*" d="M 0 ([\d.]+)', svg)
    ]
    assert radii[0] / radii[1] == pytest.approx(2.0)  # four times the area


def test_names_do_not_stand_on_one_another() -> None:
    crowd = [placed(f"system number {place}", 100.0 + 20 * place, 0.4, 20.0) for place in range(5)]
    svg = quality_latency_size(crowd, measure="AP", passages=10)
    found = re.findall(r"translate\(([\d.]+) ([\d.]+)\)[^>]*>system number", svg) or re.findall(
        r'x="([\d.]+)" y="([\d.]+)"[^>]*>system number', svg
    )
    heights = sorted(float(height) for _, height in found)
    assert len(heights) == 5
    assert min(after - before for before, after in pairwise(heights)) > 12
