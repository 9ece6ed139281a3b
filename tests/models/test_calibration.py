from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from transformers import PreTrainedModel

from distilrank.errors import ModelError
from distilrank.models.calibration import fit_platt, fold_into_head
from distilrank.models.cosine import BertForCosineRanking, CosineRankingConfig
from distilrank.models.relu_head import use_relu_head
from distilrank.models.scorer import TorchScorer
from tests.tiny import tiny_config, tiny_model, tiny_pairs, tiny_tokenizer

Array = NDArray[np.float64]


def scored_pairs(*, scale: float, offset: float, positives: int = 40, negatives: int = 160) -> tuple[Array, Array]:
    """Logits of two overlapping classes."""
    rng = np.random.default_rng(0)
    relevant = np.arange(positives + negatives) < positives
    return scale * (rng.normal(size=len(relevant)) + 1.5 * relevant) + offset, relevant


def fit(z: Array, relevant: Array) -> tuple[float, float]:
    return fit_platt(torch.tensor(z), torch.tensor(relevant))


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


def cosine() -> PreTrainedModel:
    config = tiny_config().to_dict()
    config.pop("model_type")
    return BertForCosineRanking(CosineRankingConfig(**config)).eval()


def with_relu() -> PreTrainedModel:
    model = tiny_model()
    use_relu_head(model)
    return model


@pytest.mark.parametrize(
    "make",
    [tiny_model, cosine, with_relu, lambda: tiny_model("roberta"), lambda: tiny_model("electra")],
    ids=["classic", "cosine", "relu", "roberta", "electra"],
)
def test_the_head_takes_scale_and_offset_in(make: object) -> None:
    model, pairs = make(), tiny_pairs(8)  # type: ignore[operator]
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # they are zero at first, of which any multiple is zero too
            torch.nn.init.constant_(parameter, 0.7)
    scorer = TorchScorer(model, tiny_tokenizer())
    before = scorer.score(pairs)
    fold_into_head(model, 2.5, -0.75)
    np.testing.assert_allclose(scorer.score(pairs), 2.5 * before - 0.75, atol=1e-4)


def test_other_heads_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot be calibrated in place"):
        fold_into_head(tiny_model(num_labels=2), 2.0, 1.0)
