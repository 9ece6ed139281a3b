"""The authors' formulas, transcribed in numpy and named after the files that hold them.

TinyBERT: ``task_distill.py`` and ``transformer/modeling.py`` of huawei-noah/Pretrained-Language-Model.
Simplified TinyBERT: ``task_distill_simplified.py`` of cxa-unique/Simplified-TinyBERT.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilrank.losses import (
    as_published_attention_loss,
    as_published_hidden_state_loss,
    as_published_soft_cross_entropy,
    attention_loss,
    hard_cross_entropy,
    hidden_state_loss,
)

Array = NDArray[np.float64]
HEADS = 3
LENGTHS = pytest.mark.parametrize("length", [37, 256])


def modeling_scores(scores: Array, mask: NDArray[np.int64]) -> Array:
    """transformer/modeling.py: what is returned as attention, QK^T / sqrt(d) plus the mask over key columns."""
    extended = (1.0 - mask[:, np.newaxis, np.newaxis, :]) * -10000.0
    return scores + extended


def task_distill_attention(student: Array, teacher: Array, mask: NDArray[np.int64]) -> float:
    """task_distill.py: what is at or below -1e2 becomes 0 on both sides, then the mean over all cells."""
    student, teacher = modeling_scores(student, mask), modeling_scores(teacher, mask)
    student = np.where(student <= -1e2, 0.0, student)
    teacher = np.where(teacher <= -1e2, 0.0, teacher)
    return float(np.square(student - teacher).sum() / student.size)


def task_distill_hidden(student: Array, teacher: Array) -> float:
    """task_distill.py: MSELoss over batch x length x width, padding included."""
    return float(np.square(student - teacher).sum() / student.size)


def task_distill_soft(student: Array, teacher: Array, temperature: float) -> float:
    """task_distill.py: mean over batch and classes of -softmax(teacher / T) log_softmax(student / T)."""
    exponentials = np.exp(teacher / temperature)
    targets = exponentials / exponentials.sum(axis=-1, keepdims=True)
    likelihood = student / temperature - np.log(np.exp(student / temperature).sum(axis=-1, keepdims=True))
    return float((-targets * likelihood).sum() / student.size)


def task_distill_simplified_hard(student: Array, labels: NDArray[np.int64]) -> float:
    """task_distill_simplified.py: cross entropy with the label, mean over the batch."""
    likelihood = student - np.log(np.exp(student).sum(axis=-1, keepdims=True))
    return float(-likelihood[np.arange(len(labels)), labels].mean())


def padded_mask(length: int) -> NDArray[np.int64]:
    """A full example, one of a single token and two in between."""
    return (np.arange(length) < np.array([length, 1, length // 3, length - 5])[:, np.newaxis]).astype(np.int64)


def attention_pair(length: int, *, seed: int) -> tuple[Array, Array]:
    """Scores of student and teacher, some of them truly below -100, just at it, or just above."""
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(scale=3.0, size=(2, 4, HEADS, length, length))
    student[0, 0, :3, 0], teacher[0, 0, :3, 0] = (-150.0, -100.0, -99.5), (-2.0, -99.0, -100.5)
    return student, teacher


def relative(expected: float) -> object:
    return pytest.approx(expected, rel=1e-6, abs=0.0)


@LENGTHS
def test_attention_is_that_of_task_distill(length: int) -> None:
    (student, teacher), mask = attention_pair(length, seed=length), padded_mask(length)
    loss = as_published_attention_loss(torch.tensor(student), torch.tensor(teacher), torch.tensor(mask))
    assert loss.dtype == torch.float64
    assert loss.item() == relative(task_distill_attention(student, teacher, mask))


@LENGTHS
def test_hidden_states_are_those_of_task_distill(length: int) -> None:
    student, teacher = np.random.default_rng(length).normal(size=(2, 4, length, 24))
    loss = as_published_hidden_state_loss(torch.tensor(student), torch.tensor(teacher))
    assert loss.item() == relative(task_distill_hidden(student, teacher))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_is_that_of_task_distill(classes: int, temperature: float) -> None:
    student, teacher = np.random.default_rng(classes).normal(scale=3.0, size=(2, 9, classes))
    loss = as_published_soft_cross_entropy(torch.tensor(student), torch.tensor(teacher), temperature=temperature)
    assert loss.item() == relative(task_distill_soft(student, teacher, temperature))


@LENGTHS
def test_sum_is_that_of_task_distill_simplified(length: int) -> None:
    # Two student layers: three hidden states with the embedding output, two layers of attention, all weights 1.
    rng, mask = np.random.default_rng(length), padded_mask(length)
    states = [rng.normal(size=(2, 4, length, 24)) for _ in range(3)]
    attentions = [attention_pair(length, seed=seed) for seed in range(2)]
    student, teacher = rng.normal(scale=3.0, size=(2, 4, 2))
    labels = np.array([1, 0, 0, 1])
    published = (
        sum(task_distill_hidden(s, t) for s, t in states)
        + sum(task_distill_attention(s, t, mask) for s, t in attentions)
        + task_distill_soft(student, teacher, 1.0)
        + task_distill_simplified_hard(student, labels)
    )

    ours = (
        sum(as_published_hidden_state_loss(torch.tensor(s), torch.tensor(t)) for s, t in states)
        + sum(as_published_attention_loss(torch.tensor(s), torch.tensor(t), torch.tensor(mask)) for s, t in attentions)
        + as_published_soft_cross_entropy(torch.tensor(student), torch.tensor(teacher))
        + hard_cross_entropy(torch.tensor(student), torch.tensor(labels))
    )
    assert ours.item() == relative(published)


@LENGTHS
def test_masked_losses_are_the_published_ones_of_each_example_without_its_padding(length: int) -> None:
    (student, teacher), mask = attention_pair(length, seed=length), padded_mask(length)
    student, teacher = np.clip(student, -99.0, None), np.clip(teacher, -99.0, None)
    rows = [(s[:, :n, :n], t[:, :n, :n], n) for s, t, n in zip(student, teacher, mask.sum(axis=1), strict=True)]
    each = [task_distill_attention(s[np.newaxis], t[np.newaxis], np.ones((1, n), dtype=np.int64)) for s, t, n in rows]
    loss = attention_loss(torch.tensor(student), torch.tensor(teacher), torch.tensor(mask))
    assert loss.item() == relative(float(np.mean(each)))

    # The hidden states of head 0 stand in for states of width ``length``.
    each = [task_distill_hidden(s[0, :n], t[0, :n]) for s, t, n in zip(student, teacher, mask.sum(axis=1), strict=True)]
    loss = hidden_state_loss(torch.tensor(student[:, 0]), torch.tensor(teacher[:, 0]), torch.tensor(mask))
    assert loss.item() == relative(float(np.mean(each)))


def test_by_hand_what_the_published_attention_counts() -> None:
    # Two tokens, the second is padding: its key column is zeroed and still divides, its query row counts.
    # Row 1: 1 -> 1; row 2 (padding): 3 -> 9; column 2 is zeroed. (1 + 9) / 4 = 2.5.
    student = torch.tensor([[[[1.0, 50.0], [3.0, 50.0]]]])
    loss = as_published_attention_loss(student, torch.zeros_like(student), torch.tensor([[1, 0]]))
    assert loss.item() == pytest.approx(2.5)


def test_by_hand_a_true_score_of_minus_100_is_zeroed() -> None:
    # Differences after the rule: 0 - 3 and -99 - 0 -> (9 + 9801) / 4 = 2452.5; the other two cells are 0.
    student = torch.tensor([[[[-100.0, -99.0], [0.0, 0.0]]]])
    teacher = torch.tensor([[[[3.0, -100.5], [0.0, 0.0]]]])
    loss = as_published_attention_loss(student, teacher, torch.ones(1, 2))
    assert loss.item() == pytest.approx(2452.5)


def test_by_hand_the_published_hidden_state_loss_counts_padding() -> None:
    # Two tokens of width 1, differences 1 and 3: (1 + 9) / 2, whatever is padding.
    student = torch.tensor([[[1.0], [3.0]]])
    assert as_published_hidden_state_loss(student, torch.zeros_like(student)).item() == pytest.approx(5.0)
