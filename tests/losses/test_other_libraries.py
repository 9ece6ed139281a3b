"""Equality with the losses of sentence-transformers, and with constants that allRank and TF-Ranking publish."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses as theirs
from torch import Tensor, nn

from distilrank import losses
from tests.losses.lists import SIZES, mask_of, values

MASK = mask_of(SIZES, 6)


class Says(CrossEncoder):
    """A cross-encoder to whom the score of a passage is the number that the passage is."""

    num_labels = 1  # type: ignore[assignment]
    device = torch.device("cpu")  # type: ignore[assignment]

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def preprocess(self, pairs: Sequence[tuple[str, str]], **options: Any) -> dict[str, Tensor]:  # type: ignore[override]
        return {"scores": torch.tensor([float(passage) for _, passage in pairs])}

    def forward(self, tokens: dict[str, Tensor], **options: Any) -> dict[str, Tensor]:  # type: ignore[override]
        return tokens


def of_each_list(loss: Any, scores: Tensor, labels: Tensor) -> list[float]:
    """Their loss of each group by itself, since some of them average over all pairs of a batch."""
    return [
        loss([["q"], [[repr(s) for s in row[:size].tolist()]]], [wanted[:size].float()]).item()
        for row, wanted, size in zip(scores, labels, SIZES, strict=True)
    ]


def mean(numbers: Sequence[float]) -> object:
    return pytest.approx(sum(numbers) / len(numbers), rel=1e-5)


SCORES, TEACHER = values(3, 6, seed=1), values(3, 6, seed=2)


def test_ranknet() -> None:
    expected = of_each_list(theirs.RankNetLoss(Says(), reduction_log="natural"), SCORES, TEACHER)
    assert losses.ranknet(SCORES, TEACHER, MASK).item() == mean(expected)


def test_lambda_loss() -> None:
    gains = TEACHER.abs()
    expected = of_each_list(theirs.LambdaLoss(Says()), SCORES, gains)
    assert losses.lambda_loss(SCORES, gains, MASK).item() == mean(expected)


def test_adr_mse_with_equal_labels() -> None:
    labels = TEACHER.round()
    expected = of_each_list(theirs.ADRMSELoss(Says(), alpha=0.5), SCORES, labels)
    assert losses.adr_mse(SCORES, labels, MASK, temperature=2.0).item() == mean(expected)


def test_list_mle_is_theirs_over_the_number_of_passages() -> None:
    whole = of_each_list(theirs.ListMLELoss(Says(), respect_input_order=False), SCORES, TEACHER)
    expected = [loss / size for loss, size in zip(whole, SIZES, strict=True)]
    assert losses.list_mle(SCORES, TEACHER, MASK).item() == mean(expected)


def test_position_aware_list_mle() -> None:
    expected = of_each_list(theirs.PListMLELoss(Says(), respect_input_order=False), SCORES, TEACHER)
    assert losses.list_mle(SCORES, TEACHER, MASK, position_aware=True).item() == mean(expected)


def test_list_net() -> None:
    expected = of_each_list(theirs.ListNetLoss(Says()), SCORES, TEACHER)
    assert losses.graded_listwise(SCORES, TEACHER, MASK).item() == mean(expected)
    ours = losses.listwise_kl(SCORES, TEACHER, MASK) + losses.graded_listwise(TEACHER, TEACHER, MASK)
    assert ours.item() == mean(expected)


def test_margin_mse_with_several_negatives() -> None:
    columns = [[repr(s) for s in column] for column in SCORES.T.tolist()]
    expected = theirs.MarginMSELoss(Says())([["q"] * 3, *columns], list(TEACHER.float()))
    first = torch.zeros(3, 6).index_fill(1, torch.tensor([0]), 1.0)
    assert losses.margin_mse(SCORES, TEACHER, first, torch.ones(3, 6)).item() == mean([expected.item()])


def test_mse() -> None:
    passages = [repr(s) for s in SCORES.flatten().tolist()]
    expected = theirs.MSELoss(Says())([["q"] * 18, passages], TEACHER.flatten().float())
    assert losses.score_mse(SCORES, TEACHER, torch.ones(3, 6)).item() == mean([expected.item()])


# --- constants of allRank, tests/losses/ at c884756; it sums over pairs and places where we average


def test_allrank_lambda_loss() -> None:
    """``test_ndcgloss2_ignores_padded`` of ``test_lambdaloss.py``: NDCG-Loss2++, two ordered pairs."""
    scores = torch.tensor([[0.5, 0.3, 0.5, 1.0]])
    ours = losses.lambda_loss(scores, torch.tensor([[0.5, 0.3, 0.5, -1.0]]), mask_of([3], 4))
    assert 2 * ours.item() == pytest.approx(1.1244146823)


def test_allrank_ranknet() -> None:
    """``test_ranknet_ignores_padded`` of ``test_lambdaloss.py``."""
    scores = torch.tensor([[0.5, 0.3, 0.5, 1.0]])
    ours = losses.ranknet(scores, torch.tensor([[0.5, 0.3, 0.5, -1.0]]), mask_of([3], 4))
    assert 2 * ours.item() == pytest.approx(1.1962778568)


def test_allrank_list_mle() -> None:
    """``test_listmle_ignores_padded_value`` of ``test_listmle.py``; it puts the list in another order at random."""
    scores = torch.tensor([[0.5, 0.3, 0.5]])
    ours = losses.list_mle(scores, torch.tensor([[1.0, 0.0, -1.0]]), mask_of([2], 3))
    assert 2 * ours.item() == pytest.approx(0.5981389284133911)


# --- constants of TF-Ranking, ``CoupledRankDistilLossTest`` in losses_impl_test.py, for the one order that it drew
# (``sampled_teacher_scores`` in its comments)


def test_tf_ranking_rank_distil() -> None:
    scores = torch.tensor([[0.0, math.log(3), math.log(2)], [0.0, math.log(2), math.log(3)]])
    drawn = torch.tensor([[-5.128768, -5.8270807, -0.00891006], [-4.3828382, -4.4031367, -0.02503967]])
    expected = -(math.log(2 / 6) + math.log(1 / 4) + math.log(3 / 6) + math.log(1 / 3)) / 2
    assert 3 * losses.list_mle(scores, drawn, torch.ones(2, 3)).item() == pytest.approx(expected, rel=1e-5)
    assert 2 * losses.list_mle(scores, drawn, torch.ones(2, 3), top=2).item() == pytest.approx(expected, rel=1e-5)
