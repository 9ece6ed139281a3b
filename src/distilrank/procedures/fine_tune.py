"""Fine-tuning on labels: how a teacher is made, and the baseline of every distilled student.

A ranker learns from groups (a query, its relevant passages, negatives) by one or more of

- ``info_nce``: each positive against the group's negatives (van den Oord et al. 2018; for cross-encoders
  Gao, Dai and Callan 2021, arXiv 2101.08751);
- ``bce``: each pair by itself (Nogueira and Cho 2019, arXiv 1901.04085);
- ``listwise``: the list against the distribution that graded judgements, or scores given with the groups,
  define (Cao et al. 2007, ListNet).

Only ``bce`` pins down the absolute score. After the others the head is scaled and shifted to give probabilities
(``calibrate``), since a procedure that reads the teacher's (Simplified TinyBERT's soft term) needs them; the order of
passages stays.

A checkpoint that was trained as a bi-encoder knows much about relevance that a new [CLS] head cannot read at first.
Two runs use it: one with the warm cosine head (``models.cosine``), then one with the classic head on what that left.
See docs/decisions/0004.

A classifier learns from labelled texts or pairs: cross entropy for classes, binary cross entropy per label for
multi-label, squared error for regression, as its ``problem_type`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.groups import require_relevant
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, SettingsError, nearest
from distilrank.evaluation.platt import fit_platt
from distilrank.losses import (
    binary_cross_entropy,
    graded_listwise,
    hard_cross_entropy,
    info_nce,
    multi_label_cross_entropy,
    regression_mse,
)
from distilrank.models.answers import answer
from distilrank.models.calibration import fold_into_head
from distilrank.models.matching import require_positions
from distilrank.models.scorer import TorchScorer
from distilrank.records import Example, Group
from distilrank.training.examples import LabelledBatch, split_examples
from distilrank.training.groups import GroupBatch, split_groups
from distilrank.training.loop import TrainingResult, train
from distilrank.training.settings import TrainingSettings, require_sizes


@dataclass(frozen=True, kw_only=True)
class FineTuneSettings:
    """How to fine-tune.

    Attributes:
        objectives: What a ranker minimises: the sum of these (see ``OBJECTIVES``). Classifiers ignore it.
        gains: What ``listwise`` takes for the worth of a passage: its judgement, or the score given with it.
        temperature: Divides gains and scores in ``listwise``.
        calibration_groups: Groups, the first ones, that a ranker trained without ``bce`` is calibrated on at the
            end; 0 leaves its logits as they are.
        max_tokens: Longest pair; longer ones are truncated.
        batch_tokens: Most tokens run at once, padding included; less saves memory and changes no result. None:
            what suits the device.
        training: The loop's settings; ``batch_size`` counts groups (rankers) or examples (classifiers).
    """

    objectives: tuple[str, ...] = ("info_nce",)
    gains: Literal["relevance", "scores"] = "relevance"
    temperature: float = 1.0
    calibration_groups: int = 200
    max_tokens: int = 256
    batch_tokens: int | None = None
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(batch_size=8))

    def __post_init__(self) -> None:
        """Refuse unknown objectives and values out of range."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        if self.calibration_groups < 0:
            raise SettingsError(f"calibration_groups is {self.calibration_groups} but must not be negative")
        if not self.objectives:
            raise SettingsError("objectives is empty; name at least one of " + ", ".join(OBJECTIVES))
        for name in self.objectives:
            if name not in OBJECTIVES:
                raise SettingsError(
                    f"objective {name!r} is unknown{nearest(name, OBJECTIVES)}; there are {', '.join(OBJECTIVES)}"
                )
        if self.gains not in ("relevance", "scores"):
            raise SettingsError(f"gains is {self.gains!r} but must be relevance or scores")

    @property
    def calibrates(self) -> bool:
        """Whether a ranker is calibrated at the end."""
        return "bce" not in self.objectives and self.calibration_groups > 0


def fine_tune_ranker(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    groups: Sequence[Group],
    *,
    settings: FineTuneSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train a one-logit ranker in place on groups.

    Args:
        model: With one logit.
        tokenizer: Its tokeniser; truncates to ``settings.max_tokens`` here.
        groups: Each with a positive and a negative for ``info_nce``, with two passages for ``listwise``.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run.
        command: What identifies the run besides the settings: input files and their hashes.
        evaluate: Measures of the model as it is, higher is better; the first one decides which step is best.

    Raises:
        ModelError: The model has more than one logit, or it ranks no better than chance and cannot be calibrated.
        InputError: A group lacks what an objective or the calibration needs; found before any training.
        SettingsError: The model has no positions for ``max_tokens``.
    """
    if model.config.num_labels != 1:
        raise ModelError(f"a ranker has one logit, but this model has {model.config.num_labels}")
    require_positions(model, settings.max_tokens)
    require_usable_groups(groups, settings)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    result = train(
        model=model,
        examples=groups,
        split=lambda step: split_groups(
            step, tokenizer=limited, batch_tokens=settings.batch_tokens, device=model.device
        ),
        loss_terms=lambda batch: ranker_loss_terms(model, batch, settings),
        settings=settings.training,
        folder=folder,
        command=command,
        evaluate=evaluate,
        stage="fine-tune",
    )
    if settings.calibrates:
        calibrate(model, limited, groups[: settings.calibration_groups], batch_tokens=settings.batch_tokens)
    return result


def require_usable_groups(groups: Sequence[Group], settings: FineTuneSettings) -> None:
    """Refuse groups from which the objectives cannot learn.

    Raises:
        InputError: Naming the first such group.
    """
    scored = "listwise" in settings.objectives and settings.gains == "scores"
    if by_labels := [name for name in settings.objectives if not (name == "listwise" and scored)]:
        require_relevant(groups, by_labels[0])
    for place, group in enumerate(groups):
        positives = sum(relevance > 0 for relevance in group.relevance)
        both = 0 < positives < len(group.passages)
        problem = ""
        if "info_nce" in settings.objectives and not both:
            problem = "info_nce sets a relevant passage against others, and it lacks the one or the other"
        elif "listwise" in settings.objectives and len(group.passages) < 2:
            problem = "listwise compares passages, and it has only one"
        elif scored and group.scores is None:
            problem = (
                "gains is scores, and it has no pos_scores and neg_scores; score the groups with: distilrank teach"
            )
        if problem:
            name = f"query {group.query_id!r}" if group.query_id else f"number {place + 1}"
            raise InputError(f"the group of {name} cannot be learned from: {problem}")
    relevance = [value > 0 for group in groups[: settings.calibration_groups] for value in group.relevance]
    if settings.calibrates and relevance and len(set(relevance)) < 2:
        raise InputError(
            f"the first {settings.calibration_groups} groups have no relevant passages, or nothing else, to calibrate "
            "the ranker on; leave its logits as they are with calibration_groups: 0"
        )


def calibrate(
    model: PreTrainedModel, tokenizer: PairTokenizer, groups: Sequence[Group], *, batch_tokens: int | None = None
) -> None:
    """Scale and shift the head so that sigmoid(logit) is a probability, on groups it was trained on.

    Raises:
        ModelError: The ranker does not tell relevant passages from others.
    """
    scorer = TorchScorer(model, tokenizer, batch_tokens=batch_tokens)
    logits = scorer.score([(group.query, passage) for group in groups for passage in group.passages])
    relevance = np.array([value for group in groups for value in group.relevance])
    try:
        a, b = fit_platt(logits, relevance > 0, balanced=True)
    except ModelError as error:
        raise ModelError(f"{error}; train longer, or leave its logits as they are with calibration_groups: 0") from None
    fold_into_head(model, a, b)


def ranker_loss_terms(model: PreTrainedModel, batch: GroupBatch, settings: FineTuneSettings) -> dict[str, Tensor]:
    """Compute one term per objective; their sum is what is minimised."""
    scores = batch.score(model)
    return {name: OBJECTIVES[name](scores, batch, settings) for name in settings.objectives}


def _info_nce(scores: Tensor, batch: GroupBatch, settings: FineTuneSettings) -> Tensor:
    return info_nce(scores, batch.relevance, batch.mask)


def _bce(scores: Tensor, batch: GroupBatch, settings: FineTuneSettings) -> Tensor:
    relevance = batch.relevance.clamp(0.0, 1.0)
    return torch.stack(
        [binary_cross_entropy(s[m], r[m]) for s, r, m in zip(scores, relevance, batch.mask, strict=True)]
    ).mean()


def _listwise(scores: Tensor, batch: GroupBatch, settings: FineTuneSettings) -> Tensor:
    gains = batch.relevance
    if settings.gains == "scores":
        if batch.scores is None:
            raise InputError("gains is scores, but the groups have no pos_scores and neg_scores; score them first")
        gains = batch.scores
    return graded_listwise(scores, gains, batch.mask, temperature=settings.temperature)


OBJECTIVES: dict[str, Callable[[Tensor, GroupBatch, FineTuneSettings], Tensor]] = {
    "info_nce": _info_nce,
    "bce": _bce,
    "listwise": _listwise,
}


def fine_tune_classifier(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    examples: Sequence[Example],
    *,
    settings: FineTuneSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train a classifier, multi-label classifier or regressor in place; arguments as ``fine_tune_ranker``'s.

    What is minimised follows from ``model.config.problem_type``; see ``classifier_loss_terms``.
    """
    require_positions(model, settings.max_tokens)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    return train(
        model=model,
        examples=examples,
        split=lambda step: split_examples(
            step, tokenizer=limited, batch_tokens=settings.batch_tokens, device=model.device
        ),
        loss_terms=lambda batch: classifier_loss_terms(model, batch),
        settings=settings.training,
        folder=folder,
        command=command,
        evaluate=evaluate,
        stage="fine-tune",
    )


def classifier_loss_terms(model: PreTrainedModel, batch: LabelledBatch) -> dict[str, Tensor]:
    """Compute the one term that the model's problem type asks for.

    Raises:
        InputError: The examples have no labels.
    """
    if batch.labels is None:
        raise InputError("an example has no label, and fine-tuning learns from labels only")
    logits = answer(model, batch.batch).logits
    problem = model.config.problem_type
    if problem == "regression":
        return {"squared_error": regression_mse(logits[:, 0], batch.labels.to(logits.dtype))}
    if problem == "multi_label_classification":
        return {"binary_cross_entropy": multi_label_cross_entropy(logits, batch.labels.to(logits.dtype))}
    return {"cross_entropy": hard_cross_entropy(logits, batch.labels)}
