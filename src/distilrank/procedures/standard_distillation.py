"""Standard distillation: soft and hard labels, nothing of the layers; the baseline of every other procedure.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015, https://arxiv.org/abs/1503.02531.

    L = alpha * T^2 * CE(softmax(z_T / T), softmax(z_S / T)) + (1 - alpha) * CE(y, softmax(z_S))

alpha = 0.5 and T = 1 as in the "standard" mode of Simplified TinyBERT's code (Chen et al. 2021), which compares
with it. A one-logit ranker enters as the two classes [0, z]. Several labels at once are each such a pair of classes,
and regression compares numbers by squared error, as TinyBERT's code does.

``objective: mse`` compares raw logits by squared error instead of distributions, which is how the small cross-encoders
of sentence-transformers learn from their teachers' scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, SettingsError
from distilrank.losses import hard_loss, logit_mse, soft_loss
from distilrank.models.answers import Answers, answer
from distilrank.models.frozen import frozen
from distilrank.models.matching import require_positions, require_same_labels, same_tokens
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch, split_examples
from distilrank.training.loop import TrainingResult, train
from distilrank.training.settings import TrainingSettings, require_sizes


@dataclass(frozen=True, kw_only=True)
class StandardDistillationSettings:
    """How to distil.

    Attributes:
        alpha: Share of the soft term, from 0 (labels only) to 1 (teacher only).
        temperature: Of the soft term; raw logits have none.
        objective: "mse": the soft term is the squared error of the raw logits. None: cross entropy, by problem.
        max_tokens: Longest pair.
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        training: As Simplified TinyBERT's: batch of 64, 5e-5, 2 epochs, 10% warm-up.
    """

    alpha: float = 0.5
    temperature: float = 1.0
    objective: Literal["mse"] | None = None
    max_tokens: int = 256
    batch_tokens: int | None = None
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=2, batch_size=64))

    def __post_init__(self) -> None:
        """Refuse shares outside [0, 1] and sizes that make no sense."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        if not 0 <= self.alpha <= 1:
            raise SettingsError(f"alpha is {self.alpha} but must lie between 0 and 1")
        if self.objective not in (None, "mse"):
            raise SettingsError(f"objective is {self.objective!r} but must be mse or null")
        if self.objective == "mse" and self.temperature != 1:
            raise SettingsError(f"temperature is {self.temperature}, but objective: mse compares raw logits; leave it")


def distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    examples: Sequence[Example],
    *,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: StandardDistillationSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train the student in place; the teacher is only read. Arguments as Simplified TinyBERT's ``distil``.

    The teacher may have another tokeniser than the student, since nothing but logits is compared.

    Raises:
        ModelError: The two networks do not match in labels.
        SettingsError: One of them has no positions for ``max_tokens``.
    """
    require_same_labels(student, teacher)
    for model in (student, teacher):
        require_positions(model, settings.max_tokens)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    other = None
    if teacher_tokenizer is not None and not same_tokens(tokenizer, teacher_tokenizer):
        other = teacher_tokenizer.with_max_tokens(settings.max_tokens)

    def terms(batch: LabelledBatch) -> dict[str, Tensor]:
        given = answer(student, batch.batch)
        wanted = None
        if settings.alpha > 0:
            with torch.no_grad():
                wanted = answer(teacher.to(student.device), batch.for_teacher)  # type: ignore[arg-type]
        return loss_terms(given, wanted, batch, settings, problem=student.config.problem_type)

    with frozen(teacher, precision=settings.training.precision):
        return train(
            model=student,
            examples=examples,
            split=lambda step: split_examples(
                step,
                tokenizer=limited,
                teacher_tokenizer=other,
                batch_tokens=settings.batch_tokens,
                device=student.device,
            ),
            loss_terms=terms,
            settings=settings.training,
            folder=folder,
            command=command,
            evaluate=evaluate,
            stage="standard-distillation",
        )


def loss_terms(
    student: Answers,
    teacher: Answers | None,
    batch: LabelledBatch,
    settings: StandardDistillationSettings,
    *,
    problem: str | None = None,
) -> dict[str, Tensor]:
    """Compute the two terms of L, weighted; their sum is what is minimised.

    Args:
        student: Its logits are read.
        teacher: Likewise. None where alpha is 0, which needs no teacher.
        batch: Labels.
        settings: Weights and temperature.
        problem: The student's ``problem_type``; None: classes, or a ranker's one logit.
    """
    terms: dict[str, Tensor] = {}
    if settings.alpha > 0:
        if teacher is None:
            raise ValueError(f"alpha is {settings.alpha}, but there are no answers of a teacher")
        if settings.objective == "mse":
            soft = logit_mse(student.logits, teacher.logits)
        else:
            soft = soft_loss(student.logits, teacher.logits, problem=problem, temperature=settings.temperature)
        terms["soft"] = settings.alpha * soft
    if settings.alpha < 1:
        if batch.labels is None:
            raise InputError("an example has no label; give labels or learn from the teacher alone with alpha: 1")
        terms["hard"] = (1 - settings.alpha) * hard_loss(student.logits, batch.labels, problem=problem)
    return terms
