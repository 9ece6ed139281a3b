"""Task distillation: the layers stage, then the answers stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, SettingsError
from distilrank.losses import as_published_soft_cross_entropy, class_logits, hard_loss, soft_loss
from distilrank.models.answers import Answers, answer
from distilrank.models.frozen import frozen
from distilrank.models.matching import require_same_labels
from distilrank.models.relu_head import use_relu_head
from distilrank.procedures.tinybert.layers import LayerSettings, imitation, require_match
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch, split_examples
from distilrank.training.loop import TrainingResult, train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings, require_sizes

TASKS: dict[str, dict[str, object]] = {
    "cola": {"layers.epochs": 50.0, "max_tokens": 64},
    "mnli": {"layers.epochs": 10.0, "max_tokens": 128},
    "mrpc": {"layers.epochs": 20.0, "max_tokens": 128},
    "qnli": {"layers.epochs": 10.0, "max_tokens": 128},
    "qqp": {"layers.epochs": 10.0, "max_tokens": 128},
    "rte": {"layers.epochs": 20.0, "max_tokens": 128},
    "sst2": {"layers.epochs": 20.0, "max_tokens": 64},
    "stsb": {"layers.epochs": 20.0, "max_tokens": 128},
}
"""Section 4.2: epochs of the layers stage, and longest example, where they are not those of the other tasks."""


@dataclass(frozen=True, kw_only=True)
class TinyBertSettings(LayerSettings):
    """Task distillation (section 4.2; ``task_distill.py``). See ``TASKS`` for what differs by task.

    Attributes:
        temperature: Of the soft term, t (1: "performs well").
        predictions: What the answers stage learns from: the "teacher", or the "labels" of the original examples (in
            Table 3, without prediction-layer distillation). None: labels for numbers, as the code does for STS-B, and
            else the teacher.
        layers_stage: Whether there is a layers stage.
        answers_stage: Whether there is an answers stage.
        task_distillation: False: without both (in Table 2), that is ordinary fine-tuning on the original examples.
        layers: Of the layers stage: 20 epochs, batch of 32, 5e-5, constant and without warm-up. It is not judged on
            the way: the student's head is as new as it began.
        answers: Of the answers stage: 3 epochs, batch of 32, 10% warm-up, 3e-5 (the paper chooses among 1e-5, 2e-5
            and 3e-5, and batches of 16 and 32, on dev).
    """

    temperature: float = 1.0
    predictions: Literal["teacher", "labels"] | None = None
    layers_stage: bool = True
    answers_stage: bool = True
    task_distillation: bool = True
    layers: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(epochs=20, schedule="constant", warmup_share=0.0)
    )
    answers: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=3, learning_rate=3e-5))

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to learn, and values out of range."""
        super().__post_init__()
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        if self.has_layers_stage and not self.imitates:
            raise SettingsError("every term of the layers stage has weight 0; leave it out with layers_stage: false")
        if not (self.has_layers_stage or self.answers_stage):
            raise SettingsError("both stages are left out, so there is nothing to minimise")

    @property
    def has_layers_stage(self) -> bool:
        """Whether the layers stage takes place."""
        return self.layers_stage and self.task_distillation

    @property
    def training(self) -> TrainingSettings:
        """Of the last stage: whose seed and precision serve where there is only one."""
        return self.answers if self.answers_stage else self.layers

    def learns_from_labels(self, problem: str | None) -> bool:
        """Tell whether the answers stage reads labels and not the teacher, for a model's ``problem_type``."""
        if self.predictions is None:
            return not self.task_distillation or problem == "regression"
        return not self.task_distillation or self.predictions == "labels"


def distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    examples: Sequence[Example],
    *,
    augmented: Sequence[Example] | None = None,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: TinyBertSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train the student in place on a task, stage by stage; the teacher is only read.

    Args:
        student: A classifier, or a ranker with one logit, best from general distillation.
        teacher: Fine-tuned, with as many logits as the student.
        tokenizer: The student's.
        examples: The original texts or (query, passage) pairs, with labels where the answers stage reads them.
        augmented: The original examples and their variants, for what learns from the teacher; no label of theirs is
            looked at. None: no augmentation.
        teacher_tokenizer: The teacher's, to check that it gives the same ids. None: known to be the same.
        settings: How.
        folder: Has a run folder for each stage, ``layers`` and ``answers``, resumed when it holds a part of the same.
        command: What identifies the run besides the settings: teacher, data and their hashes.
        evaluate: Measures of the student as it is, higher is better; the first one decides which step of the answers
            stage is best.

    Returns:
        How the last stage ended.

    Raises:
        ModelError: The two networks do not match: token ids, labels or (for the attention term) head counts.
        SettingsError: Mapping, layer weights or ``max_tokens`` do not fit the two networks, or ``as_published`` is
            asked for several labels at once.
    """
    require_same_labels(student, teacher)
    require_match(student, teacher, tokenizer, teacher_tokenizer, settings)
    if settings.as_published:
        if student.config.problem_type == "multi_label_classification":
            raise SettingsError("as_published knows classes and numbers: the authors' code has no other problem")
        use_relu_head(student)
    labelled = _splitter(student, tokenizer.with_max_tokens(settings.max_tokens), settings)

    def unlabelled(step: list[Example]) -> list[MicroBatch[LabelledBatch]]:
        return labelled([replace(example, label=None) for example in step])  # variants have none, originals may

    transfer = examples if augmented is None else augmented
    result = None
    if settings.has_layers_stage:
        run = folder / "layers"
        result = _layers_stage(student, teacher, transfer, unlabelled, settings, folder=run, command=command)
    if settings.answers_stage:
        from_labels = settings.learns_from_labels(student.config.problem_type)
        with frozen(teacher, precision=settings.answers.precision):
            result = train(
                model=student,
                examples=examples if from_labels else transfer,
                split=labelled if from_labels else unlabelled,
                loss_terms=lambda batch: _answers(student, None if from_labels else teacher, batch, settings),
                settings=settings.of_stage(settings.answers),
                folder=folder / "answers",
                command=command,
                evaluate=evaluate,
                stage="tinybert-answers",
            )
    assert result is not None  # the settings see to it that there is a stage
    return result


def _layers_stage(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    transfer: Sequence[Example],
    split: Callable[[list[Example]], list[MicroBatch[LabelledBatch]]],
    settings: TinyBertSettings,
    *,
    folder: Path,
    command: Mapping[str, object],
) -> TrainingResult:
    """Train the student's encoder on the task's texts, without judging it on the way."""
    projections, terms = imitation(student, teacher, settings, seed=settings.layers.seed)
    training = replace(settings.of_stage(settings.layers), evaluate_every=None, patience=None)
    with frozen(teacher, precision=training.precision):
        return train(
            model=student,
            projections=projections,
            examples=transfer,
            split=split,
            loss_terms=lambda batch: terms(batch.batch),
            settings=training,
            folder=folder,
            command=command,
            stage="tinybert-layers",
        )


def _splitter(
    student: PreTrainedModel, tokenizer: PairTokenizer, settings: TinyBertSettings
) -> Callable[[list[Example]], list[MicroBatch[LabelledBatch]]]:
    """Return what cuts a step's examples into micro-batches, in both stages."""
    return lambda step: split_examples(
        step,
        tokenizer=tokenizer,
        batch_tokens=settings.batch_tokens,
        device=student.device,
        length=settings.padded_length,
    )


def _answers(
    student: PreTrainedModel, teacher: PreTrainedModel | None, batch: LabelledBatch, settings: TinyBertSettings
) -> dict[str, Tensor]:
    """Run what the answers stage needs; without a teacher the labels are learned from."""
    wanted = None
    if teacher is not None:
        with torch.no_grad():
            wanted = answer(teacher.to(student.device), batch.batch)  # type: ignore[arg-type]
    given = answer(student, batch.batch)
    return answer_terms(given, wanted, batch, settings, problem=student.config.problem_type)


def answer_terms(
    student: Answers,
    teacher: Answers | None,
    batch: LabelledBatch,
    settings: TinyBertSettings,
    *,
    problem: str | None = None,
) -> dict[str, Tensor]:
    """Compute the one term of the answers stage.

    Args:
        student: Its logits are read.
        teacher: Likewise. None: labels are learned from.
        batch: Labels.
        settings: Temperature and normalisation.
        problem: The student's ``problem_type``; None: classes, or a ranker's one logit.
    """
    if teacher is None:
        if batch.labels is None:
            raise InputError("an example has no label; give labels or learn from the teacher with predictions: teacher")
        return {"hard": hard_loss(student.logits, batch.labels, problem=problem)}
    if settings.as_published and problem != "regression":
        classes = class_logits(student.logits), class_logits(teacher.logits)
        return {"soft": as_published_soft_cross_entropy(*classes, temperature=settings.temperature)}
    return {"soft": soft_loss(student.logits, teacher.logits, problem=problem, temperature=settings.temperature)}
