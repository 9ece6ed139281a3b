from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from distilrank.errors import SettingsError
from distilrank.training.optimiser import build_optimiser, clip_gradients, learning_rate, trainable_parameters
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


def test_bert_adam_is_that_of_the_authors_code() -> None:
    """``BertAdam.step`` of ``transformer/optimization.py`` (TinyBERT): no bias correction, e = 1e-6, decoupled decay.

    next_m = b1 m + (1 - b1) g; next_v = b2 v + (1 - b2) g^2; update = next_m / (sqrt(next_v) + e) + weight_decay p.
    """
    generator = np.random.default_rng(1)
    layer = nn.Linear(3, 2).double()
    optimiser = build_optimiser(list(layer.parameters()), TrainingSettings(optimiser="bert_adam", weight_decay=0.3))
    expected = {name: (p.detach().numpy().copy(), 0.0, 0.0) for name, p in layer.named_parameters()}
    for step, rate in enumerate((0.1, 0.05, 0.2, 0.1)):
        for group in optimiser.param_groups:
            group["lr"] = rate
        for name, parameter in layer.named_parameters():
            if step == 2 and name == "bias":
                parameter.grad = None  # is left where it is
                continue
            gradient = generator.normal(size=parameter.shape)
            parameter.grad = torch.tensor(gradient)
            p, m, v = expected[name]
            m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
            update = m / (np.sqrt(v) + 1e-6) + (0.3 if name == "weight" else 0.0) * p
            expected[name] = (p - rate * update, m, v)
        optimiser.step()
        for name, parameter in layer.named_parameters():
            np.testing.assert_allclose(parameter.detach().numpy(), expected[name][0], rtol=1e-9)


def test_bert_adam_goes_on_from_its_stored_state() -> None:
    torch.manual_seed(0)
    layer, settings = nn.Linear(3, 2), TrainingSettings(optimiser="bert_adam")
    optimiser = build_optimiser(list(layer.parameters()), settings)

    def step(model: nn.Module, optimiser: torch.optim.Optimizer, number: int) -> None:
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 1.0 + number) * parameter.detach()
        optimiser.step()

    step(layer, optimiser, 0)
    other = copy.deepcopy(layer)
    resumed = build_optimiser(list(other.parameters()), settings)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    step(layer, optimiser, 1)
    step(other, resumed, 1)
    assert all(torch.equal(one, two) for one, two in zip(layer.parameters(), other.parameters(), strict=True))


def with_gradients() -> list[nn.Parameter]:
    """Norms 5 and 0.5, and one without a gradient."""
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.3, 0.4])
    return parameters


@pytest.mark.parametrize(
    ("optimiser", "limit", "norms"),
    [
        (None, 1.0, [5 / 25.25**0.5, 0.5 / 25.25**0.5]),
        ("bert_adam", 1.0, [1.0, 0.5]),
        ("bert_adam", None, [5.0, 0.5]),
        (None, None, [5.0, 0.5]),
    ],
)
def test_clipping_all_together_and_tensor_by_tensor(
    optimiser: str | None, limit: float | None, norms: list[float]
) -> None:
    parameters = with_gradients()
    norm = clip_gradients(parameters, TrainingSettings(optimiser=optimiser, max_grad_norm=limit))
    assert norm.item() == pytest.approx(25.25**0.5)
    assert [p.grad.norm().item() for p in parameters[:2]] == pytest.approx(norms, rel=1e-4)
    assert parameters[2].grad is None
