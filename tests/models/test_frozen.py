from __future__ import annotations

import pytest
import torch
from torch import nn

from distilrank.models.frozen import frozen


@pytest.fixture
def network() -> nn.Sequential:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.Linear(2, 1))
    network[0].bias.requires_grad_(False)
    return network


@pytest.mark.parametrize("training", [True, False])
def test_it_is_read_only_and_then_as_it_was(network: nn.Sequential, training: bool) -> None:
    network.train(training)
    with frozen(network):
        assert not any(part.training for part in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not network(torch.ones(1, 2)).requires_grad
    assert {part.training for part in network.modules()} == {training}
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["0.bias"]


def test_it_is_as_it_was_after_an_error_too(network: nn.Sequential) -> None:
    network.train()
    with pytest.raises(KeyError), frozen(network):
        raise KeyError
    assert network.training
    assert network[2].weight.requires_grad


def test_bf16_is_lent_and_every_bit_comes_back(network: nn.Sequential) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    inputs = torch.tensor([[0.3, -1.7]])
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        expected = network.eval()(inputs)
        with frozen(network, precision="bf16"):
            assert network[0].weight.dtype == network[2].weight.dtype == torch.bfloat16
            assert torch.equal(network(inputs), expected)
    after = network.state_dict()
    assert all(value.dtype == torch.float32 and torch.equal(value, before[name]) for name, value in after.items())
    with frozen(network):
        assert network[0].weight.dtype == torch.float32
