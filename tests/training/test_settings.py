from __future__ import annotations

import pytest

from distilrank.errors import SettingsError
from distilrank.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", float("nan")),
        ("max_steps", 0),
        ("max_steps", 1.5),
        ("batch_size", 0),
        ("batch_size", True),
        ("learning_rate", -1e-5),
        ("learning_rate", float("inf")),
        ("weight_decay", -0.1),
        ("warmup_share", 1.1),
        ("warmup_share", -0.1),
        ("schedule", "cosine"),
        ("max_grad_norm", 0.0),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("precision", "fp16"),
        ("optimiser", "adam"),
        ("seed", -1),
        ("evaluate_every", 0),
        ("checkpoint_every", 0),
        ("patience", 0),
        ("threads", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name_and_value(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"{name} is {value!r}"):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize(
    ("settings", "examples", "steps"),
    [
        ({"batch_size": 8}, 16, 2),
        ({"batch_size": 8}, 17, 3),  # the short batch counts
        ({"batch_size": 8, "epochs": 2.0}, 17, 6),
        ({"batch_size": 8, "epochs": 0.5}, 33, 3),  # half of five steps, rounded up
        ({"batch_size": 8, "epochs": 0.001}, 8, 1),
        ({"batch_size": 8, "epochs": 9, "max_steps": 7}, 16, 7),
    ],
)
def test_the_number_of_steps(settings: dict[str, float], examples: int, steps: int) -> None:
    assert TrainingSettings(**settings).steps(examples) == steps
