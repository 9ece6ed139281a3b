from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distilrank.training.dropout import dropout_set_to
from tests.tiny import tiny_model

MakeProblem = Callable[..., Any]


def probabilities(module: nn.Module) -> list[float]:
    return [layer.p for layer in module.modules() if isinstance(layer, nn.Dropout)]


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)))


@pytest.mark.parametrize("value", [0, 0.0, 0.2])
def test_all_dropout_has_the_probability_meanwhile_and_its_own_afterwards(network: nn.Module, value: float) -> None:
    with dropout_set_to(value, network):
        assert probabilities(network) == [value, value]
    assert probabilities(network) == [0.1, 0.3]


def test_its_own_comes_back_after_an_error_too(network: nn.Module) -> None:
    with pytest.raises(KeyboardInterrupt), dropout_set_to(0.0, network):
        raise KeyboardInterrupt
    assert probabilities(network) == [0.1, 0.3]


def test_none_changes_nothing(network: nn.Module) -> None:
    with dropout_set_to(None, network):
        assert probabilities(network) == [0.1, 0.3]
    assert probabilities(network) == [0.1, 0.3]


def test_of_a_transformer_the_attention_has_it_too() -> None:
    model = tiny_model().train()
    batch = {"input_ids": torch.arange(2, 14).view(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.int64)}

    def answers() -> Iterator[Tensor]:
        for seed in (1, 2):
            torch.manual_seed(seed)
            yield model(**batch).logits.detach()

    with dropout_set_to(0.0, model):
        assert torch.equal(*answers())
    assert not torch.equal(*answers())
    # Only the attention's is left: it must have an effect of its own, or the test above shows less than it says.
    with dropout_set_to(0.0, model):
        for layer in model.bert.encoder.layer:
            layer.attention.self.dropout.p = 0.5
        assert not torch.equal(*answers())


def test_training_at_zero_equals_a_network_without(
    tmp_path: Path, problem: MakeProblem, same: Callable[..., bool]
) -> None:
    without, zero, own = problem(), problem(settings={"dropout": 0}), problem()
    without.model[3] = nn.Identity()
    for name, run in (("without", without), ("zero", zero), ("own", own)):
        run.run(tmp_path / name)
    assert same(zero.weights(), without.weights())
    assert not same(own.weights(), without.weights())
