"""How to train: the settings that every procedure shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from distilrank.errors import SettingsError

Schedule = Literal["linear", "constant"]
Precision = Literal["fp32", "bf16"]
OptimiserName = Literal["bert_adam", "adadelta"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train.

    Attributes:
        epochs: How often each example is seen; fractions are allowed.
        max_steps: Optimiser steps; overrides ``epochs``. None: as many as ``epochs`` needs.
        batch_size: Examples per optimiser step, over all processes.
        learning_rate: The highest learning rate, reached after the warm-up.
        weight_decay: AdamW's, on matrices only: not on biases, layer norms and scalars.
        warmup_share: Share of the steps in which the learning rate grows linearly, from 0 to 1.
        schedule: After the warm-up: "linear" falls to zero at the end, "constant" stays.
        max_grad_norm: The gradient is scaled down to this norm. None: never.
        optimiser: None: AdamW. "bert_adam": as BERT's and TinyBERT's code has it, AdamW without bias correction and
            with epsilon 1e-6, and ``max_grad_norm`` for each tensor by itself. "adadelta": with rho 0.95 (Zeiler 2012,
            arXiv 1212.5701), whose usual learning rate is 1.
        dropout: Probability of all the model's dropout while it is trained. None: the network's own. 0 is faster, and
            often better in short trainings.
        precision: "bf16" runs the forward pass in autocast; weights and optimiser are always fp32.
        seed: Decides the order of the examples and all dropout.
        evaluate_every: Steps between evaluations; the last step is always evaluated. None: only the last.
        checkpoint_every: Steps between checkpoints; there is also one after each evaluation.
        keep_best: End with the weights of the best evaluation, not with the last ones.
        patience: Stop after this many evaluations in a row without a new best. None: never.
        trackers: Where accelerate logs to besides the journal; "tensorboard" is left out silently when absent.
        threads: CPU threads of torch during the training. None: as torch decides.
    """

    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 32
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    schedule: Schedule = "linear"
    max_grad_norm: float | None = 1.0
    optimiser: OptimiserName | None = None
    dropout: float | None = None
    precision: Precision = "fp32"
    seed: int = 42
    evaluate_every: int | None = None
    checkpoint_every: int = 100
    keep_best: bool = True
    patience: int | None = None
    trackers: tuple[str, ...] = ("tensorboard",)
    threads: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that are out of range.

        Raises:
            SettingsError: Naming the setting, its value and what is allowed.
        """
        for name in ("epochs", "learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise SettingsError(f"{name} is {value!r} but must be greater than 0")
        for name in ("max_steps", "batch_size", "evaluate_every", "checkpoint_every", "patience", "threads"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise SettingsError(f"{name} is {value!r} but must be a whole number from 1")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise SettingsError(f"weight_decay is {self.weight_decay!r} but must not be negative")
        if not 0 <= self.warmup_share <= 1:
            raise SettingsError(f"warmup_share is {self.warmup_share!r} but must lie between 0 and 1")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise SettingsError(f"dropout is {self.dropout!r} but must be 0 or more and less than 1")
        if type(self.seed) is not int or self.seed < 0:
            raise SettingsError(f"seed is {self.seed!r} but must be a whole number from 0")
        if self.optimiser not in (None, *get_args(OptimiserName)):
            raise SettingsError(f"optimiser is {self.optimiser!r} but must be bert_adam, adadelta or null")
        for name, allowed in (("schedule", get_args(Schedule)), ("precision", get_args(Precision))):
            value = getattr(self, name)
            if value not in allowed:
                raise SettingsError(f"{name} is {value!r} but must be one of {', '.join(allowed)}")

    def steps(self, examples: int) -> int:
        """Return how many optimiser steps a run over this many examples takes."""
        if self.max_steps is not None:
            return self.max_steps
        return max(1, math.ceil(self.epochs * math.ceil(examples / self.batch_size)))


def require_sizes(*, max_tokens: int, batch_tokens: int | None, temperature: float) -> None:
    """Refuse what no procedure can run with.

    Raises:
        SettingsError: Naming the setting, its value and what is allowed.
    """
    if max_tokens < 8:
        raise SettingsError(f"max_tokens is {max_tokens} but must be at least 8")
    if batch_tokens is not None and batch_tokens < 1:
        raise SettingsError(f"batch_tokens is {batch_tokens} but must be at least 1")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise SettingsError(f"temperature is {temperature} but must be greater than 0")
