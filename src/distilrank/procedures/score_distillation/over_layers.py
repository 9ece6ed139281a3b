"""The objectives over the layers of both networks, and what brings the two side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.losses import attention_loss, hidden_state_loss, pkd_loss, relation_loss
from distilrank.models.answers import Answers, answer
from distilrank.models.projections import Projections
from distilrank.training.groups import GroupBatch


@dataclass(frozen=True, kw_only=True)
class Matched:
    """How two networks are compared layer by layer.

    Attributes:
        mapping: g(1), ..., g(M).
        projections: From the student's width to the teacher's.
        relation_heads: A_r of ``relations``.
        hidden_states: Whether any objective reads hidden states.
        attention_scores: Whether any reads attention scores.
        relation_states: Whether any reads queries, keys and values.
    """

    mapping: tuple[int, ...]
    projections: Projections
    relation_heads: int
    hidden_states: bool
    attention_scores: bool
    relation_states: bool

    def ask(self, model: PreTrainedModel, batch: GroupBatch, chunk: int, layers: tuple[int, ...]) -> Answers:
        """Run one network over one chunk, keeping only what is read."""
        return answer(
            model,
            batch.chunks[chunk][1],
            hidden_states=self.hidden_states,
            attention_layers=layers if self.attention_scores else (),
            relation_layer=layers[-1] if self.relation_states else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What two networks answered to a chunk of pairs.

    Attributes:
        student: As far as it is read: M + 1 hidden states, M attention scores and the relation states of layer M.
        teacher: Likewise N + 1 hidden states, and attention scores and relation states of g(1), ..., g(M).
        mask: (pairs, length), 1 where a token is real.
        shares: (pairs,), what each pair counts for; see ``GroupBatch.shares``.
        matched: How the two are compared.
    """

    student: Answers
    teacher: Answers
    mask: Tensor
    shares: Tensor
    matched: Matched


def compare(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batch: GroupBatch,
    losses: Mapping[str, Callable[[Layers], Tensor]],
    matched: Matched,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Run both networks over the chunks of a batch.

    Returns:
        The student's scores, the teacher's scores, both (groups, passages), and what each of ``losses`` is.
    """
    teacher.to(student.device)  # type: ignore[arg-type]
    given, wanted, found = [], [], []
    for chunk, (cells, pairs) in enumerate(batch.chunks):
        with torch.no_grad():
            theirs = matched.ask(teacher, batch, chunk, matched.mapping)
        ours = matched.ask(student, batch, chunk, tuple(range(1, len(matched.mapping) + 1)))
        shares = batch.shares(cells)
        layers = Layers(student=ours, teacher=theirs, mask=pairs.attention_mask, shares=shares, matched=matched)
        given.append(ours.logits[:, 0])
        wanted.append(theirs.logits[:, 0])
        found.append({name: loss(layers) for name, loss in losses.items()})
    terms = {name: torch.stack([chunk[name] for chunk in found]).sum() for name in losses}
    return batch.arranged(given), batch.arranged(wanted), terms


def embedding(layers: Layers) -> Tensor:
    """Compare the embeddings."""
    given = layers.matched.projections.embedding(layers.student.hidden_states[0])
    return hidden_state_loss(given, layers.teacher.hidden_states[0], layers.mask, shares=layers.shares)


def hidden(layers: Layers) -> Tensor:
    """Compare the hidden states of all mapped layers."""
    pairs = zip(layers.student.hidden_states[1:], layers.matched.mapping, strict=True)
    return torch.stack(
        [
            hidden_state_loss(
                layers.matched.projections.hidden(state),
                layers.teacher.hidden_states[other],
                layers.mask,
                shares=layers.shares,
            )
            for state, other in pairs
        ]
    ).sum()


def attention(layers: Layers) -> Tensor:
    """Compare the attention scores of all mapped layers, head by head."""
    pairs = zip(layers.student.attention_scores, layers.teacher.attention_scores, strict=True)
    return torch.stack([attention_loss(s, t, layers.mask, shares=layers.shares) for s, t in pairs]).sum()


def relations(layers: Layers) -> Tensor:
    """Compare how queries, keys and values relate in the last layer."""
    return relation_loss(
        layers.student.relation_states,
        layers.teacher.relation_states,
        layers.mask,
        heads=layers.matched.relation_heads,
        shares=layers.shares,
    )


def pkd(layers: Layers) -> Tensor:
    """Compare the [CLS] states of all mapped layers but the last, which the head reads (BERT-PKD)."""
    pairs = zip(layers.student.hidden_states[1:-1], layers.matched.mapping[:-1], strict=True)
    return torch.stack(
        [
            pkd_loss(
                layers.matched.projections.hidden(state[:, 0]),
                layers.teacher.hidden_states[other][:, 0],
                shares=layers.shares,
            )
            for state, other in pairs
        ]
    ).sum()
