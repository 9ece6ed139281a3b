"""Each rule fires on what it is for, says the number, and leaves alone what only looks like it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from scipy import special

from distilrank.evaluation.diagnostics.alarms.scores import (
    collapsed_scores,
    constant_scores,
    input_order,
    saturated_probabilities,
    score_alarms,
    tied_scores,
)
from distilrank.evaluation.diagnostics.findings import Finding

Scores = Mapping[str, Sequence[float]]
RNG = np.random.default_rng(3)
HEALTHY = {f"q{i}": RNG.normal(-4, 2, size=50).astype(np.float32).tolist() for i in range(30)}


def changed(change: Callable[[np.ndarray], np.ndarray], scores: Scores = HEALTHY) -> Scores:
    return {query_id: change(np.asarray(values)).tolist() for query_id, values in scores.items()}


def checks(scores: Scores) -> list[str]:
    found = score_alarms(scores, name="student")
    assert all(finding.level == "problem" and finding.message.count("\n") == 0 for finding in found)
    assert all("student" in finding.message for finding in found)
    return [finding.check for finding in found]


def only(finding: Finding | None) -> Finding:
    assert finding is not None
    return finding


@pytest.mark.parametrize(
    "scores",
    [
        HEALTHY,
        changed(special.expit),  # a sigmoid alone is no failure
        changed(lambda values: 0.8 + 0.02 * values),  # cosines lie close together
        changed(lambda values: 100 + 8 * values),  # dot products
        changed(lambda values: values - 8),  # nothing relevant
        changed(lambda values: special.expit(values - 8)),  # and all probabilities near 0
        {f"q{i}": [2.0, 1.0] for i in range(30)},  # two passages tell nothing
        {f"q{i}": [1.0] for i in range(30)},
        {},
    ],
)
def test_scores_of_rankers_that_work_raise_none(scores: Scores) -> None:
    assert checks(scores) == []


def test_constant_scores() -> None:
    noise = np.random.default_rng(1).normal(0, 1e-8, size=50)
    assert checks(changed(lambda values: 3.0 + noise)) == ["constant scores"]
    assert checks(changed(lambda values: 0.0 * values)) == ["constant scores"]
    some = {query_id: [1.5] * 50 if i < 4 else values for i, (query_id, values) in enumerate(HEALTHY.items())}
    found = only(constant_scores(some, name="student"))
    assert "4 of 30 queries" in found.message
    assert (found.count, found.examples) == (4, ("q0", "q1", "q2", "q3"))
    few = {**some, "q0": HEALTHY["q0"]}
    assert constant_scores(few, name="student") is None


def test_scores_that_depend_on_the_query_alone() -> None:
    by_query = {query_id: np.asarray(values) * 0.01 + 5 * i for i, (query_id, values) in enumerate(HEALTHY.items())}
    found = only(collapsed_scores({q: v.tolist() for q, v in by_query.items()}, name="student"))
    assert found.check == "collapsed scores"
    within = np.median([np.std(values) for values in by_query.values()])
    assert f"standard deviation of {within:.2g} (median of 30 queries)" in found.message
    assert f"{np.std(np.concatenate(list(by_query.values()))):.2g}" in found.message


def test_scores_that_hardly_differ_at_all() -> None:
    assert checks(changed(lambda values: 0.5 - 1e-4 * values)) == []  # in [0, 1]: may be probabilities
    assert checks(changed(lambda values: 5 + 1e-4 * values)) == ["collapsed scores"]
    assert checks(changed(lambda values: 5 + 1e-3 * values)) == []


def test_tied_scores() -> None:
    coarse = changed(lambda values: np.round(values / 4))
    found = only(tied_scores(coarse, name="student"))
    distinct = np.mean([len(set(sorted(values)[-10:])) for values in coarse.values()])
    assert f"the best 10 passages of a query have {distinct:.1f} different scores" in found.message
    assert checks(coarse) == ["tied scores"]
    # Ties of passages that nobody sees are no failure; four of the best ten are too few scores, five are enough.
    low = changed(lambda values: np.where(values < np.sort(values)[-10], -9.0, values))
    assert tied_scores(low, name="student") is None
    for different, expected in ((5, 0), (4, 1)):
        top = changed(lambda values, count=different: np.minimum(values, np.sort(values)[-11 + count]))
        assert len(checks(top)) == expected
    short = {f"q{i}": [float(place) for place in (3, 9, 1, 7, 5)] for i in range(30)}
    assert tied_scores(short, name="student") is None


@pytest.mark.parametrize(
    ("sign", "words"), [(-1, "in the order in which"), (1, "in the reverse of the order in which")]
)
def test_the_order_of_the_input(sign: int, words: str) -> None:
    assert checks(changed(lambda values: sign * np.sort(values))) == ["input order"]
    half = {q: (sign * np.sort(np.asarray(v))).tolist() if i < 15 else v for i, (q, v) in enumerate(HEALTHY.items())}
    found = only(input_order(half, name="student"))
    assert "15 of 30 queries" in found.message
    assert words in found.message
    fewer = {**half, "q0": HEALTHY["q0"]}
    assert input_order(fewer, name="student") is None


def test_orders_of_both_kinds_are_not_added_up() -> None:
    both = {q: np.sort(v)[:: 1 if i % 2 else -1].tolist() for i, (q, v) in enumerate(HEALTHY.items()) if i < 18}
    mixed = {**HEALTHY, **both}
    assert input_order(mixed, name="student") is None


def test_saturated_probabilities() -> None:
    sure = changed(lambda values: special.expit(40 * (values + 4)))
    assert "saturated probabilities" in checks(sure)
    found = only(saturated_probabilities(sure, name="student"))
    every = np.concatenate([np.asarray(values) for values in sure.values()])
    share = np.mean((every < 1e-6) | (every > 1 - 1e-6))
    assert f"{share:.1%} of the 1,500 probabilities" in found.message
    # The same logits without the sigmoid are merely large.
    assert "saturated probabilities" not in checks(changed(lambda values: 40 * (values + 4)))
    # Published rankers give -11 to passages that have nothing to do with the query.
    assert saturated_probabilities(changed(lambda values: special.expit(values * 0 - 11.5)), name="student") is None


def test_queries_with_few_passages_do_not_count() -> None:
    short = {f"s{i}": [1.0, 1.0, 1.0, 1.0] for i in range(100)}
    assert checks({**HEALTHY, **short}) == []
