from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.errors import InputError
from distilrank.records import Group
from distilrank.teaching.groups import score_groups


class Length:
    """Scores a passage by its length."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.calls.append(len(pairs))
        return np.array([len(passage) for _, passage in pairs], np.float32)


GROUP = Group(
    query="q", passages=("a", "bb", "cccc"), relevance=(1.0, 0.0, 0.0), query_id="q1", doc_ids=("d1", "d2", "d3")
)


def test_scores_stand_beside_the_passages() -> None:
    (found,) = score_groups([GROUP], Length())
    assert found.scores == (1.0, 2.0, 4.0)
    assert (found.passages, found.relevance, found.doc_ids) == (GROUP.passages, GROUP.relevance, GROUP.doc_ids)


def test_by_hand_the_first_stage_is_mixed_in_by_standard_deviations() -> None:
    # Scores 1, 2, 4: mean 7/3, variance 14/9. First stage 10, 30, and d3 not found, which counts as its worst of all
    # passages, 4: mean 44/3, variance 1112/9.
    run = {"q1": {"d1": 10.0, "d2": 30.0, "d9": 4.0}}
    (found,) = score_groups([GROUP], Length(), first_stage=run, first_stage_weight=0.5)
    spread, other = np.sqrt(14 / 9), np.sqrt(1112 / 9)
    expected = [s + 0.5 * spread * (f - 44 / 3) / other for s, f in ((1, 10), (2, 30), (4, 4))]
    assert found.scores == pytest.approx(expected, abs=1e-5)


def test_a_first_stage_without_weight_or_without_opinion_changes_nothing() -> None:
    plain = list(score_groups([GROUP], Length()))
    assert list(score_groups([GROUP], Length(), first_stage={}, first_stage_weight=0.0)) == plain
    same = {"q1": {"d1": 5.0, "d2": 5.0, "d3": 5.0}}
    assert list(score_groups([GROUP], Length(), first_stage=same, first_stage_weight=1.0)) == plain


def test_many_groups_are_scored_together() -> None:
    scorer = Length()
    found = list(score_groups((GROUP for _ in range(70)), scorer))
    assert [group.scores for group in found] == [(1.0, 2.0, 4.0)] * 70
    assert scorer.calls == [192, 18]


def test_groups_that_the_first_stage_does_not_know_are_refused() -> None:
    run = {"q2": {"d1": 1.0}}
    with pytest.raises(InputError, match="query 'q1' of the groups is not in the first-stage run"):
        list(score_groups([GROUP], Length(), first_stage=run, first_stage_weight=1.0))
    nameless = Group(query="q", passages=("a",), relevance=(1.0,), query_id="q2")
    with pytest.raises(InputError, match="has no pos_ids and neg_ids"):
        list(score_groups([nameless], Length(), first_stage=run, first_stage_weight=1.0))
