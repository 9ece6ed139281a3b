from __future__ import annotations

import pytest
import torch
from torch import nn

from distilrank.errors import SettingsError
from distilrank.training.optimiser import build_optimiser, learning_rate, trainable_parameters
from distilrank.training.settings import TrainingSettings


def rates(steps: int, **settings: object) -> list[float]:
    chosen = TrainingSettings(learning_rate=1.0, **settings)
    return [round(learning_rate(step, steps=steps, settings=chosen), 6) for step in range(1, steps + 1)]


def test_linear_schedule_by_hand() -> None:
    assert rates(6, warmup_share=0.33) == [0.5, 1.0, 0.8, 0.6, 0.4, 0.2]


def test_constant_schedule_by_hand() -> None:
    assert rates(5, warmup_share=0.4, schedule="constant") == [0.5, 1.0, 1.0, 1.0, 1.0]


def test_without_warm_up_the_first_step_is_the_fastest() -> None:
    assert rates(4, warmup_share=0.0) == [1.0, 0.75, 0.5, 0.25]


def test_all_warm_up() -> None:
    assert rates(4, warmup_share=1.0) == [0.25, 0.5, 0.75, 1.0]


def test_only_matrices_are_decayed() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4))
    optimiser = build_optimiser(trainable_parameters([model]), TrainingSettings(weight_decay=0.3))
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    found = {name: decays[id(parameter)] for name, parameter in model.named_parameters()}
    assert found == {"0.weight": 0.3, "1.weight": 0.3, "1.bias": 0.0, "2.weight": 0.0, "2.bias": 0.0}


def test_a_parameter_that_two_modules_share_is_trained_once() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    assert len(trainable_parameters([first, second])) == 3


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(SettingsError, match="no parameter that needs a gradient"):
        trainable_parameters([nn.Linear(2, 2).requires_grad_(False)])


def test_half_precision_weights_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"torch\.bfloat16"):
        trainable_parameters([nn.Linear(2, 2).to(torch.bfloat16)])
