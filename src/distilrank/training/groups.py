"""Groups of a step, as micro-batches of whole groups whose pairs are run in length-sorted chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.tokens import Encoded, PairTokenizer, token_batches
from distilrank.errors import InputError
from distilrank.models.answers import Batch, answer, usual_batch_tokens, usual_padding
from distilrank.records import Group
from distilrank.training.microbatch import MicroBatch


@dataclass(frozen=True, slots=True)
class GroupBatch:
    """Whole groups: a loss over a list needs all its scores at once.

    Attributes:
        chunks: The pairs by length, each with the cells of (groups * passages) that its logits fill.
        relevance: (groups, passages) float32, 0 where there is no passage.
        scores: (groups, passages) float32 teacher scores, 0 where there is no passage; None without a teacher.
        mask: (groups, passages) bool, True where there is a passage.
    """

    chunks: tuple[tuple[Tensor, Batch], ...]
    relevance: Tensor
    scores: Tensor | None
    mask: Tensor

    def score(self, model: PreTrainedModel) -> Tensor:
        """Return the one-logit model's scores, (groups, passages), 0 where there is no passage."""
        return self.arranged([answer(model, batch).logits[:, 0] for _, batch in self.chunks])

    def arranged(self, logits: Sequence[Tensor]) -> Tensor:
        """Put the logits of the chunks' pairs in their cells, (groups, passages) fp32, 0 where there is no passage."""
        cells = torch.cat([cells for cells, _ in self.chunks])
        values = torch.cat([chunk.float() for chunk in logits])
        return torch.zeros(self.mask.numel(), device=values.device).index_put((cells,), values).view(self.mask.shape)

    def shares(self, cells: Tensor) -> Tensor:
        """Return what each pair of a chunk counts for in a mean over a group's pairs, then over groups.

        Args:
            cells: The chunk's cells.

        Returns:
            (pairs,): 1 / (groups * passages of the pair's group); over all chunks they sum to 1.
        """
        counts = self.mask.sum(dim=1)[cells // self.mask.shape[1]]
        return 1 / (len(self.mask) * counts.float())


def split_groups(
    groups: Sequence[Group],
    *,
    tokenizer: PairTokenizer,
    batch_tokens: int | None = None,
    device: torch.device | str = "cpu",
) -> list[MicroBatch[GroupBatch]]:
    """Cut a step's groups into micro-batches of whole groups.

    Args:
        groups: At least one passage in each.
        tokenizer: Decides the token limit.
        batch_tokens: Most tokens of one chunk that is run at once; a micro-batch keeps the activations of
            about four such chunks, or of one group. None: what suits the device.
        device: Where the tensors go.
    """
    batch_tokens = batch_tokens or usual_batch_tokens(device)
    queries = [group.query for group in groups for _ in group.passages]
    encoded = tokenizer.encode(queries, [passage for group in groups for passage in group.passages])
    micro_batches: list[MicroBatch[GroupBatch]] = []
    pending: list[tuple[Group, list[Encoded]]] = []
    start = 0
    for group in groups:
        own = encoded[start : start + len(group.passages)]
        start += len(group.passages)
        if pending and sum(len(pair) for _, pairs in pending for pair in pairs) + sum(map(len, own)) > 4 * batch_tokens:
            micro_batches.append(_micro_batch(pending, tokenizer, batch_tokens, device))
            pending = []
        pending.append((group, own))
    return [*micro_batches, _micro_batch(pending, tokenizer, batch_tokens, device)]


def _micro_batch(
    groups: Sequence[tuple[Group, list[Encoded]]],
    tokenizer: PairTokenizer,
    batch_tokens: int,
    device: torch.device | str,
) -> MicroBatch[GroupBatch]:
    multiple = usual_padding(device)
    width = max(len(pairs) for _, pairs in groups)
    cells = [row * width + column for row, (_, pairs) in enumerate(groups) for column in range(len(pairs))]
    encoded = [pair for _, pairs in groups for pair in pairs]
    chunks = tuple(
        (
            torch.tensor([cells[i] for i in positions], device=device),
            Batch.from_arrays(tokenizer.pad([encoded[i] for i in positions], multiple=multiple), device),
        )
        for positions in token_batches(map(len, encoded), max_batch_tokens=batch_tokens, multiple=multiple)
    )
    mask = torch.zeros(len(groups) * width, dtype=torch.bool)
    mask[cells] = True
    content = GroupBatch(
        chunks=chunks,
        relevance=_padded([group.relevance for group, _ in groups], width).to(device),
        scores=_teacher_scores([group for group, _ in groups], width, device),
        mask=mask.view(len(groups), width).to(device),
    )
    return MicroBatch(
        content=content, examples=len(groups), pairs=len(encoded), tokens=sum(len(pair) for pair in encoded)
    )


def _teacher_scores(groups: Sequence[Group], width: int, device: torch.device | str) -> Tensor | None:
    scores = [group.scores for group in groups if group.scores is not None]
    if not scores:
        return None
    if len(scores) < len(groups):
        raise InputError("some groups have teacher scores and some have none")
    return _padded(scores, width).to(device)


def _padded(rows: Sequence[Sequence[float]], width: int) -> Tensor:
    return torch.tensor([[*row, *[0.0] * (width - len(row))] for row in rows], dtype=torch.float32)
