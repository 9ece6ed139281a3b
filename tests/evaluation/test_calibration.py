from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from distilrank.errors import InputError, ModelError
from distilrank.evaluation import calibration as module
from distilrank.evaluation.calibration import (
    Bin,
    JudgedPairs,
    Method,
    cross_fit,
    fit,
    judged_pairs,
    reliability,
    require_enough,
    threshold_for,
)
from distilrank.evaluation.platt import fit_platt
from distilrank.runtime.calibration import Isotonic, Temperature

METHODS = pytest.mark.parametrize("method", ["temperature", "isotonic"])


def drawn(queries: int = 60, each: int = 20, *, seed: int = 0) -> JudgedPairs:
    """Pairs whose true probability is sigmoid(z / 2 - 1): the sigmoid of their logit is far too sure."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 4, queries * each)
    return JudgedPairs(
        logits=logits,
        relevant=random.random(len(logits)) < expit(logits / 2 - 1),
        query=np.repeat(np.arange(queries), each),
    )


def test_scores_meet_judgements() -> None:
    run = {"b": {"x": 1.0, "y": 2.0, "z": 3.0}, "a": {"x": 4.0}, "unjudged": {"x": 5.0}, "empty": {"x": 6.0}}
    qrels = {"b": {"x": 0, "y": 2, "elsewhere": 1}, "a": {"x": 1}, "empty": {}}
    pairs = judged_pairs(run, qrels)
    assert (pairs.logits.tolist(), pairs.relevant.tolist()) == ([4.0, 1.0, 2.0], [True, False, True])
    assert pairs.query.tolist() == [0, 1, 1]
    assert judged_pairs(run, qrels, rel=2).relevant.tolist() == [False, False, True]
    everything = judged_pairs(run, qrels, unjudged="not-relevant")
    assert (everything.logits.tolist(), everything.relevant.tolist()) == (
        [4.0, 1.0, 2.0, 3.0],
        [True, False, True, False],
    )
    assert judged_pairs({}, qrels).logits.shape == (0,)


def test_the_temperature_is_found() -> None:
    found = fit(drawn(3000), "temperature")
    assert isinstance(found, Temperature)
    assert found.temperature == pytest.approx(2.0, abs=0.05)
    assert found.shift == pytest.approx(2.0, abs=0.1)
    pairs = drawn()
    a, b = fit_platt(pairs.logits, pairs.relevant)
    small = fit(pairs, "temperature").probabilities(pairs.logits)
    np.testing.assert_allclose(small, expit(a * pairs.logits + b))


@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_is_that_of_scikit_learn(ties: bool) -> None:
    pairs = drawn()
    logits = np.round(pairs.logits) if ties else pairs.logits
    pairs = JudgedPairs(logits=logits, relevant=pairs.relevant, query=pairs.query)
    found = fit(pairs, "isotonic")
    assert isinstance(found, Isotonic)
    other = IsotonicRegression(out_of_bounds="clip").fit(pairs.logits, pairs.relevant.astype(float))
    asked = np.linspace(-15, 15, 301)
    surest = 1 / (len(pairs.logits) + 2)
    np.testing.assert_allclose(found.probabilities(asked), other.predict(asked).clip(surest, 1 - surest), atol=2e-3)
    np.testing.assert_allclose(
        found.probabilities(pairs.logits), other.predict(pairs.logits).clip(surest, 1 - surest), atol=1e-9
    )
    assert len(found.logits) < len(pairs.logits) / 4  # the ends of its levels alone
    assert min(found.values) == pytest.approx(surest)


@METHODS
def test_a_ranker_that_ranks_the_wrong_way_is_refused(method: Method) -> None:
    pairs = drawn()
    wrong = JudgedPairs(logits=-pairs.logits, relevant=pairs.relevant, query=pairs.query)
    if method == "isotonic":  # by chance, the very ends may be in order
        wrong = JudgedPairs(logits=-np.round(pairs.logits / 8), relevant=pairs.relevant, query=pairs.query)
    with pytest.raises(ModelError, match="gives relevant passages no higher scores than others"):
        fit(wrong, method)


@METHODS
def test_no_query_judges_itself(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pair's probability is that of a fit which has not seen its query, whatever its judgements are."""
    pairs = drawn()
    found = cross_fit(pairs, method)
    seen: list[JudgedPairs] = []
    monkeypatch.setattr(module, "fit", lambda some, how: (seen.append(some), fit(some, how))[1])
    np.testing.assert_array_equal(cross_fit(pairs, method), found)
    assert len(seen) == 5
    taught = [set(some.query.tolist()) for some in seen]
    left_out = [set(range(60)) - each for each in taught]
    assert sorted(query for each in left_out for query in each) == list(range(60))
    for some, own in zip(seen, left_out, strict=True):
        mine = np.isin(pairs.query, list(own))
        np.testing.assert_array_equal(found[mine], fit(some, method).probabilities(pairs.logits[mine]))


def test_every_fold_has_relevant_passages() -> None:
    """They are dealt like cards, the richest queries first."""
    relevant = np.zeros(100, bool)
    relevant[:10] = True  # of ten neighbouring queries
    pairs = JudgedPairs(logits=np.arange(100.0), relevant=relevant, query=np.arange(100))
    folds = module._folds(pairs)
    assert np.bincount(folds[:10]).tolist() == [2] * 5
    assert np.bincount(folds).tolist() == [20] * 5


@METHODS
def test_calibrated_is_nearer_to_the_truth(method: Method) -> None:
    pairs = drawn(200)
    before = reliability(expit(pairs.logits), pairs.relevant)
    after = reliability(cross_fit(pairs, method), pairs.relevant)
    assert before.calibration_error > 0.1
    assert after.calibration_error < 0.03
    assert after.brier < before.brier - 0.02


def test_reliability_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BINS", 2)
    probabilities = np.array([0.1, 0.3, 0.6, 0.8])
    found = reliability(probabilities, np.array([False, False, True, False]))
    assert found.bins == (
        Bin(predicted=pytest.approx(0.2), observed=0.0, pairs=2),
        Bin(predicted=pytest.approx(0.7), observed=0.5, pairs=2),
    )
    assert found.calibration_error == pytest.approx((2 * 0.2 + 2 * 0.2) / 4)
    assert found.brier == pytest.approx((0.01 + 0.09 + 0.16 + 0.64) / 4)


def test_equal_probabilities_share_a_bin() -> None:
    probabilities = np.repeat([0.1, 0.5], [70, 30])
    relevant = np.arange(100) % 10 == 0
    found = reliability(probabilities, relevant)
    assert [each.pairs for each in found.bins] == [70, 30]
    assert found.calibration_error == pytest.approx((70 * 0.0 + 30 * 0.4) / 100)


def of(relevant: list[int]) -> JudgedPairs:
    count = len(relevant)
    return JudgedPairs(logits=np.zeros(count), relevant=np.array(relevant, bool), query=np.arange(count) // 2)


def at(*probabilities: float) -> NDArray[np.float64]:
    return np.array(probabilities)


def test_a_threshold_by_hand() -> None:
    probabilities = at(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    found = threshold_for(probabilities, of([1, 0, 1, 1, 0, 0]), precision=0.75)
    assert found is not None
    assert (found.wanted, found.probability, found.pairs) == (0.75, 0.6, 4)
    assert (found.precision.mean, found.recall) == (0.75, 1.0)
    assert found.precision.low < 0.75 < found.precision.high
    sure = threshold_for(probabilities, of([1, 0, 1, 1, 0, 0]), precision=1.0)
    assert sure is not None
    assert (sure.probability, sure.pairs, sure.recall) == (0.9, 1, pytest.approx(1 / 3))
    assert threshold_for(probabilities, of([0, 1, 1, 0, 0, 0]), precision=0.9) is None


def test_a_threshold_does_not_part_equals() -> None:
    """Of three at 0.8, the first of which happens to be relevant, one cannot keep one."""
    assert threshold_for(at(0.8, 0.8, 0.8, 0.1), of([1, 0, 0, 1]), precision=0.9) is None
    found = threshold_for(at(0.8, 0.8, 0.8, 0.1), of([1, 0, 0, 1]), precision=0.3)
    assert found is not None
    assert found.pairs == 4


@pytest.mark.parametrize(
    ("pairs", "method", "problem"),
    [
        (drawn(60, 1).only(drawn(60, 1).relevant), "temperature", "judged candidates are relevant; if what nobody"),
        (drawn(9), "temperature", "the relevant ones of 9 queries, are too few to calibrate on"),
        (drawn(40, 1), "temperature", "give 20 of either at least"),
        (drawn(20), "isotonic", "give 200 of either at least, .*; --method temperature needs fewer"),
        (judged_pairs({}, {}), "temperature", "0 relevant and 0 other candidates"),
    ],
)
def test_too_few_judgements_are_refused(pairs: JudgedPairs, method: Method, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        require_enough(pairs, method)


def test_enough_is_enough() -> None:
    require_enough(drawn(12), "temperature")
    require_enough(drawn(60), "isotonic")
