from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from distilrank.data.given_scores import GivenScores, form_of
from distilrank.errors import InputError

FILES = {
    "triples": (
        "4.5\t-1.25\tq1\td1\td2\n3.5\t0.1\tq1\td1\td3\n9\t8\tq2\td4\td1\n",
        [
            ("q1", "d1", 4.5),
            ("q1", "d2", -1.25),
            ("q1", "d1", 3.5),
            ("q1", "d3", 0.1),
            ("q2", "d4", 9),
            ("q2", "d1", 8),
        ],
    ),
    "run": ("q1 Q0 d1 1 0.1 tag\nq2\tQ0\td2\t1\t-3e2\ttag\n", [("q1", "d1", 0.1), ("q2", "d2", -300.0)]),
    "jsonl": (
        '{"query_id": "q1", "doc_id": 5, "score": 0.1}\n{"score": -2, "query_id": "q2", "doc_id": "d\u00e9"}\n',
        [("q1", "5", 0.1), ("q2", "d\u00e9", -2.0)],
    ),
}


@pytest.mark.parametrize("form", FILES)
def test_rows_wherever_a_part_begins_and_ends(tmp_path: Path, form: str) -> None:
    text, expected = FILES[form]
    path = tmp_path / "scores.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert form_of(path) == form
    given = GivenScores(path)
    assert len(given) == len(expected)
    for start in range(len(expected) + 1):
        for stop in range(start, len(expected) + 2):
            query_ids, doc_ids, scores = given.rows(start, stop)
            part = expected[start:stop]
            assert list(zip(query_ids, doc_ids, strict=True)) == [row[:2] for row in part]
            assert scores.dtype == np.float32
            assert scores.tolist() == [np.float32(score) for *_, score in part]
    assert given.identity["form"] == f"scores of {form}"


def test_the_first_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "triples.tsv"
    path.write_text(FILES["triples"][0], encoding="utf-8")
    given = GivenScores(path, limit=2)
    assert len(given) == 4
    assert given.rows(0, 99)[1] == ["d1", "d2", "d1", "d3"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "holds no scores"),
        ("query\tpassage\n", "holds no scores"),
        ("1\t2\tq\tp\tn\n1\tx\tq\tp\tn\n", "line 2: score 'x' is not a number"),
        ("1\t2\tq\tp\tn\n1\t2\tq\tp\n", "line 2: has 4 tab-separated columns"),
        ("1\t2\tq\tp\tn\n1\t2\t\tp\tn\n", "line 2: has no 'id'"),
        ("q Q0 d 1 2 t\nq Q0 d 1 nan t\n", "line 2: score 'nan' is not a finite number"),
        ("q Q0 d 1 2 t\nq Q0 d 1\n", "line 2: has 4 columns"),
        ('{"query_id": "q", "doc_id": "d", "score": true}', "line 1: 'score' is True"),
        ('{"query_id": "q", "score": 1}', "line 1: has no 'doc_id'"),
    ],
)
def test_what_holds_no_scores(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "scores"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        GivenScores(path)
