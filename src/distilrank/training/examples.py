"""Labelled texts and pairs of a step, as length-sorted micro-batches of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distilrank.data.tokens import PairTokenizer, token_batches
from distilrank.errors import InputError
from distilrank.models.answers import Batch, usual_batch_tokens
from distilrank.records import Example
from distilrank.training.microbatch import MicroBatch


@dataclass(frozen=True, slots=True)
class LabelledBatch:
    """Texts or pairs with their labels.

    Attributes:
        batch: Token ids, (batch, length).
        labels: (batch,) int64 classes or float32 numbers, or (batch, labels) float32 of 0 and 1; None when
            the examples have none.
    """

    batch: Batch
    labels: Tensor | None


def split_examples(
    examples: Sequence[Example],
    *,
    tokenizer: PairTokenizer,
    batch_tokens: int | None = None,
    device: torch.device | str = "cpu",
    length: int | None = None,
) -> list[MicroBatch[LabelledBatch]]:
    """Cut a step's examples into micro-batches of similar length.

    Args:
        examples: Texts or pairs, not both in one call.
        tokenizer: Decides the token limit.
        batch_tokens: Most tokens of a micro-batch, padding included. None: what suits the device.
        device: Where the tensors go.
        length: Pad every example to this many tokens. None: to the longest of its micro-batch.
    """
    batch_tokens = batch_tokens or usual_batch_tokens(device)
    pairs = None if examples[0].text_pair is None else [_second_text(example) for example in examples]
    encoded = tokenizer.encode([example.text for example in examples], pairs)
    micro_batches = []
    for positions in token_batches([length or len(item) for item in encoded], max_batch_tokens=batch_tokens):
        arrays = tokenizer.pad([encoded[i] for i in positions], length=length)
        content = LabelledBatch(Batch.from_arrays(arrays, device), _labels([examples[i] for i in positions], device))
        tokens = sum(len(encoded[i]) for i in positions)
        micro_batches.append(MicroBatch(content=content, examples=len(positions), pairs=len(positions), tokens=tokens))
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
