"""The report: it needs no other file, escapes what it is given and says where each passage stood."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.report import (
    Report,
    Row,
    loss_curves,
    query_differences,
    render_report,
    worst_and_best,
    write_report,
)
from distilrank.records import Passage, Query

HOSTILE = "<script>alert('x')</script> & $a_2$ \"quoted\" {{ 7 * 7 }}"
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Reads a page into elements and fails on wrong nesting."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def report() -> Report:
    queries = {"q1": Query("q1", HOSTILE), "q2": Query("q2", "second"), "q3": Query("q3", "third")}
    passages = {name: Passage(name, f"text of {name}", title=HOSTILE) for name in ("a", "b", "c", "d")}
    runs = {
        "student": {"q1": {"a": 3.0, "b": 2.0, "c": 1.0}, "q2": {"a": 1.0, "b": 2.0}, "q3": {"a": 1.0}},
        "teacher": {"q1": {"c": 3.0, "b": 2.0, "a": 1.0}, "q2": {"a": 2.0, "b": 1.0}, "q3": {"a": 1.0}},
        "BM25": {"q1": {"b": 3.0, "c": 2.0}, "q2": {"a": 2.0, "b": 1.0}, "q3": {"a": 1.0}},
    }
    student, teacher = {"q1": 1 / 3, "q2": 1.0, "q3": 1.0}, {"q1": 1.0, "q2": 0.5, "q3": 1.0}
    interval = Interval(0.5, 0.4, 0.6)
    network = {"parameters": 22_713_601, "megabytes": 90.85}
    return Report(
        title=f"Title {HOSTILE}",
        measure="RR@10",
        rows=[
            Row(name="BM25", measures={"RR@10": interval}),
            Row(name=HOSTILE, measures={"RR@10": interval}, ms_per_100_passages=800.0, **network),
            Row(
                name="student",
                measures={"RR@10": Interval(0.4815, 0.3, 0.6)},
                ms_per_100_passages=333.33,
                kept=Interval(0.963, 0.9, 1.01),
                note=HOSTILE,
                **network,
            ),
        ],
        findings=[HOSTILE],
        alarms=["it is constant", HOSTILE],
        facts={"command": f"distilrank quickstart {HOSTILE}"},
        curves=loss_curves(
            HOSTILE,
            [{"stage": "train", "step": n, "terms": {"hidden": 1.0 / n, HOSTILE: -1.0}} for n in range(1, 2001)],
        ),
        differences=query_differences(student, teacher),
        cases=worst_and_best(
            student_values=student,
            teacher_values=teacher,
            queries=queries,
            passages=passages,
            qrels={"q1": {"c": 2, "b": 0, "gone": 1}, "q2": {"b": 1}, "q3": {"a": 1}},
            runs=runs,
        ),
    )


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render_report(report)


def test_page_asks_for_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "srcset"):
            assert attributes.get(name, "#").startswith("#")
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", html))
    assert "@import" not in html


def test_text_is_escaped_everywhere(html: str) -> None:
    page = Page(html)
    # Title, heading, finding, fact, row, note, curve, query and the passages' titles; and the drawings.
    assert page.text.count("<script>alert('x')</script>") >= 9
    assert "{{ 7 * 7 }}" in page.text
    drawn = Page("".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))).text
    assert drawn.count(HOSTILE) == 2


def test_alarms_stand_on_the_page(html: str, report: Report) -> None:
    assert '<ul class="findings alarms" aria-label="Alarms"><li>it is constant</li>' in html
    assert 'aria-label="Alarms"' not in render_report(replace(report, alarms=()))


def test_ids_are_unique_and_references_hit(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r"url\(#([^)]*)\)", html)) | set(re.findall(r'href="#([^"]*)"', html))
    assert wanted
    assert wanted <= set(ids)


def test_every_colour_is_known_to_the_light_and_the_dark_page(html: str) -> None:
    used = set(re.findall(r"var\((--[\w-]+)\)", html)) - {"--sans"}
    light, dark = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    assert used <= set(re.findall(r"(--[\w-]+):", light))
    assert used <= set(re.findall(r"(--[\w-]+):", dark))
    drawings = "".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL))
    assert not re.findall(r"(?<!&)#[0-9a-f]{6}\b", drawings)


def test_table_has_headers_and_numbers(html: str) -> None:
    page = Page(html)
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    assert len(page.all("caption")) == 1
    for shown in ("0.481", "0.300 to 0.600", "22,713,601", "90.8", "333.3", "96.3%", "90.0% to 101.0%"):
        assert shown in page.text


def test_drawings_are_described(html: str) -> None:
    drawings = Page(html).all("svg")
    assert len(drawings) == 3
    assert all(drawing["role"] == "img" for drawing in drawings)
    assert "student: RR@10 0.481 in 333.3 ms" in drawings[0]["aria-label"]
    assert "of 3 queries, losses 1, ties 1, gains 1" in drawings[1]["aria-label"]
    assert "hidden ends at 0.0005" in drawings[2]["aria-label"]


def test_long_curves_stay_small(report: Report) -> None:
    noise = [{"stage": "train", "step": n, "terms": {"hidden": float(n * n % 101)}} for n in range(1, 20_001)]
    assert len(render_report(replace(report, curves=loss_curves("Long", noise)))) < 200_000


def test_same_report_gives_the_same_bytes(report: Report, html: str) -> None:
    assert render_report(report) == html


def test_worst_case_shows_where_each_ranked_the_relevant_passage(report: Report) -> None:
    worst, gained = report.cases
    assert worst.query.query_id == "q1"
    assert worst.difference == pytest.approx(-2 / 3)
    assert [passage.doc_id for passage in worst.student_top] == ["a", "b", "c"]
    assert [passage.doc_id for passage in worst.teacher_top] == ["c", "b", "a"]
    assert [(passage.doc_id, passage.relevance) for passage in worst.relevant] == [("c", 2)]
    assert worst.relevant[0].ranks == {"student": 3, "teacher": 1, "BM25": 2}
    assert worst.student_top[0].ranks["BM25"] is None
    assert [passage.relevant for passage in worst.student_top] == [False, False, True]
    assert gained.query.query_id == "q2"
    assert gained.difference == 0.5


def test_case_stands_on_the_page(html: str) -> None:
    text = re.sub(r"[ \n]+", " ", Page(html).text)
    assert "student 0.333, teacher 1.000 · query q1" in text
    assert "student\N{NO-BREAK SPACE}3 · teacher\N{NO-BREAK SPACE}1 · BM25\N{NO-BREAK SPACE}2" in text
    assert "BM25\N{NO-BREAK SPACE}not listed" in text
    assert "\N{MINUS SIGN}0.667" in text
    assert "+0.500" in text


@pytest.mark.parametrize("most", [0, 1])
def test_number_of_cases_is_bounded_and_ties_go_by_query_id(most: int) -> None:
    values = dict.fromkeys("bca", 0.0)
    cases = worst_and_best(
        student_values=values,
        teacher_values=dict.fromkeys(values, 1.0),
        queries={query_id: Query(query_id, query_id) for query_id in values},
        passages={},
        qrels={},
        runs={"student": {}, "teacher": {}},
        worst=most,
    )
    assert [case.query.query_id for case in cases] == ["a"][:most]


def test_many_relevant_passages_are_counted_not_listed() -> None:
    passages = {str(n): Passage(str(n), "text") for n in range(9)}
    (case,) = worst_and_best(
        student_values={"q": 0.0},
        teacher_values={"q": 1.0},
        queries={"q": Query("q", "query")},
        passages=passages,
        qrels={"q": dict.fromkeys(passages, 1)},
        runs={"student": {}, "teacher": {"q": {"7": 2.0, "8": 1.0}}},
    )
    assert [passage.doc_id for passage in case.relevant] == ["7", "8", "0"]
    assert case.more_relevant == 6


def test_curves_are_split_by_stage_and_gaps_are_kept() -> None:
    steps = [
        {"stage": "layers", "step": 1, "terms": {"hidden": 2.0}},
        {"stage": "answers", "step": 1, "terms": {"soft": 1.0}},
        {"stage": "answers", "step": 2, "terms": {"soft": 0.5, "hard": 0.25}},
    ]
    layers, answers = loss_curves("Student", steps)
    assert (layers.title, answers.title) == ("Student: layers", "Student: answers")
    assert list(answers.steps) == [1, 2]
    assert list(answers.terms["soft"]) == [1.0, 0.5]
    assert answers.terms["hard"][1] == 0.25
    assert answers.terms["hard"][0] != answers.terms["hard"][0]


def test_parts_without_content_are_left_out() -> None:
    bare = Report(title="Bare", measure="AP", rows=[Row(name="BM25", measures={"AP": Interval(0.1, 0.0, 0.2)})])
    page = Page(render_report(bare))
    assert len(page.all("h2")) == 1
    assert not page.all("svg")
    assert not page.all("details")


def test_measure_without_a_row_is_refused_and_nothing_is_written(report: Report, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nDCG@10"):
        write_report(tmp_path / "report.html", replace(report, measure="nDCG@10"))
    assert list(tmp_path.iterdir()) == []


def test_file_is_utf8_even_with_half_a_character(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", replace(report, title="Größe \ud83d"))
    assert "<title>Größe ?</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_row_is_what_results_json_holds(report: Report) -> None:
    assert report.rows[0].as_dict() == {
        "name": "BM25",
        "measures": {"RR@10": {"mean": 0.5, "low": 0.4, "high": 0.6}},
        "parameters": None,
        "megabytes": None,
        "ms_per_100_passages": None,
    }
    assert report.rows[2].as_dict()["kept"] == {"mean": 0.963, "low": 0.9, "high": 1.01}
