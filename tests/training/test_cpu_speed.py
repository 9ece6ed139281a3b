"""Sparse gradients of word embeddings: the same sums, gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from distilrank.training import cpu_speed as cpu_speed_module
from distilrank.training.cpu_speed import MANY_ROWS, cpu_speed
from distilrank.training.loop import train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings


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


def trained(folder: Path) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(MANY_ROWS, 3), nn.Linear(3, 2))
    train(
        model=model,
        examples=[torch.tensor([i, i + 1, 7]) for i in range(6)],
        split=lambda step: [MicroBatch(content=one, examples=1, pairs=1, tokens=3) for one in step],
        loss_terms=lambda content: {"square": model(content).square().mean()},
        settings=TrainingSettings(max_steps=4, batch_size=3, trackers=()),
        folder=folder,
        command={},
    )
    return model.state_dict()


def test_a_training_ends_where_dense_gradients_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = trained(tmp_path / "sparse")
    monkeypatch.setattr(cpu_speed_module, "MANY_ROWS", MANY_ROWS + 1)
    dense = trained(tmp_path / "dense")
    for name, weights in sparse.items():
        torch.testing.assert_close(weights, dense[name], rtol=1e-6, atol=1e-8)
