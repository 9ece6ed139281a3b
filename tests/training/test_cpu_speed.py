"""Sparse gradients of word embeddings: the same sums, gone afterwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distilrank.training.cpu_speed import MANY_ROWS, cpu_speed


@pytest.fixture
def network() -> nn.Sequential:
    return nn.Sequential(nn.Embedding(MANY_ROWS, 3), nn.Linear(3, 2))


def test_gradients_of_two_parts_add_up_to_the_dense_ones(network: nn.Sequential) -> None:
    table = network[0]
    parts = [torch.tensor([[1, 2, 2]]), torch.tensor([[2, 5, 999]])]
    for part in parts:
        network(part).square().sum().backward()
    expected = table.weight.grad
    network.zero_grad()
    with cpu_speed(network, bf16=True):
        for part in parts:
            network(part).square().sum().backward()
        assert table.weight.grad.is_sparse
        torch.testing.assert_close(table.weight.grad.to_dense(), expected)


def test_tables_are_as_they_were_after_an_error_too(network: nn.Sequential) -> None:
    with pytest.raises(KeyError), cpu_speed(network, bf16=False):
        raise KeyError
    assert not network[0].sparse


def test_small_tables_stay_dense() -> None:
    with cpu_speed(table := nn.Embedding(MANY_ROWS - 1, 2), bf16=False):
        assert not table.sparse
