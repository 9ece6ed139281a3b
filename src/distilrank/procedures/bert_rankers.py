"""BERT rankers under distillation: three ways to a small ranker, by what is distilled before and at the task.

Gao, Dai, Callan: "Understanding BERT Rankers Under Distillation", ICTIR 2020, https://arxiv.org/abs/2007.11088. The
distillation is TinyBERT's (Jiao et al. 2020, arXiv 1909.10351, equations 6 to 11):

    layers = MSE(E_S W_e, E_T) + sum_{m=1..M} MSE(H_S^m W_h, H_T^g(m)) + sum_{m=1..M} MSE(A_S^m, A_T^g(m))
    LM Distill:     layers                                        on plain text, from a language model
    Ranker Distill: layers + CE(softmax(z_T), softmax(z_S))       on queries with passages, from a fine-tuned ranker
    Fine-Tuning:    CE(y, softmax(z_S))                           on queries with passages and labels, no teacher

1. Ranker Distill: a student that saw no LM Distill; ``task: ranker_distillation``.
2. LM Distill + Fine-Tuning: ``lm_distil``, then ``distil`` with ``task: fine_tuning``.
3. LM Distill + Ranker Distill: ``lm_distil``, then ``distil`` with ``task: ranker_distillation``.

``task: both`` adds the labels to Ranker Distill, which is no procedure of the paper. How the paper initialises the
student of Ranker Distill is not known to us, so any start goes with any task: random weights, what ``lm_distil`` (or
any general distillation) left, layers of the teacher, a public checkpoint.

There is no published code and the paper's body could not be consulted: constants are TinyBERT's (LM Distill) and those
of Simplified TinyBERT's code, made for the same data (the task). All terms of Ranker Distill are minimised together;
TinyBERT's two stages are two runs, the first without soft, the second from its student without the layers. Departures
from TinyBERT: each term averages an example's valid cells, then examples (docs/decisions/0005); the soft term carries
T^2. New here: ``attention_by: relations`` for head counts that differ (MiniLMv2, arXiv 2012.15828).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import Encoded, PairTokenizer
from distilrank.errors import InputError, SettingsError
from distilrank.losses import attention_loss, hard_loss, hidden_state_loss, relation_loss, soft_loss
from distilrank.models.answers import Answers, Batch, answer
from distilrank.models.frozen import frozen
from distilrank.models.mapping import layer_mapping
from distilrank.models.matching import (
    require_positions,
    require_relation_heads,
    require_same_heads,
    require_same_labels,
    require_same_tokens,
    same_tokens,
)
from distilrank.models.projections import Projections
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch, split_chunks, split_examples
from distilrank.training.loop import TrainingResult, train
from distilrank.training.settings import TrainingSettings, require_sizes


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """What of the layers is compared: in LM Distill as in Ranker Distill.

    Attributes:
        mapping: Teacher layer for each student layer: "uniform" (g(m) = m N / M, TinyBERT section 4.1), "top",
            "bottom" or a list.
        embedding: Weight of the embedding term (all 1 in TinyBERT); 0 leaves a term out.
        hidden: Weight of the hidden-state term.
        attention: Weight of the attention term.
        attention_by: "scores" compares the attention scores of all mapped layers head by head (TinyBERT, equation 7);
            "relations" how queries, keys and values relate in the student's last layer and the teacher layer mapped
            to it, for which head counts may differ (MiniLMv2, section 3).
        relation_heads: A_r of "relations"; divides both widths (48 for a base, 64 for a large teacher in MiniLMv2).
    """

    mapping: str | tuple[int, ...] = "uniform"
    embedding: float = 1.0
    hidden: float = 1.0
    attention: float = 1.0
    attention_by: Literal["scores", "relations"] = "scores"
    relation_heads: int = 48

    def __post_init__(self) -> None:
        """Refuse weights and counts that make no sense."""
        for name in ("embedding", "hidden", "attention", "soft", "hard"):
            if not getattr(self, name, 0.0) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)} but a term's weight must not be negative")
        if self.relation_heads < 1:
            raise SettingsError(f"relation_heads is {self.relation_heads} but must be at least 1")

    @property
    def layers(self) -> bool:
        """Whether anything of the layers is compared."""
        return bool(self.embedding or self.hidden or self.attention)


@dataclass(frozen=True, kw_only=True)
class LmDistilSettings(LayerSettings):
    """LM Distill, with the constants of TinyBERT's general distillation (section 4.2 and its code) unless changed.

    Attributes:
        max_tokens: Longest chunk of text (128).
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        training: Batch of 256 chunks, 5e-5, 3 epochs, 10% warm-up.
    """

    max_tokens: int = 128
    batch_tokens: int | None = None
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=3, batch_size=256))

    def __post_init__(self) -> None:
        """Refuse settings with which there is nothing to learn."""
        super().__post_init__()
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=1.0)
        if not self.layers:
            raise SettingsError("embedding, hidden and attention are all 0, so there is nothing to minimise")


@dataclass(frozen=True, kw_only=True)
class BertRankersSettings(LayerSettings):
    """The task stage.

    Attributes:
        task: "ranker_distillation" (layers and soft term), "fine_tuning" (hard term; the teacher is not asked), "both".
        soft: Weight of the soft cross entropy (of the squared error for regression).
        hard: Weight of the cross entropy with the label (likewise).
        temperature: Of the soft term (1 in TinyBERT, section 4.2).
        max_tokens: Longest pair.
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        training: Batch of 64 pairs, 5e-5, 2 epochs, 10% warm-up: not the paper's, which are not known to us.
    """

    task: Literal["ranker_distillation", "fine_tuning", "both"] = "ranker_distillation"
    soft: float = 1.0
    hard: float = 1.0
    temperature: float = 1.0
    max_tokens: int = 256
    batch_tokens: int | None = None
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=2, batch_size=64))

    def __post_init__(self) -> None:
        """Refuse settings with which there is nothing to learn."""
        super().__post_init__()
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        if not (self.imitates or self.labelled):
            raise SettingsError(f"every term of task {self.task} has weight 0, so there is nothing to minimise")

    @property
    def imitates(self) -> bool:
        """Whether the teacher is asked."""
        return self.task != "fine_tuning" and bool(self.layers or self.soft)

    @property
    def labelled(self) -> bool:
        """Whether labels are learned from."""
        return self.task != "ranker_distillation" and self.hard > 0


def lm_distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    chunks: Sequence[Encoded],
    *,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: LmDistilSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """LM Distill: teach a student the layers of a language model on plain text, in place.

    Args:
        student: Its head is not read.
        teacher: A pre-trained network that was not fine-tuned; its head is not read.
        tokenizer: The student's; it pads.
        chunks: Token ids of text, no longer than ``settings.max_tokens``, by position.
        teacher_tokenizer: The teacher's, to check that it gives the same ids. None: known to be the same.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run.
        command: What identifies the run besides the settings: teacher, text and their hashes.
        evaluate: Measures of the student as it is, higher is better; the first one decides which step is best.

    Raises:
        ModelError: The two networks do not match in token ids or head counts.
        SettingsError: The layer mapping, ``relation_heads`` or ``max_tokens`` does not fit them.
    """
    mapping, projections = _matched_layers(student, teacher, tokenizer, teacher_tokenizer, settings)

    def terms(batch: Batch) -> dict[str, Tensor]:
        given, wanted = _layers_of_both(student, teacher, batch, mapping, settings)
        return layer_terms(given, wanted, batch.attention_mask, projections, mapping, settings)

    with frozen(teacher, precision=settings.training.precision):
        return train(
            model=student,
            projections=projections,
            examples=chunks,
            split=lambda step: split_chunks(
                step, tokenizer=tokenizer, batch_tokens=settings.batch_tokens, device=student.device
            ),
            loss_terms=terms,
            settings=settings.training,
            folder=folder,
            command=command,
            evaluate=evaluate,
            stage="lm-distil",
        )


def distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    examples: Sequence[Example],
    *,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: BertRankersSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """The task stage: train a student in place, whatever it starts from.

    Arguments as ``lm_distil``'s, but the teacher is fine-tuned and has as many logits as the student, and the examples
    are (query, passage) pairs or texts, labelled unless the task is ranker distillation. The teacher may have another
    tokeniser where nothing of the layers is compared.

    Raises:
        ModelError: The two networks do not match: labels and, where layers are compared, token ids or head counts.
        SettingsError: The layer mapping, ``relation_heads`` or ``max_tokens`` does not fit them.
    """
    require_same_labels(student, teacher)
    require_positions(student, settings.max_tokens)
    mapping: tuple[int, ...] = ()
    projections, other = None, None
    if settings.imitates and settings.layers:
        mapping, projections = _matched_layers(student, teacher, tokenizer, teacher_tokenizer, settings)
    elif settings.imitates:
        require_positions(teacher, settings.max_tokens)
        if teacher_tokenizer is not None and not same_tokens(tokenizer, teacher_tokenizer):
            other = teacher_tokenizer.with_max_tokens(settings.max_tokens)
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    with frozen(teacher, precision=settings.training.precision):
        return train(
            model=student,
            projections=projections,
            examples=examples,
            split=lambda step: split_examples(
                step,
                tokenizer=limited,
                teacher_tokenizer=other,
                batch_tokens=settings.batch_tokens,
                device=student.device,
            ),
            loss_terms=lambda batch: _task_terms(student, teacher, batch, projections, mapping, settings),
            settings=settings.training,
            folder=folder,
            command=command,
            evaluate=evaluate,
            stage=settings.task.replace("_", "-"),
        )


def layer_terms(
    student: Answers,
    teacher: Answers,
    mask: Tensor,
    projections: Projections,
    mapping: tuple[int, ...],
    settings: LayerSettings,
) -> dict[str, Tensor]:
    """Compute the terms of the layers, weighted: all of LM Distill, a part of Ranker Distill.

    Args:
        student: With M + 1 hidden states, and M attention scores or the relation states of layer M.
        teacher: With N + 1 hidden states, and M attention scores of mapped layers or the relation states of g(M).
        mask: (batch, length), 1 where a token is real.
        projections: From the student's width to the teacher's.
        mapping: g(1), ..., g(M).
        settings: Weights, and what of the attention is compared.
    """
    terms: dict[str, Tensor] = {}
    if settings.embedding or settings.hidden:
        embedding, *layers = projections(student.hidden_states)
        wanted = [teacher.hidden_states[layer] for layer in mapping]
        terms["embedding"] = hidden_state_loss(embedding, teacher.hidden_states[0], mask)
        pairs = zip(layers, wanted, strict=True)
        terms["hidden"] = torch.stack([hidden_state_loss(s, t, mask) for s, t in pairs]).sum()
    if settings.attention and settings.attention_by == "relations":
        terms["attention"] = relation_loss(
            student.relation_states, teacher.relation_states, mask, heads=settings.relation_heads
        )
    elif settings.attention:
        scores = zip(student.attention_scores, teacher.attention_scores, strict=True)
        terms["attention"] = torch.stack([attention_loss(s, t, mask) for s, t in scores]).sum()
    return _weighted(terms, settings)


def task_terms(
    student: Answers,
    teacher: Answers | None,
    batch: LabelledBatch,
    settings: BertRankersSettings,
    *,
    problem: str | None = None,
) -> dict[str, Tensor]:
    """Compute the terms of the logits, weighted.

    Args:
        student: Its logits are read.
        teacher: Likewise. None where it is not asked.
        batch: Labels.
        settings: The task, weights and temperature.
        problem: The student's ``problem_type``; None: classes, or a ranker's one logit.
    """
    terms: dict[str, Tensor] = {}
    if teacher is not None and settings.soft:
        terms["soft"] = soft_loss(student.logits, teacher.logits, problem=problem, temperature=settings.temperature)
    if settings.labelled:
        if batch.labels is None:
            raise InputError(
                "an example has no label; give labels, or learn from the teacher alone with task: ranker_distillation"
            )
        terms["hard"] = hard_loss(student.logits, batch.labels, problem=problem)
    return _weighted(terms, settings)


def _weighted(terms: Mapping[str, Tensor], settings: LayerSettings) -> dict[str, Tensor]:
    """Return the terms times the settings of their names, without those of weight 0."""
    weights = {name: getattr(settings, name) for name in terms}
    return {name: weights[name] * term for name, term in terms.items() if weights[name]}


def _task_terms(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batch: LabelledBatch,
    projections: Projections | None,
    mapping: tuple[int, ...],
    settings: BertRankersSettings,
) -> dict[str, Tensor]:
    """Run the networks that the task needs, and compute all its terms."""
    problem = student.config.problem_type
    if projections is not None:
        given, wanted = _layers_of_both(student, teacher, batch.batch, mapping, settings)
        layers = layer_terms(given, wanted, batch.batch.attention_mask, projections, mapping, settings)
        return {**layers, **task_terms(given, wanted, batch, settings, problem=problem)}
    alone = None
    if settings.imitates:
        with torch.no_grad():
            alone = answer(teacher.to(student.device), batch.for_teacher)  # type: ignore[arg-type]
    return task_terms(answer(student, batch.batch), alone, batch, settings, problem=problem)


def _layers_of_both(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: Batch, mapping: tuple[int, ...], settings: LayerSettings
) -> tuple[Answers, Answers]:
    """Run both networks, keeping only what the terms of the layers need."""

    def of(model: PreTrainedModel, layers: tuple[int, ...]) -> Answers:
        by_relations = settings.attention_by == "relations"
        return answer(
            model,
            batch,
            hidden_states=bool(settings.embedding or settings.hidden),
            attention_layers=layers if settings.attention and not by_relations else (),
            relation_layer=layers[-1] if settings.attention and by_relations else None,
        )

    with torch.no_grad():
        wanted = of(teacher.to(student.device), mapping)  # type: ignore[arg-type]
    return of(student, tuple(range(1, len(mapping) + 1))), wanted


def _matched_layers(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None,
    settings: LmDistilSettings | BertRankersSettings,
) -> tuple[tuple[int, ...], Projections]:
    """Return the layer mapping and the projections, or refuse networks whose layers cannot be compared."""
    for model in (student, teacher):
        require_positions(model, settings.max_tokens)
    if teacher_tokenizer is not None:
        require_same_tokens(tokenizer, teacher_tokenizer)
    if settings.attention and settings.attention_by == "scores":
        require_same_heads(student, teacher)
    elif settings.attention:
        require_relation_heads(student, teacher, settings.relation_heads)
    mapping = layer_mapping(
        settings.mapping,
        student_layers=student.config.num_hidden_layers,
        teacher_layers=teacher.config.num_hidden_layers,
    )
    projections = Projections(
        student_width=student.config.hidden_size,
        teacher_width=teacher.config.hidden_size,
        seed=settings.training.seed,
    )
    return mapping, projections
