"""Simplified TinyBERT: one-step task distillation with the hard label, for document ranking.

Chen, He, Hui, Sun, Sun: "Simplified TinyBERT: Knowledge Distillation for Document Retrieval", ECIR 2021,
https://arxiv.org/abs/2009.07531. TinyBERT's two task stages become one, and the hard label joins in:

    L = sum_{m=0..M} MSE(H_S^m W, H_T^g(m)) + sum_{m=1..M} MSE(A_S^m, A_T^g(m)) + soft + hard

1. the student starts from a general student (or layers of the teacher); the teacher is fine-tuned and frozen;
2. triples (query, positive, negative) are sampled; documents are cut into passages and the positives' passages
   filtered by the teacher (``data.triples``, ``data.document_triples``);
3. every pair goes through both networks; embeddings (m = 0), hidden states, attention scores before the softmax,
   soft cross entropy at temperature 1 and cross entropy with the label are added with weight 1 and minimised;
4. at inference a document's score is the best of its passages' (``evaluation.aggregate``, MaxP).

The two simplifications, one step and the hard label, are switches: ``steps`` and the weight ``hard``. With
``steps: two`` and ``hard: 0`` this is the task distillation of TinyBERT without augmentation.

The paper's body could not be consulted; stages and constants follow the authors' published code. Departures: each
term averages an example's valid cells, then examples, so that padding and batching do not matter (the code averages
over padding too); the soft term sums over classes and carries T^2; projections as the TinyBERT paper writes them;
AdamW with bias correction (``optimiser: bert_adam`` is the code's); the teacher is in evaluation mode (the code left
its dropout on); the last short batch is trained on. ``as_published`` brings back the code's normalisation. See
docs/decisions/0005.
"""

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
from distilrank.losses import (
    as_published_attention_loss,
    as_published_hidden_state_loss,
    as_published_soft_cross_entropy,
    attention_loss,
    class_logits,
    hard_loss,
    hidden_state_loss,
    soft_loss,
)
from distilrank.models.answers import Answers, answer
from distilrank.models.frozen import frozen
from distilrank.models.mapping import layer_mapping
from distilrank.models.matching import (
    require_positions,
    require_same_heads,
    require_same_labels,
    require_same_tokens,
)
from distilrank.models.projections import Projections
from distilrank.models.relu_head import use_relu_head
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch, split_examples
from distilrank.training.loop import TrainingResult, train
from distilrank.training.settings import TrainingSettings, require_sizes

LAYER_TERMS = ("embedding", "hidden", "attention")
"""What the first of two steps minimises."""


@dataclass(frozen=True, kw_only=True)
class SimplifiedTinyBertSettings:
    """The published constants (``distill.sh`` and the defaults of the authors' code) unless changed.

    Attributes:
        mapping: Teacher layer for each student layer: "uniform" (g(m) = m N / M), "top", "bottom" or a list.
        embedding: Weight of the embedding term (1 in the code, as all the others); 0 leaves a term out.
        hidden: Weight of the hidden-state term.
        attention: Weight of the attention term.
        soft: Weight of the soft cross entropy (of the squared error for regression).
        hard: Weight of the cross entropy with the label (likewise); 0 is the paper's ablation of it.
        steps: "one": all terms at once. "two": first the embedding, hidden-state and attention terms, then the soft
            and hard ones, each step with all of ``training``, and only the second judged. None: one.
        temperature: Of the soft term.
        max_tokens: Longest pair (256 in the code).
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        as_published: The code's normalisation: everything padded to ``max_tokens``, means over all cells of a
            batch, scores up to -100 zeroed, class mean, one shared projection with a bias, a ReLU before the
            student's classifier. For comparison with the published system; ours is the default.
        training: Batch of 64 pairs, 5e-5, 2 epochs, 10% warm-up, weight decay 0.01, seed 42.
    """

    mapping: str | tuple[int, ...] = "uniform"
    embedding: float = 1.0
    hidden: float = 1.0
    attention: float = 1.0
    soft: float = 1.0
    hard: float = 1.0
    steps: Literal["one", "two"] | None = None  # None so that runs from before it was a setting can be resumed
    temperature: float = 1.0
    max_tokens: int = 256
    batch_tokens: int | None = None
    as_published: bool = False
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=2, batch_size=64))

    def __post_init__(self) -> None:
        """Refuse weights and sizes that make no sense."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=self.temperature)
        weights = {name: getattr(self, name) for name in ("embedding", "hidden", "attention", "soft", "hard")}
        for name, weight in weights.items():
            if not weight >= 0:
                raise SettingsError(f"{name} is {weight} but a term's weight must not be negative")
        if self.steps not in (None, "one", "two"):
            raise SettingsError(f"steps is {self.steps!r} but must be one or two")
        if not any(weights.values()):
            raise SettingsError("every term has weight 0, so there is nothing to minimise")
        if self.steps == "two" and not (any(weights[name] for name in LAYER_TERMS) and (self.soft or self.hard)):
            raise SettingsError("steps is two, but all terms of one of them have weight 0; take one step")

    def of_each_step(self) -> dict[str, SimplifiedTinyBertSettings]:
        """Return the folder in the run folder, and the settings, of each step; "" for the run folder itself."""
        if self.steps != "two":
            return {"": self}
        unjudged = replace(self.training, evaluate_every=None, patience=None)
        return {
            "layers": replace(self, steps="one", soft=0.0, hard=0.0, training=unjudged),
            "answers": replace(self, steps="one", embedding=0.0, hidden=0.0, attention=0.0),
        }


def distil(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    examples: Sequence[Example],
    *,
    teacher_tokenizer: PairTokenizer | None = None,
    settings: SimplifiedTinyBertSettings,
    folder: Path,
    command: Mapping[str, object],
    evaluate: Callable[[], Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Train the student in place; the teacher is only read.

    Args:
        student: A classifier, or a ranker with one logit.
        teacher: Fine-tuned, with as many logits as the student.
        tokenizer: The student's.
        examples: Labelled texts or (query, passage) pairs, such as ``data.triples.SampledPairs``.
        teacher_tokenizer: The teacher's, to check that it gives the same ids. None: known to be the same.
        settings: How.
        folder: The run folder, resumed when it holds a part of the same run; with two steps it holds one for each,
            ``layers`` and ``answers``.
        command: What identifies the run besides the settings: teacher, data and their hashes.
        evaluate: Measures of the student as it is, higher is better; the first one decides which step is best.

    Returns:
        How the training ended; with two steps, the second.

    Raises:
        ModelError: The two networks do not match: token ids, labels or (for the attention term) head counts.
        SettingsError: The layer mapping or ``max_tokens`` does not fit the two networks, or ``as_published`` is
            asked for anything but classes.
    """
    _require_match(student, teacher, tokenizer, teacher_tokenizer, settings)
    if settings.as_published:
        use_relu_head(student)
    mapping = layer_mapping(
        settings.mapping,
        student_layers=student.config.num_hidden_layers,
        teacher_layers=teacher.config.num_hidden_layers,
    )
    projections = Projections(
        student_width=student.config.hidden_size,
        teacher_width=teacher.config.hidden_size,
        as_published=settings.as_published,
        seed=settings.training.seed,
    )
    limited = tokenizer.with_max_tokens(settings.max_tokens)

    def step(name: str, own: SimplifiedTinyBertSettings) -> TrainingResult:
        return train(
            model=student,
            projections=projections,
            examples=examples,
            split=lambda step: split_examples(
                step,
                tokenizer=limited,
                batch_tokens=settings.batch_tokens,
                device=student.device,
                length=settings.max_tokens if settings.as_published else None,
            ),
            loss_terms=lambda batch: _both(student, teacher, batch, projections, mapping, own),
            settings=own.training,
            folder=folder / name,
            command=command,
            evaluate=None if name == "layers" else evaluate,
            stage=f"simplified-tinybert-{name}".rstrip("-"),
        )

    with frozen(teacher, precision=settings.training.precision):
        return [step(name, own) for name, own in settings.of_each_step().items()][-1]


def _require_match(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None,
    settings: SimplifiedTinyBertSettings,
) -> None:
    """Refuse networks that cannot be compared."""
    require_same_labels(student, teacher)
    for model in (student, teacher):
        require_positions(model, settings.max_tokens)
    if teacher_tokenizer is not None:
        require_same_tokens(tokenizer, teacher_tokenizer)
    if settings.attention:
        require_same_heads(student, teacher)
    if settings.as_published and student.config.problem_type in ("regression", "multi_label_classification"):
        raise SettingsError("as_published knows classes only: the authors' code has no other problem")


def _both(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batch: LabelledBatch,
    projections: Projections,
    mapping: tuple[int, ...],
    settings: SimplifiedTinyBertSettings,
) -> dict[str, Tensor]:
    """Run both networks, keeping only what the terms need."""
    states = bool(settings.embedding or settings.hidden)
    student_layers = range(1, len(mapping) + 1) if settings.attention else ()
    teacher_layers = mapping if settings.attention else ()
    teacher.to(student.device)  # type: ignore[arg-type]
    with torch.no_grad():
        wanted = answer(teacher, batch.batch, hidden_states=states, attention_layers=teacher_layers)
    given = answer(student, batch.batch, hidden_states=states, attention_layers=student_layers)
    return loss_terms(given, wanted, batch, projections, mapping, settings, problem=student.config.problem_type)


def loss_terms(
    student: Answers,
    teacher: Answers,
    batch: LabelledBatch,
    projections: Projections,
    mapping: tuple[int, ...],
    settings: SimplifiedTinyBertSettings,
    *,
    problem: str | None = None,
) -> dict[str, Tensor]:
    """Compute the terms of L, weighted; their sum is what is minimised.

    Args:
        student: With M + 1 hidden states and M attention scores.
        teacher: With N + 1 hidden states and the attention scores of the mapped layers, in that order.
        batch: Mask and labels.
        projections: From the student's width to the teacher's.
        mapping: g(1), ..., g(M).
        settings: Weights, temperature and normalisation.
        problem: The student's ``problem_type``; None: classes, or a ranker's one logit.
    """
    mask = batch.batch.attention_mask
    published = settings.as_published
    scores_loss = as_published_attention_loss if published else attention_loss

    def hidden_loss(ours: Tensor, theirs: Tensor) -> Tensor:
        return as_published_hidden_state_loss(ours, theirs) if published else hidden_state_loss(ours, theirs, mask)

    terms: dict[str, Tensor] = {}
    if settings.embedding or settings.hidden:
        embedding, *layers = projections(student.hidden_states)
        wanted = [teacher.hidden_states[layer] for layer in mapping]
        terms["embedding"] = hidden_loss(embedding, teacher.hidden_states[0])
        terms["hidden"] = torch.stack([hidden_loss(s, t) for s, t in zip(layers, wanted, strict=True)]).sum()
    if settings.attention:
        scores = zip(student.attention_scores, teacher.attention_scores, strict=True)
        terms["attention"] = torch.stack([scores_loss(s, t, mask) for s, t in scores]).sum()
    if settings.soft:
        if published:
            classes = class_logits(student.logits), class_logits(teacher.logits)
            terms["soft"] = as_published_soft_cross_entropy(*classes, temperature=settings.temperature)
        else:
            terms["soft"] = soft_loss(student.logits, teacher.logits, problem=problem, temperature=settings.temperature)
    if settings.hard:
        if batch.labels is None:
            raise InputError("an example has no label; give labels or leave the hard term out with hard: 0")
        terms["hard"] = hard_loss(student.logits, batch.labels, problem=problem)
    weights = {name: getattr(settings, name) for name in terms}
    return {name: weights[name] * term for name, term in terms.items() if weights[name]}
