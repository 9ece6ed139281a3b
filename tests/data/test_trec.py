from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilrank.data import trec
from distilrank.data.lines import BadLines
from distilrank.errors import InputError


def test_the_tie_rule_is_score_then_doc_id_both_descending() -> None:
    assert trec.ranking({"d1": 1.0, "d3": 2.0, "d10": 1.0, "d2": 1.0}) == ["d3", "d2", "d10", "d1"]


def test_doc_ids_tie_in_byte_order_as_trec_eval_compares_them() -> None:
    names = ["z", "Z", "é", "\uffee", "😀", "10", "9"]
    expected = sorted(names, key=lambda name: name.encode(), reverse=True)
    assert trec.ranking(dict.fromkeys(names, 0.5)) == expected


def test_a_run_is_read_whatever_its_white_space_and_its_ranks(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_bytes(
        b"\xef\xbb\xbfq1 Q0 d1 0 1.5 tag\r\nq1\tQ0\td2\t0\t2.5\ttag\n\n  q2  Q0 d1 7 -1e-3 my tag\nq2 Q0 d9 1 3\n"
    )
    assert trec.read_run(path) == {"q1": {"d1": 1.5, "d2": 2.5}, "q2": {"d1": -0.001, "d9": 3.0}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1 Q0 d1 1", "has 4 columns where 6 are expected; write it as query_id Q0 doc_id rank score tag"),
        ("q1 Q0 d0 1 2.0 t", "document 'd0' is ranked twice for query 'q1'"),
        ("q1 Q0 d1 1 high t", "score 'high' is not a number"),
        ("q1 Q0 d1 1 nan t", "score 'nan' is not a finite number"),
        ("q1 Q0 d1 1 inf t", "score 'inf' is not a finite number"),
    ],
)
def test_bad_run_lines_name_file_line_and_cure(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "run.trec"
    path.write_text(f"q1 Q0 d0 1 3.0 t\n{line}\nq2 Q0 d5 1 1.0 t\n")
    with pytest.raises(InputError, match=message) as error:
        trec.read_run(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    bad = BadLines(allowed=1)
    assert trec.read_run(path, bad=bad) == {"q1": {"d0": 3.0}, "q2": {"d5": 1.0}}
    assert len(bad.skipped) == 1


def test_qrels_are_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text("1 0 d1 2\n1\t0\td2\t-1\n2 Q0 d1 1.0\n1 0 d1 2\n")
    qrels = {"1": {"d1": 2, "d2": -1}, "2": {"d1": 1}}
    assert trec.read_qrels(path) == qrels
    trec.write_qrels(qrels, tmp_path / "again.gz")
    assert trec.read_qrels(tmp_path / "again.gz") == qrels


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0 d9", "has 3 columns where 4 are expected"),
        ("1 0 d9 high", "relevance 'high' is not a number"),
        ("1 0 d9 0.5", "relevance '0.5' is not a whole number"),
        ("1 0 d9 nan", "relevance 'nan' is not a finite number"),
        ("1 0 d1 1", "were judged 2 before and 1 here"),
    ],
)
def test_bad_qrels_lines_say_what_is_wrong(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "qrels"
    path.write_text(f"1 0 d1 2\n{line}\n")
    with pytest.raises(InputError, match=f"line 2: .*{message}"):
        trec.read_qrels(path)
    assert trec.read_qrels(path, bad=BadLines(allowed=1)) == {"1": {"d1": 2}}


def test_written_scores_decrease_strictly_and_ranks_start_at_one(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    trec.write_run({"q": {"a": 1.0, "b": 1.0, "c": 2.0, "d": 1.0}, "p": {"x": 0.0, "y": 0.0}}, path, tag="mine")
    rows = [line.split() for line in path.read_text().splitlines()]
    assert [row[:4] for row in rows] == [
        ["q", "Q0", "c", "1"],
        ["q", "Q0", "d", "2"],
        ["q", "Q0", "b", "3"],
        ["q", "Q0", "a", "4"],
        ["p", "Q0", "y", "1"],
        ["p", "Q0", "x", "2"],
    ]
    scores = [float(row[4]) for row in rows]
    assert scores[0] == 2.0
    assert scores[1] == 1.0
    assert scores[0] > scores[1] > scores[2] > scores[3] > 0.999999
    assert 0.0 == scores[4] > scores[5] > -1e-6
    assert {row[5] for row in rows} == {"mine"}


scores_of_documents = st.dictionaries(
    st.text("abcxyz019é😀", min_size=1, max_size=4),
    st.one_of(st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-12, -1.0]), st.floats(-3e38, 3e38, allow_nan=False)),
    min_size=1,
    max_size=30,
)


@given(scores_of_documents)
def test_a_written_run_ranks_alike_for_readers_in_single_and_double_precision(
    tmp_path_factory: pytest.TempPathFactory, scores: dict[str, float]
) -> None:
    path = tmp_path_factory.mktemp("run") / "a.trec"
    trec.write_run({"q": scores}, path, tag="t")
    rows = [line.split(" ") for line in path.read_text(encoding="utf-8").splitlines()]
    assert [row[2] for row in rows] == trec.ranking(scores)
    read = trec.read_run(path)["q"]
    assert trec.ranking(read) == trec.ranking(scores)
    single = np.array([float(row[4]) for row in rows], dtype=np.float32)
    assert (np.diff(single) < 0).all()


def test_the_file_is_packed_when_its_name_says_so(tmp_path: Path) -> None:
    trec.write_run({"q": {"d": 1.0}}, tmp_path / "a.run.gz", tag="t")
    assert gzip.decompress((tmp_path / "a.run.gz").read_bytes()) == b"q Q0 d 1 1.0 t\n"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, 1e39])
def test_scores_that_no_reader_takes_are_refused_and_nothing_is_written(tmp_path: Path, score: float) -> None:
    with pytest.raises(InputError, match=r"document 'd' for query 'q' is not a finite float32"):
        trec.write_run({"q": {"e": 1.0, "d": score}}, tmp_path / "a.run", tag="t")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query_id", "doc_id", "tag"), [("q 1", "d", "t"), ("q", "d\t1", "t"), ("q", "", "t"), ("q", "d", "my run")]
)
def test_names_that_would_shift_the_columns_are_refused(tmp_path: Path, query_id: str, doc_id: str, tag: str) -> None:
    with pytest.raises(InputError, match="is empty or holds white space"):
        trec.write_run({query_id: {doc_id: 1.0}}, tmp_path / "a.run", tag=tag)
    assert list(tmp_path.iterdir()) == []


def test_real_runs_and_qrels(shared_data: Path) -> None:
    run = trec.read_run(shared_data / "trec_dl19" / "runs" / "BM25.trec.gz")
    assert len(run) == 43
    assert sum(map(len, run.values())) == 4300
    first = next(iter(run))
    assert (first, trec.ranking(run[first])[:2]) == ("264014", ["5611210", "6641238"])
    assert run[first]["5611210"] == 15.780599594116211
