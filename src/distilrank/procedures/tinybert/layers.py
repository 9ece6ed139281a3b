"""What both phases minimise: L_0 ... L_M of TinyBERT's equation 11, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import SettingsError
from distilrank.losses import (
    as_published_attention_loss,
    as_published_hidden_state_loss,
    attention_loss,
    hidden_state_loss,
)
from distilrank.models.answers import Answers, Batch, answer
from distilrank.models.mapping import layer_mapping
from distilrank.models.matching import require_positions, require_same_heads, require_same_tokens
from distilrank.models.projections import Projections
from distilrank.training.settings import TrainingSettings, require_sizes


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """What both phases compare, layer by layer.

    Attributes:
        mapping: Teacher layer for each student layer: "uniform" (g(m) = m N / M; section 3.1), "top", "bottom" or a
            list.
        embedding: Weight of the embedding term; 0 leaves a term out (Table 3 has each left out).
        hidden: Weight of the hidden-state term.
        attention: Weight of the attention term.
        layer_weights: lambda_0 (of the embeddings), lambda_1, ..., lambda_M. None: all 1 (section 4.2).
        max_tokens: Longest text or pair (128; the code takes 64 for single sentences).
        batch_tokens: Most tokens run at once, padding included; changes no result. None: what suits the device.
        as_published: As the authors' code computes: everything padded to ``max_tokens``, means over all cells of a
            batch, scores up to -100 zeroed, class mean, one shared projection with a bias, a ReLU before the student's
            classifier, and ``optimiser: bert_adam``. For comparison with the published system; ours is the default.
    """

    mapping: str | tuple[int, ...] = "uniform"
    embedding: float = 1.0
    hidden: float = 1.0
    attention: float = 1.0
    layer_weights: tuple[float, ...] | None = None
    max_tokens: int = 128
    batch_tokens: int | None = None
    as_published: bool = False

    def __post_init__(self) -> None:
        """Refuse weights and sizes that make no sense."""
        require_sizes(max_tokens=self.max_tokens, batch_tokens=self.batch_tokens, temperature=1.0)
        weights = {name: getattr(self, name) for name in ("embedding", "hidden", "attention")}
        weights.update((f"layer_weights[{m}]", weight) for m, weight in enumerate(self.layer_weights or ()))
        for name, weight in weights.items():
            if not weight >= 0:
                raise SettingsError(f"{name} is {weight} but a weight must not be negative")

    @property
    def imitates(self) -> bool:
        """Whether anything is compared."""
        return bool(self.embedding or self.hidden or self.attention)

    def lambdas(self, layers: int) -> tuple[float, ...]:
        """Return lambda_0 ... lambda_M.

        Raises:
            SettingsError: ``layer_weights`` has another number of them.
        """
        given = self.layer_weights
        if given is not None and len(given) != layers + 1:
            raise SettingsError(
                f"layer_weights has {len(given)} weights but must have {layers + 1}: one for the embeddings and one "
                f"for each of the student's {layers} layers"
            )
        return given or (1.0,) * (layers + 1)

    @property
    def padded_length(self) -> int | None:
        """Tokens to which everything is padded; None: to the longest of a batch."""
        return self.max_tokens if self.as_published else None

    def of_stage(self, training: TrainingSettings) -> TrainingSettings:
        """Return a stage's settings of the loop, with the optimiser of the code where it is asked for."""
        return replace(training, optimiser="bert_adam") if self.as_published else training


def require_match(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None,
    settings: LayerSettings,
) -> None:
    """Refuse networks that cannot be compared."""
    for model in (student, teacher):
        require_positions(model, settings.max_tokens)
    if teacher_tokenizer is not None:
        require_same_tokens(tokenizer, teacher_tokenizer)
    if settings.attention:
        require_same_heads(student, teacher)


def imitation(
    student: PreTrainedModel, teacher: PreTrainedModel, settings: LayerSettings, *, seed: int
) -> tuple[Projections, Callable[[Batch], dict[str, Tensor]]]:
    """Match two networks layer by layer; return the projections, and what computes the terms of a batch."""
    mapping = layer_mapping(
        settings.mapping,
        student_layers=student.config.num_hidden_layers,
        teacher_layers=teacher.config.num_hidden_layers,
    )
    settings.lambdas(len(mapping))  # refuses a wrong number of them before any training
    projections = Projections(
        student_width=student.config.hidden_size,
        teacher_width=teacher.config.hidden_size,
        as_published=settings.as_published,
        seed=seed,
    )
    states = bool(settings.embedding or settings.hidden)
    own_layers, other_layers = (range(1, len(mapping) + 1), mapping) if settings.attention else ((), ())

    def terms(batch: Batch) -> dict[str, Tensor]:
        teacher.to(student.device)  # type: ignore[arg-type]
        with torch.no_grad():
            wanted = answer(teacher, batch, hidden_states=states, attention_layers=other_layers)
        given = answer(student, batch, hidden_states=states, attention_layers=own_layers)
        return layer_terms(given, wanted, batch.attention_mask, projections, mapping, settings)

    return projections, terms


def layer_terms(
    student: Answers,
    teacher: Answers,
    mask: Tensor,
    projections: Projections,
    mapping: tuple[int, ...],
    settings: LayerSettings,
) -> dict[str, Tensor]:
    """Compute the terms of general distillation and of the layers stage, weighted; their sum is minimised.

    Args:
        student: With M + 1 hidden states and M attention scores.
        teacher: With N + 1 hidden states and the attention scores of the mapped layers, in that order.
        mask: (batch, length), 1 where a token is real.
        projections: From the student's width to the teacher's.
        mapping: g(1), ..., g(M).
        settings: Weights and normalisation.
    """
    published = settings.as_published
    first, *others = settings.lambdas(len(mapping))
    scores_loss = as_published_attention_loss if published else attention_loss

    def hidden_loss(ours: Tensor, theirs: Tensor) -> Tensor:
        return as_published_hidden_state_loss(ours, theirs) if published else hidden_state_loss(ours, theirs, mask)

    def total(losses: list[Tensor]) -> Tensor:
        return torch.stack([weight * loss for weight, loss in zip(others, losses, strict=True)]).sum()

    terms: dict[str, Tensor] = {}
    if settings.embedding or settings.hidden:
        embedding, *layers = projections(student.hidden_states)
        wanted = [teacher.hidden_states[layer] for layer in mapping]
        terms["embedding"] = first * hidden_loss(embedding, teacher.hidden_states[0])
        terms["hidden"] = total([hidden_loss(s, t) for s, t in zip(layers, wanted, strict=True)])
    if settings.attention:
        scores = zip(student.attention_scores, teacher.attention_scores, strict=True)
        terms["attention"] = total([scores_loss(s, t, mask) for s, t in scores])
    weights = {name: getattr(settings, name) for name in terms}
    return {name: weights[name] * term for name, term in terms.items() if weights[name]}
