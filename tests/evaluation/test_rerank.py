from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.errors import InputError, ModelError
from distilrank.evaluation import rerank as module
from distilrank.evaluation.rerank import rerank, shorten
from distilrank.records import Passage, Query, Run

QUERIES = {f"q{i}": Query(f"q{i}", f"query {i}") for i in range(3)}
PASSAGES = {f"d{i}": Passage(f"d{i}", "x" * i, title="head" if i % 2 else "") for i in range(6)}
CANDIDATES: Run = {
    "q0": {"d1": 1.0, "d2": 3.0, "d3": 2.0, "d4": 2.0},
    "q1": {"d0": 5.0, "d5": 4.0},
    "q2": {},
}


class Lengths:
    """Scores a passage by its length, shorter first, plus the query's number; keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[str, str]]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.calls.append(list(pairs))
        return np.array([int(query[-1]) * 100 - len(passage) for query, passage in pairs], np.float32)


def call(scorer: object | None = None, **changes: object) -> Run:
    options: dict[str, object] = {"queries": QUERIES, "passages": PASSAGES, "candidates": CANDIDATES} | changes
    return rerank(scorer or Lengths(), **options)  # type: ignore[arg-type]


def test_every_candidate_gets_its_score() -> None:
    assert call() == {
        "q0": {"d2": -2.0, "d4": -4.0, "d3": -8.0, "d1": -6.0},
        "q1": {"d0": 100.0, "d5": 90.0},
        "q2": {},
    }


def test_title_and_text_are_read() -> None:
    scorer = Lengths()
    call(scorer)
    pairs = [pair for pairs in scorer.calls for pair in pairs]
    assert ("query 0", "head x") in pairs
    assert ("query 0", "xx") in pairs


def test_depth_takes_the_best_candidates_and_drops_the_others() -> None:
    # d4 and d3 are tied for the second place: doc_id descending.
    assert call(depth=2) == {"q0": {"d2": -2.0, "d4": -4.0}, "q1": {"d0": 100.0, "d5": 90.0}, "q2": {}}
    assert call(depth=99) == call()


def test_some_queries_only() -> None:
    assert call(query_ids=["q1", "unknown"]) == {"q1": {"d0": 100.0, "d5": 90.0}}


def test_parts_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = call()
    for size in (1, 2, 5, 6):
        monkeypatch.setattr(module, "PAIRS_AT_ONCE", size)
        scorer = Lengths()
        assert call(scorer) == whole
        assert [len(pairs) for pairs in scorer.calls] == [size] * (6 // size) + ([6 % size] if 6 % size else [])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"depth": 0}, "depth is 0; give at least 1"),
        ({"queries": {"q1": QUERIES["q1"]}}, "2 of 3 queries of the run have no text, the first is 'q0'"),
        (
            {"passages": {name: passage for name, passage in PASSAGES.items() if name not in ("d3", "d0")}},
            "2 of 6 candidates are not in the collection, the first is 'd3'",
        ),
    ],
)
def test_what_is_missing_is_found_before_any_scoring(changes: dict[str, object], sentence: str) -> None:
    scorer = Lengths()
    with pytest.raises(InputError, match=sentence):
        call(scorer, **changes)
    assert scorer.calls == []


def test_what_is_not_re_ranked_need_not_be_there() -> None:
    found = call(passages={"d0": PASSAGES["d0"], "d5": PASSAGES["d5"]}, query_ids=["q1"])
    assert list(found) == ["q1"]


class Answering:
    def __init__(self, scores: NDArray[np.float32]) -> None:
        self.scores = scores

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return self.scores


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (np.zeros((6, 1), np.float32), r"scores of shape \(6, 1\) for 6 pairs"),
        (np.zeros(5, np.float32), r"scores of shape \(5,\) for 6 pairs"),
        (np.array([0, 0, 0, 0, 0, np.nan], np.float32), "the score nan for query 'q1' and passage 'd5'"),
        (np.array([0, np.inf, 0, 0, 0, 0], np.float32), "the score inf for query 'q0' and passage 'd4'"),
    ],
)
def test_answers_that_are_no_scores(scores: NDArray[np.float32], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        call(Answering(scores))


def test_progress_is_shown_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    call(progress=True, description="trying")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "trying" in shown.err
    assert "6/6" in shown.err
    call()
    assert capsys.readouterr().err == ""


def test_shorten_keeps_the_run_it_was_given() -> None:
    before = {query_id: dict(scores) for query_id, scores in CANDIDATES.items()}
    assert shorten(CANDIDATES, depth=1) == {"q0": {"d2": 3.0}, "q1": {"d0": 5.0}, "q2": {}}
    assert shorten(CANDIDATES) == before
    assert before == CANDIDATES
