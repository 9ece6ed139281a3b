"""Labelled texts and pairs of a step, as length-sorted micro-batches of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distilrank.data.tokens import Encoded, PairTokenizer, token_batches
from distilrank.errors import InputError
from distilrank.models.answers import Batch, usual_batch_tokens, usual_padding
from distilrank.records import Example
from distilrank.training.microbatch import MicroBatch


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """Texts or pairs with their labels.

    Attributes:
        batch: Token ids, (batch, length).
        labels: (batch,) int64 classes or float32 numbers, or (batch, labels) float32 of 0 and 1; None when
            the examples have none.
        other: The same examples as a teacher of another tokeniser reads them. None: it reads ``batch``.
    """

    batch: Batch
    labels: Tensor | None
    other: Batch | None = None

    @property
    def for_teacher(self) -> Batch:
        """What the teacher reads."""
        return self.batch if self.other is None else self.other


def split_examples(
    examples: Sequence[Example],
    *,
    tokenizer: PairTokenizer,
    teacher_tokenizer: PairTokenizer | None = None,
    batch_tokens: int | None = None,
    device: torch.device | str = "cpu",
    length: int | None = None,
) -> list[MicroBatch[LabelledBatch]]:
    """Cut a step's examples into micro-batches of similar length.

    Args:
        examples: Texts or pairs, not both in one call.
        tokenizer: Decides the token limit.
        teacher_tokenizer: The teacher's, when it is another one. None: student and teacher read the same ids.
        batch_tokens: Most tokens of a micro-batch, padding included. None: what suits the device.
        device: Where the tensors go.
        length: Pad every example to this many tokens. None: as the longest of its micro-batch needs.
    """
    batch_tokens = batch_tokens or usual_batch_tokens(device)
    multiple = 1 if length else usual_padding(device)
    texts = [example.text for example in examples]
    pairs = None if examples[0].text_pair is None else [_second_text(example) for example in examples]
    encoded = tokenizer.encode(texts, pairs)
    others = encoded if teacher_tokenizer is None else teacher_tokenizer.encode(texts, pairs)
    lengths = [length or max(len(item), len(other)) for item, other in zip(encoded, others, strict=True)]
    micro_batches = []
    for positions in token_batches(lengths, max_batch_tokens=batch_tokens, multiple=multiple):
        batch = Batch.from_arrays(
            tokenizer.pad([encoded[i] for i in positions], length=length, multiple=multiple), device
        )
        other = None
        if teacher_tokenizer is not None:
            other = Batch.from_arrays(teacher_tokenizer.pad([others[i] for i in positions], multiple=multiple), device)
        content = LabelledBatch(batch, _labels([examples[i] for i in positions], device), other)
        tokens = sum(len(encoded[i]) for i in positions)
        micro_batches.append(MicroBatch(content=content, examples=len(positions), pairs=len(positions), tokens=tokens))
    return micro_batches


def split_chunks(
    chunks: Sequence[Encoded],
    *,
    tokenizer: PairTokenizer,
    batch_tokens: int | None = None,
    device: torch.device | str = "cpu",
    length: int | None = None,
) -> list[MicroBatch[Batch]]:
    """Cut a step's chunks of plain text into micro-batches of similar length.

    Args:
        chunks: Token ids.
        tokenizer: Pads.
        batch_tokens: Most tokens of a micro-batch, padding included. None: what suits the device.
        device: Where the tensors go.
        length: Pad every chunk to this many tokens. None: as the longest of its micro-batch needs.
    """
    micro_batches = []
    lengths = [length or len(chunk) for chunk in chunks]
    batch_tokens = batch_tokens or usual_batch_tokens(device)
    multiple = 1 if length else usual_padding(device)
    for positions in token_batches(lengths, max_batch_tokens=batch_tokens, multiple=multiple):
        own = [chunks[position] for position in positions]
        batch = Batch.from_arrays(tokenizer.pad(own, length=length, multiple=multiple), device)
        micro_batches.append(MicroBatch(content=batch, examples=len(own), pairs=len(own), tokens=sum(map(len, own))))
    return micro_batches


def _second_text(example: Example) -> str:
    if example.text_pair is None:
        raise InputError(f"example {example.example_id!r} has one text where the others have two")
    return example.text_pair


def _labels(examples: Sequence[Example], device: torch.device | str) -> Tensor | None:
    labels = [example.label for example in examples]
    if all(label is None for label in labels):
        return None
    if any(label is None for label in labels):
        raise InputError("some examples have a label and some have none")
    whole = all(isinstance(label, int) for label in labels)
    return torch.tensor(labels, dtype=torch.int64 if whole else torch.float32, device=device)
