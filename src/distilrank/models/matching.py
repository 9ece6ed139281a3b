"""Whether a teacher and a student fit together, said before any training."""

from __future__ import annotations

from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError

PROBE = "Whether 2 tokenisers agree: naïve café, straße, 東京, don't, 3.14, #tag, antidisestablishmentarianism."


def require_same_labels(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Refuse another number of labels, and the same labels in another order.

    Raises:
        ModelError: With both numbers or both orders.
    """
    ours, theirs = student.config.num_labels, teacher.config.num_labels
    if ours != theirs:
        raise ModelError(f"the student has {ours} label(s) and the teacher {theirs}; they must be the same")
    names, others = _names(student), _names(teacher)
    if names != others and sorted(names) == sorted(others):
        raise ModelError(f"the student's labels are ordered {names} but the teacher's {others}; make them the same")


def require_same_tokens(student: PairTokenizer, teacher: PairTokenizer) -> None:
    """Refuse tokenisers that would give the two networks different ids.

    Raises:
        ModelError: When vocabulary size or the ids of a probe text differ.
    """
    same_size = student.vocabulary_size == teacher.vocabulary_size
    if not same_size or student.encode([PROBE], [PROBE]) != teacher.encode([PROBE], [PROBE]):
        raise ModelError(
            "teacher and student turn text into different token ids "
            f"(vocabularies of {teacher.vocabulary_size} and {student.vocabulary_size}), so one batch cannot serve both"
        )


def require_same_heads(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Refuse different head counts: attention scores are compared head by head.

    Raises:
        ModelError: With both numbers.
    """
    ours, theirs = student.config.num_attention_heads, teacher.config.num_attention_heads
    if ours != theirs:
        raise ModelError(
            f"the student has {ours} attention heads and the teacher {theirs}; the attention term compares head by "
            "head, so make them the same or leave it out with attention: 0"
        )


def _names(model: PreTrainedModel) -> list[str]:
    return [str(model.config.id2label[i]) for i in range(model.config.num_labels)]
