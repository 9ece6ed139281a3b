from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from distilrank.errors import ModelError
from distilrank.evaluation.platt import fit_platt

Array = NDArray[np.float64]


def scored_pairs(*, scale: float, offset: float, positives: int = 40, negatives: int = 160) -> tuple[Array, Array]:
    """Logits of two overlapping classes."""
    rng = np.random.default_rng(0)
    relevant = np.arange(positives + negatives) < positives
    return scale * (rng.normal(size=len(relevant)) + 1.5 * relevant) + offset, relevant


def fit(z: Array, relevant: Array) -> tuple[float, float]:
    return fit_platt(z, relevant, balanced=True)


CASES = pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (0.01, -3.0), (300.0, 5000.0), (2.0, 40.0)])


@CASES
def test_it_is_the_logistic_regression_of_scikit_learn(scale: float, offset: float) -> None:
    z, relevant = scored_pairs(scale=scale, offset=offset)
    positives, negatives = relevant.sum(), (~relevant).sum()
    # A soft target t of weight w is a positive of weight w t and a negative of weight w (1 - t). Regularisation is
    # off, and the scale that it is fitted on is one that its solver likes.
    target = np.where(relevant, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weight = np.where(relevant, 0.5 / positives, 0.5 / negatives)
    standardised = ((z - z.mean()) / z.std())[:, np.newaxis]
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        np.concatenate([standardised, standardised]),
        np.concatenate([np.ones_like(z), np.zeros_like(z)]),
        sample_weight=1000 * np.concatenate([weight * target, weight * (1 - target)]),
    )
    a, b = fit(z, relevant)
    np.testing.assert_allclose(expit(a * z + b), other.predict_proba(standardised)[:, 1], atol=1e-4)


@CASES
def test_nothing_else_has_a_lower_cross_entropy(scale: float, offset: float) -> None:
    z, relevant = scored_pairs(scale=scale, offset=offset)
    positives, negatives = relevant.sum(), (~relevant).sum()

    def balanced(parameters: Array) -> float:
        # With Platt's targets, positives and negatives of the same weight in total.
        logit = parameters[0] * (z - offset) / scale + parameters[1]
        yes, no = np.logaddexp(0, -logit), np.logaddexp(0, logit)
        above, below = (positives + 1) / (positives + 2), 1 / (negatives + 2)
        return float(
            (above * yes + (1 - above) * no)[relevant].mean() + (below * yes + (1 - below) * no)[~relevant].mean()
        )

    a, b = fit(z, relevant)
    found = balanced(np.array([a * scale, b + a * offset]))
    assert found == pytest.approx(minimize(balanced, np.array([1.0, 0.0])).fun, abs=1e-6)


@CASES
def test_the_order_stays(scale: float, offset: float) -> None:
    z, relevant = scored_pairs(scale=scale, offset=offset)
    a, b = fit(z, relevant)
    assert a > 0
    np.testing.assert_array_equal(np.argsort(a * z + b), np.argsort(z))


def test_classes_that_are_parted_give_finite_numbers() -> None:
    a, b = fit(np.array([3.0, 4.0, -1.0, -2.0, -3.0]), np.array([True, True, False, False, False]))
    assert 0 < a < 100
    assert expit(a * 3.0 + b) > 0.65
    assert expit(a * -1.0 + b) < 0.35


def test_how_often_the_relevant_are_among_the_pairs_does_not_count() -> None:
    # Balanced: twice as many of the same negatives hardly move the probabilities (Platt's targets do a little).
    z, relevant = scored_pairs(scale=1.0, offset=0.0)
    twice = np.concatenate([z, z[~relevant]]), np.concatenate([relevant, relevant[~relevant]])
    once = expit(np.polyval(fit(z, relevant), z))
    np.testing.assert_allclose(expit(np.polyval(fit(*twice), z)), once, atol=0.01)


@pytest.mark.parametrize(
    ("z", "relevant", "problem"),
    [
        ([1.0, 2.0], [True, True], "there are 2 and 0"),
        ([1.0, 2.0], [False, False], "there are 0 and 2"),
        ([1.0, 2.0, 3.0], [True, False, False], "no higher scores than others"),
        ([5.0, 5.0, 5.0], [True, False, False], "no higher scores than others"),
        ([5.0, 5.0000002, 5.0], [False, True, False], "no higher scores than others"),
    ],
)
def test_a_ranker_that_cannot_be_calibrated_is_refused(z: list[float], relevant: list[bool], problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        fit(np.array(z), np.array(relevant))


def test_it_counts_how_often_the_relevant_are_among_the_pairs_unless_told_otherwise() -> None:
    """At the optimum the mean probability is the mean of the targets."""
    z, relevant = scored_pairs(scale=3.0, offset=-7.0)
    target = np.where(relevant, 41 / 42, 1 / 162)
    assert expit(np.polyval(fit_platt(z, relevant), z)).mean() == pytest.approx(target.mean(), abs=1e-9)
    assert expit(np.polyval(fit(z, relevant), z)).mean() > 1.5 * target.mean()
