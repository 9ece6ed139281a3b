"""Teacher, student and labelled pairs for the tests of procedures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel

from distilrank.models.answers import Answers, answer
from distilrank.records import Example
from distilrank.training.examples import LabelledBatch, split_examples
from tests.tiny import tiny_model, tiny_pairs, tiny_tokenizer

MAX_TOKENS = 48


def teacher_and_student(num_labels: int = 1) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A teacher of four layers and a student of two that is half as wide, both in float64 without dropout."""
    teacher = tiny_model(layers=4, hidden=16, num_labels=num_labels, seed=1).double()
    student = tiny_model(layers=2, hidden=8, num_labels=num_labels, seed=2).double()
    return teacher, student


def labelled_pairs(count: int = 6, *, classes: int = 2) -> list[Example]:
    """Pairs of many lengths, some of them truncated, whose labels go round."""
    pairs = tiny_pairs(count, lengths=(5, 30, 1, 12))
    return [Example(text=query, text_pair=passage, label=i % classes) for i, (query, passage) in enumerate(pairs)]


def as_batches(
    examples: Sequence[Example], *, length: int | None = None, batch_tokens: int = 10_000
) -> list[LabelledBatch]:
    """The examples as the procedures see them."""
    limited = tiny_tokenizer(max_tokens=MAX_TOKENS)
    parts = split_examples(examples, tokenizer=limited, batch_tokens=batch_tokens, length=length)
    return [part.content for part in parts]


def both_answers(
    student: PreTrainedModel, teacher: PreTrainedModel, batch: LabelledBatch, mapping: Sequence[int]
) -> tuple[Answers, Answers]:
    """All that Simplified TinyBERT compares, the student's with a gradient and the teacher's without."""
    ours = answer(student, batch.batch, hidden_states=True, attention_layers=range(1, len(mapping) + 1))
    with torch.no_grad():
        theirs = answer(teacher, batch.batch, hidden_states=True, attention_layers=mapping)
    return ours, theirs


def modes(module: torch.nn.Module) -> Iterator[bool]:
    """Whether each part of a network is in training mode."""
    return (part.training for part in module.modules())
