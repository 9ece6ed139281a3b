from __future__ import annotations

import itertools
import json
import random

import pytest

from distilrank.errors import InputError
from distilrank.evaluation.fidelity import fidelity, kendall_tau, rank_biased_overlap
from distilrank.records import Run


def as_scores(order: str) -> dict[str, float]:
    return {doc_id: -float(place) for place, doc_id in enumerate(order)}


def test_tau_by_hand() -> None:
    # Of the pairs ab, ac, bc one is turned round: (2 - 1) / 3.
    assert kendall_tau({"q": as_scores("abc")}, {"q": as_scores("acb")}) == {"q": pytest.approx(1 / 3)}
    assert kendall_tau({"q": as_scores("abc")}, {"q": as_scores("abc")}) == {"q": pytest.approx(1.0)}
    assert kendall_tau({"q": as_scores("abcd")}, {"q": as_scores("dcba")}) == {"q": pytest.approx(-1.0)}


def test_tau_another_way() -> None:
    chosen = random.Random(1)
    for _ in range(20):
        ours, theirs = chosen.sample("abcdefghij", 10), chosen.sample("abcdefghij", 10)
        agreeing = [
            (ours.index(x) < ours.index(y)) == (theirs.index(x) < theirs.index(y))
            for x, y in itertools.combinations("abcdefghij", 2)
        ]
        expected = (2 * sum(agreeing) - 45) / 45
        found = kendall_tau({"q": as_scores("".join(ours))}, {"q": as_scores("".join(theirs))})
        assert found["q"] == pytest.approx(expected)


def test_tau_is_over_shared_passages() -> None:
    assert kendall_tau({"q": as_scores("axbyc")}, {"q": as_scores("zacb")}) == {"q": pytest.approx(1 / 3)}


def test_queries_without_an_order_to_compare_are_left_out() -> None:
    student: Run = {"alone": as_scores("ab"), "one": as_scores("ab"), "two": as_scores("ab"), "none": {}}
    teacher: Run = {"one": as_scores("axy"), "two": as_scores("ba"), "none": as_scores("ab")}
    found = fidelity(student, teacher)
    assert list(found.kendall_tau) == list(found.rank_biased_overlap) == ["two"]


def test_equal_scores_have_the_order_in_which_they_are_shown() -> None:
    tied: Run = {"q": {"a": 1.0, "b": 1.0, "c": 1.0}}
    assert kendall_tau(tied, {"q": as_scores("cba")})["q"] == pytest.approx(1.0)
    assert fidelity(tied, {"q": as_scores("cba")}).rank_biased_overlap["q"] == pytest.approx(1.0)


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(InputError, match="no query with two passages in common"):
        fidelity({"q": as_scores("ab")}, {"q": as_scores("xy")})


def test_overlap_by_hand() -> None:
    # Agreement 0 at depth 1 and 1 at depth 2, and 1 for all that follows: 0.1/0.9 * 0.81 + 0.81.
    assert rank_biased_overlap("ab", "ba", persistence=0.9) == pytest.approx(0.9)
    # Agreement 0, 1/2, 1.
    expected = 0.1 / 0.9 * (0.5 * 0.81 + 0.729) + 0.729
    assert rank_biased_overlap("abc", "cba", persistence=0.9) == pytest.approx(expected)
    assert rank_biased_overlap("abcd", "wxyz") == 0.0
    assert rank_biased_overlap("abcd", "abcd") == pytest.approx(1.0)


def equation_32(short: str, long: str, p: float) -> float:
    """RBO_ext as Webber, Moffat and Zobel 2010 print it, with the overlaps X_d counted by sets."""
    s, l = len(short), len(long)  # noqa: E741
    overlap = {d: len(set(short[:d]) & set(long[:d])) for d in range(1, l + 1)}
    seen = sum(overlap[d] / d * p**d for d in range(1, l + 1))
    unseen = sum(overlap[s] * (d - s) / (s * d) * p**d for d in range(s + 1, l + 1))
    return (1 - p) / p * (seen + unseen) + ((overlap[l] - overlap[s]) / l + overlap[s] / s) * p**l


@pytest.mark.parametrize("persistence", [0.5, 0.9, 0.98])
def test_overlap_another_way(persistence: float) -> None:
    chosen = random.Random(2)
    for _ in range(50):
        one = "".join(chosen.sample("abcdefghijkl", chosen.randint(1, 12)))
        other = "".join(chosen.sample("abcdefghijkl", chosen.randint(1, 12)))
        short, long = sorted((one, other), key=len)
        expected = equation_32(short, long, persistence)
        assert rank_biased_overlap(one, other, persistence=persistence) == pytest.approx(expected)
        assert rank_biased_overlap(other, one, persistence=persistence) == pytest.approx(expected)
        assert 0.0 <= expected <= 1.0 + 1e-12


def test_a_swap_at_the_top_costs_more() -> None:
    top, bottom = rank_biased_overlap("abcdef", "bacdef"), rank_biased_overlap("abcdef", "abcdfe")
    assert top < bottom < 1.0
    assert rank_biased_overlap("abcdef", "bacdef", persistence=0.5) < top


def test_a_shorter_ranking_of_the_same_order_agrees() -> None:
    assert rank_biased_overlap("abc", "abcdef") == pytest.approx(1.0)


@pytest.mark.parametrize(("ours", "theirs"), [("", "a"), ("a", "")])
def test_empty_rankings_are_refused(ours: str, theirs: str) -> None:
    with pytest.raises(ValueError, match="two rankings that are not empty"):
        rank_biased_overlap(ours, theirs)


def test_means_and_json() -> None:
    found = fidelity({"q1": as_scores("abc"), "q2": as_scores("abc")}, {"q2": as_scores("acb"), "q1": as_scores("abc")})
    assert found.interval(found.kendall_tau).mean == pytest.approx(2 / 3)
    record = json.loads(json.dumps(found.as_dict()))
    assert record["kendall_tau"]["mean"] == pytest.approx(2 / 3)
    assert record["rank_biased_overlap"]["per_query"]["q1"] == pytest.approx(1.0)
    assert list(record["kendall_tau"]["per_query"]) == ["q1", "q2"]
