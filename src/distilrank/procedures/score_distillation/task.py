"""The settings, the training, and the sum of the objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.groups import require_relevant
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, SettingsError
from distilrank.models.answers import encoder_layers
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.frozen import frozen
from distilrank.models.load import stored_label_names
from distilrank.models.mapping import layer_mapping
from distilrank.models.matching import (
    require_positions,
    require_relation_heads,
    require_same_heads,
    require_same_tokens,
)
from distilrank.models.projections import Projections
from distilrank.models.scorer import TorchScorer
from distilrank.procedures.score_distillation.objectives import OBJECTIVES, Objective, OverLayers, OverLists
from distilrank.procedures.score_distillation.over_layers import Matched, compare
from distilrank.procedures.score_distillation.over_lists import Lists
from distilrank.records import Group
from distilrank.training.groups import GroupBatch, split_groups
from distilrank.training.loop import TrainingResult, train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings, require_sizes


@dataclass(frozen=True, kw_only=True)
class ScoreDistillationSettings:
    """How to learn from scores.

    Attributes:
        objectives: What is minimised: their weighted sum. Margin-MSE alone unless told otherwise.
        mapping: Teacher layer for each student layer, for objectives over layers: "uniform" (g(m) = m N / M), "top",
            "bottom" or a list.
        relation_heads: A_r of ``relations``; divides both widths (48 for a base teacher in MiniLMv2, section 4.1).
        max_tokens: Longest pair; of a student that reads texts apart, longest text.
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        training: The loop's settings; ``batch_size`` counts groups.
    """

    objectives: tuple[Objective, ...] = (Objective(name="margin_mse"),)
    mapping: str | tuple[int, ...] = "uniform"
    relation_heads: int = 48
    max_tokens: int = 256
    batch_tokens: int | None = None
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=2, batch_size=8))

    def __post_init__(self) -> None:
        """Refuse an empty list, an objective given twice and sizes that make no sense."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=1.0)
        names = [asked.name for asked in self.objectives]
        if not names:
            raise SettingsError(f"objectives is empty; name at least one of {', '.join(OBJECTIVES)}")
        for name in names:
            if names.count(name) > 1:
                raise SettingsError(f"objective {name} is given {names.count(name)} times; give it once, with a weight")
        if self.relation_heads < 1:
            raise SettingsError(f"relation_heads is {self.relation_heads} but must be at least 1")

    @property
    def over_lists(self) -> dict[str, OverLists]:
        """Those of the objectives that compare scores."""
        kinds = ((asked.name, OBJECTIVES[asked.name]) for asked in self.objectives)
        return {name: kind for name, kind in kinds if isinstance(kind, OverLists)}

    @property
    def over_layers(self) -> dict[str, OverLayers]:
        """Those of the objectives that compare layers."""
        kinds = ((asked.name, OBJECTIVES[asked.name]) for asked in self.objectives)
        return {name: kind for name, kind in kinds if isinstance(kind, OverLayers)}

    @property
    def reads_scores(self) -> bool:
        """Whether any objective reads the teacher's scores."""
        return any(kind.scores for kind in self.over_lists.values())


def distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    groups: Sequence[Group],
    *,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: ScoreDistillationSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train a one-logit ranker in place on groups; the teacher is only read, and only where it is needed.

    Args:
        student: Any network with one logit that reads pairs, so also a siamese BiLSTM; with layers like BERT's where
            layers are compared.
        teacher: A ranker. It is run where layers are compared, and where scores are read and not all groups have them.
        tokenizer: The student's.
        groups: With the teacher's ``scores``, or without for it to score.
        teacher_tokenizer: The teacher's, which may be another one where no layers are compared. None: known to be the
            same.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run.
        command: What identifies the run besides the settings: teacher, data and their hashes.
        evaluate: Measures of the student as it is, higher is better; the first one decides which step is best.

    Raises:
        ModelError: A network has more than one logit, the student reads single texts, or layers cannot be compared:
            token ids, kinds or head counts.
        InputError: A group lacks what an objective needs; found before any training.
        SettingsError: The layer mapping, ``relation_heads`` or ``max_tokens`` does not fit the networks.
    """
    require_one_logit(student, "the student")
    if isinstance(student, BiLstmForSequenceClassification) and not student.config.siamese:
        raise ModelError("a ranker reads pairs, but the student is a BiLSTM of single texts; give a siamese one")
    require_positions(student, settings.max_tokens)
    scored = require_usable_groups(groups, settings)
    matched = None
    if settings.over_layers:
        matched = match_layers(student, teacher, tokenizer, teacher_tokenizer, settings)
    scorer = None
    if settings.reads_scores and not scored:
        scorer = live_scorer(teacher, teacher_tokenizer or tokenizer, settings)
    limited = tokenizer.with_max_tokens(settings.max_tokens)

    def split(step: list[Group]) -> list[MicroBatch[GroupBatch]]:
        if not scored:
            step = [replace(group, scores=None) for group in step]
        if scorer is not None and matched is None:  # else its scores come from the pass that gives its layers
            teacher.to(student.device)  # type: ignore[arg-type]
            step = with_scores(step, scorer)
        return split_groups(step, tokenizer=limited, batch_tokens=settings.batch_tokens, device=student.device)

    def terms(batch: GroupBatch) -> dict[str, Tensor]:
        if matched is None:
            return loss_terms(_lists(batch.score(student), batch.scores, batch), {}, settings)
        losses = {name: kind.loss for name, kind in settings.over_layers.items()}
        scores, live, layers = compare(student, teacher, batch, losses, matched)
        return loss_terms(_lists(scores, live if batch.scores is None else batch.scores, batch), layers, settings)

    asks = scorer is not None or matched is not None
    with frozen(teacher, precision=settings.training.precision) if asks else nullcontext():
        return train(
            model=student,
            projections=None if matched is None else matched.projections,
            examples=groups,
            split=split,
            loss_terms=terms,
            settings=settings.training,
            folder=folder,
            command=command,
            evaluate=evaluate,
            stage="score-distillation",
        )


def _lists(scores: Tensor, teacher: Tensor | None, batch: GroupBatch) -> Lists:
    return Lists(scores=scores, teacher=teacher, relevance=batch.relevance, mask=batch.mask)


def loss_terms(lists: Lists, layers: Mapping[str, Tensor], settings: ScoreDistillationSettings) -> dict[str, Tensor]:
    """Compute the terms of L, weighted; their sum is what is minimised.

    Args:
        lists: Scores of student and teacher, and labels.
        layers: What the objectives over layers are, by name; see ``over_layers.compare``.
        settings: The objectives with their weights.
    """
    kinds = settings.over_lists
    return {
        asked.name: asked.weight * (kinds[asked.name].loss(lists, asked) if asked.name in kinds else layers[asked.name])
        for asked in settings.objectives
    }


def live_scorer(teacher: PreTrainedModel, tokenizer: PairTokenizer, settings: ScoreDistillationSettings) -> TorchScorer:
    """Return the teacher as what scores the groups of each batch, or refuse what is no ranker of such pairs."""
    require_one_logit(teacher, "the teacher")
    require_positions(teacher, settings.max_tokens)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    return TorchScorer(teacher, limited, precision=settings.training.precision)


def with_scores(groups: Sequence[Group], scorer: TorchScorer) -> list[Group]:
    """Return the groups with the scores that a live teacher gives to their passages."""
    scores = scorer.score([(group.query, passage) for group in groups for passage in group.passages]).tolist()
    ends = [sum(len(group.passages) for group in groups[: place + 1]) for place in range(len(groups))]
    return [
        replace(group, scores=tuple(scores[end - len(group.passages) : end]))
        for group, end in zip(groups, ends, strict=True)
    ]


def require_one_logit(model: PreTrainedModel, whose: str) -> None:
    """Refuse what is no ranker.

    Raises:
        ModelError: With the number of logits.
    """
    labels = len(stored_label_names(model.config))
    if labels != 1:
        raise ModelError(f"a ranker has one logit, but {whose} has {labels}")


def require_usable_groups(groups: Sequence[Group], settings: ScoreDistillationSettings) -> bool:
    """Refuse groups from which an objective cannot learn; return whether all groups have scores.

    Raises:
        InputError: Naming the first such group.
    """
    if by_labels := [name for name, kind in settings.over_lists.items() if kind.both_kinds or not kind.scores]:
        require_relevant(groups, by_labels[0])
    scored = True
    for place, group in enumerate(groups):
        positives = sum(relevance > 0 for relevance in group.relevance)
        problem = ""
        for name, kind in settings.over_lists.items():
            if kind.both_kinds and not 0 < positives < len(group.passages):
                problem = f"{name} sets a relevant passage against others, and it lacks the one or the other"
            elif len(group.passages) < kind.passages:
                problem = f"{name} compares passages, and it has only one"
        if settings.reads_scores and not all(map(math.isfinite, group.scores or ())):
            problem = "a score is not a finite number"
        if problem:
            named = f"query {group.query_id!r}" if group.query_id else f"number {place + 1}"
            raise InputError(f"the group of {named} cannot be learned from: {problem}")
        scored = scored and group.scores is not None
    return scored


def match_layers(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None,
    settings: ScoreDistillationSettings,
) -> Matched:
    """Bring two networks side by side, or refuse what cannot be compared."""
    if isinstance(student, BiLstmForSequenceClassification):
        raise ModelError(
            f"the student is a BiLSTM, which has none of the layers that {', '.join(settings.over_layers)} would "
            "compare; keep to objectives over scores and labels"
        )
    for model in (student, teacher):
        encoder_layers(model)  # refuses networks that keep their layers in another way
        require_positions(model, settings.max_tokens)
    if teacher_tokenizer is not None:
        require_same_tokens(tokenizer, teacher_tokenizer)
    kinds = settings.over_layers
    for name, kind in kinds.items():
        if student.config.num_hidden_layers < kind.layers:
            raise ModelError(
                f"{name} compares layers below the last, and the student has {student.config.num_hidden_layers}; "
                f"leave it out, or give the student {kind.layers} layers or more"
            )
    if "attention" in kinds:
        require_same_heads(student, teacher)
    if "relations" in kinds:
        require_relation_heads(student, teacher, settings.relation_heads)
    return Matched(
        mapping=layer_mapping(
            settings.mapping,
            student_layers=student.config.num_hidden_layers,
            teacher_layers=teacher.config.num_hidden_layers,
        ),
        projections=Projections(
            student_width=student.config.hidden_size,
            teacher_width=teacher.config.hidden_size,
            seed=settings.training.seed,
        ),
        relation_heads=settings.relation_heads,
        hidden_states=any(kind.hidden_states for kind in kinds.values()),
        attention_scores=any(kind.attention_scores for kind in kinds.values()),
        relation_states=any(kind.relation_states for kind in kinds.values()),
    )
