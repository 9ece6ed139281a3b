"""BERT rankers under distillation: three ways to a small ranker, by what is distilled before and at the task.

Gao, Dai, Callan: "Understanding BERT Rankers Under Distillation", ICTIR 2020, https://arxiv.org/abs/2007.11088. The
distillation is TinyBERT's (Jiao et al. 2020, arXiv 1909.10351, equations 7 to 10):

    layers = MSE(E_S W_e, E_T) + sum_{m=1..M} MSE(H_S^m W_h, H_T^g(m)) + sum_{m=1..M} MSE(A_S^m, A_T^g(m))
    LM Distill:     layers                                        on plain text, from a language model
    Ranker Distill: layers + CE(softmax(z_T), softmax(z_S))       on queries with passages, from a fine-tuned ranker
    Fine-Tuning:    CE(y, softmax(z_S))                           on queries with passages and labels, no teacher

LM Distill is TinyBERT's general distillation (``distilrank general-distil``); its student, the general one, is where

1. Ranker Distill does not start, ``task: ranker_distillation``;
2. LM Distill + Fine-Tuning starts, ``task: fine_tuning``;
3. LM Distill + Ranker Distill starts, ``task: ranker_distillation``.

``task: both`` adds the labels to Ranker Distill, which is no procedure of the paper. How the paper initialises the
student of Ranker Distill is not known to us, so any start goes with any task: random weights, the general student,
layers of the teacher, a public checkpoint.

There is no published code and the paper's body could not be consulted: constants are those of Simplified TinyBERT's
code, made for the same data. All terms of Ranker Distill are minimised together; TinyBERT's two stages are two runs,
the first without soft, the second from its student without the layers. Departures from TinyBERT: each term averages an
example's valid cells, then examples (docs/decisions/0005); the soft term carries T^2. New here: ``attention_by:
relations`` for head counts that differ (MiniLMv2, arXiv 2012.15828).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
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
from distilrank.training.examples import LabelledBatch, split_examples
from distilrank.training.loop import TrainingResult, train
from distilrank.training.settings import TrainingSettings, require_sizes

Task = Literal["ranker_distillation", "fine_tuning", "both"]
AttentionBy = Literal["scores", "relations"]


@dataclass(frozen=True, kw_only=True)
class BertRankersSettings:
    """The task stage.

    Attributes:
        task: "ranker_distillation" (layers and soft term), "fine_tuning" (hard term; the teacher is not asked), "both".
        mapping: Teacher layer for each student layer: "uniform" (g(m) = m N / M, TinyBERT section 4.1), "top",
            "bottom" or a list.
        embedding: Weight of the embedding term (all 1 in TinyBERT); 0 leaves a term out.
        hidden: Weight of the hidden-state term.
        attention: Weight of the attention term.
        attention_by: "scores" compares the attention scores of all mapped layers head by head (TinyBERT, equation 7);
            "relations" how queries, keys and values relate in the student's last layer and the teacher layer mapped
            to it, for which head counts may differ (MiniLMv2, section 3).
        relation_heads: A_r of "relations"; divides both widths (48 for a base, 64 for a large teacher in MiniLMv2).
        soft: Weight of the soft cross entropy (of the squared error for regression).
        hard: Weight of the cross entropy with the label (likewise).
        temperature: Of the soft term (1 in TinyBERT, section 4.2).
        max_tokens: Longest pair.
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        training: Batch of 64 pairs, 5e-5, 2 epochs, 10% warm-up: not the paper's, which are not known to us.
    """

    task: Task = "ranker_distillation"
    mapping: str | tuple[int, ...] = "uniform"
    embedding: float = 1.0
    hidden: float = 1.0
    attention: float = 1.0
    attention_by: AttentionBy = "scores"
    relation_heads: int = 48
    soft: float = 1.0
    hard: float = 1.0
    temperature: float = 1.0
    max_tokens: int = 256
    batch_tokens: int | None = None
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=2, batch_size=64))

    def __post_init__(self) -> None:
        """Refuse values that make no sense, and settings with which there is nothing to learn."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        for name, allowed in (("task", get_args(Task)), ("attention_by", get_args(AttentionBy))):
            if getattr(self, name) not in allowed:
                raise SettingsError(f"{name} is {getattr(self, name)!r} but must be one of {', '.join(allowed)}")
        for name in ("embedding", "hidden", "attention", "soft", "hard"):
            if not getattr(self, name) >= 0:
                raise SettingsError(f"{name} is {getattr(self, name)} but a term's weight must not be negative")
        if self.relation_heads < 1:
            raise SettingsError(f"relation_heads is {self.relation_heads} but must be at least 1")
        if not (self.asks_teacher or self.reads_labels):
            raise SettingsError(f"every term of task {self.task} has weight 0, so there is nothing to minimise")

    @property
    def compares_layers(self) -> bool:
        """Whether anything of the layers is compared."""
        return self.task != "fine_tuning" and bool(self.embedding or self.hidden or self.attention)

    @property
    def asks_teacher(self) -> bool:
        """Whether anything is learned from the teacher."""
        return self.compares_layers or (self.task != "fine_tuning" and self.soft > 0)

    @property
    def reads_labels(self) -> bool:
        """Whether anything is learned from labels."""
        return self.task != "ranker_distillation" and self.hard > 0


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
    """Train a student in place, whatever it starts from; the teacher is only read.

    Args:
        student: A ranker with one logit, or a classifier.
        teacher: Fine-tuned, with as many logits as the student.
        tokenizer: The student's.
        examples: (query, passage) pairs or texts, with labels unless the task is ranker distillation.
        teacher_tokenizer: The teacher's, which may be another one where nothing of the layers is compared. None:
            known to be the same.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run.
        command: What identifies the run besides the settings: teacher, data and their hashes.
        evaluate: Measures of the student as it is, higher is better; the first one decides which step is best.

    Raises:
        ModelError: The two networks do not match: labels and, where layers are compared, token ids or head counts.
        SettingsError: The layer mapping, ``relation_heads`` or ``max_tokens`` does not fit them.
    """
    mapping, projections, other = _match(student, teacher, tokenizer, teacher_tokenizer, settings)
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
            loss_terms=lambda batch: _both(student, teacher, batch, projections, mapping, settings),
            settings=settings.training,
            folder=folder,
            command=command,
            evaluate=evaluate,
            stage=settings.task.replace("_", "-"),
        )


def _match(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None,
    settings: BertRankersSettings,
) -> tuple[tuple[int, ...], Projections | None, PairTokenizer | None]:
    """Return mapping, projections and the teacher's tokeniser where it is another, or refuse what does not match."""
    require_same_labels(student, teacher)
    require_positions(student, settings.max_tokens)
    if settings.asks_teacher:
        require_positions(teacher, settings.max_tokens)
    if not settings.compares_layers:
        if not settings.asks_teacher or teacher_tokenizer is None or same_tokens(tokenizer, teacher_tokenizer):
            return (), None, None
        return (), None, teacher_tokenizer.with_max_tokens(settings.max_tokens)
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
    return mapping, projections, None


def _both(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batch: LabelledBatch,
    projections: Projections | None,
    mapping: tuple[int, ...],
    settings: BertRankersSettings,
) -> dict[str, Tensor]:
    """Run the networks that the task needs, keeping only what the terms need."""
    states = settings.compares_layers and bool(settings.embedding or settings.hidden)
    attention = settings.compares_layers and settings.attention > 0
    by_scores = settings.attention_by == "scores"

    def of(model: PreTrainedModel, read: Batch, layers: tuple[int, ...]) -> Answers:
        return answer(
            model,
            read,
            hidden_states=states,
            attention_layers=layers if attention and by_scores else (),
            relation_layer=layers[-1] if attention and not by_scores else None,
        )

    wanted = None
    if settings.asks_teacher:
        with torch.no_grad():
            wanted = of(teacher.to(student.device), batch.for_teacher, mapping)  # type: ignore[arg-type]
    given = of(student, batch.batch, tuple(range(1, len(mapping) + 1)))
    return loss_terms(given, wanted, batch, projections, mapping, settings, problem=student.config.problem_type)


def loss_terms(
    student: Answers,
    teacher: Answers | None,
    batch: LabelledBatch,
    projections: Projections | None,
    mapping: tuple[int, ...],
    settings: BertRankersSettings,
    *,
    problem: str | None = None,
) -> dict[str, Tensor]:
    """Compute the terms of the task, weighted; their sum is what is minimised.

    Args:
        student: Logits and, where layers are compared, M + 1 hidden states, and M attention scores or the relation
            states of layer M.
        teacher: Likewise N + 1 hidden states, the attention scores of the M mapped layers or the relation states of
            g(M). None where it is not asked.
        batch: Mask and labels.
        projections: From the student's width to the teacher's; None where no layers are compared.
        mapping: g(1), ..., g(M).
        settings: The task, weights and temperature.
        problem: The student's ``problem_type``; None: classes, or a ranker's one logit.
    """
    terms: dict[str, Tensor] = {}
    if teacher is not None and projections is not None:
        terms.update(_layer_terms(student, teacher, batch.batch.attention_mask, projections, mapping, settings))
    if teacher is not None:
        terms["soft"] = soft_loss(student.logits, teacher.logits, problem=problem, temperature=settings.temperature)
    if settings.reads_labels:
        if batch.labels is None:
            raise InputError(
                "an example has no label; give labels, or learn from the teacher alone with task: ranker_distillation"
            )
        terms["hard"] = hard_loss(student.logits, batch.labels, problem=problem)
    weights = {name: getattr(settings, name) for name in terms}
    return {name: weights[name] * term for name, term in terms.items() if weights[name]}


def _layer_terms(
    student: Answers,
    teacher: Answers,
    mask: Tensor,
    projections: Projections,
    mapping: tuple[int, ...],
    settings: BertRankersSettings,
) -> dict[str, Tensor]:
    """Compute the terms of the layers, which are those of TinyBERT unless the attention is compared by relations."""
    terms: dict[str, Tensor] = {}
    if settings.embedding or settings.hidden:
        embedding, *layers = projections(student.hidden_states)
        wanted = [teacher.hidden_states[layer] for layer in mapping]
        terms["embedding"] = hidden_state_loss(embedding, teacher.hidden_states[0], mask)
        pairs = zip(layers, wanted, strict=True)
        terms["hidden"] = torch.stack([hidden_state_loss(s, t, mask) for s, t in pairs]).sum()
    if settings.attention and settings.attention_by == "relations":
        heads = settings.relation_heads
        terms["attention"] = relation_loss(student.relation_states, teacher.relation_states, mask, heads=heads)
    elif settings.attention:
        scores = zip(student.attention_scores, teacher.attention_scores, strict=True)
        terms["attention"] = torch.stack([attention_loss(s, t, mask) for s, t in scores]).sum()
    return terms
