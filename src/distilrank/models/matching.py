"""Whether a teacher and a student fit together, said before any training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError, SettingsError
from distilrank.models.load import are_named, position_limit, stored_label_names

PROBE = "Whether 2 tokenisers agree: naïve café, straße, 東京, don't, 3.14, #tag, antidisestablishmentarianism."


def require_same_labels(student: PreTrainedModel, teacher: PreTrainedModel) -> None:
    """Refuse another number of labels, the same labels in another order, and labels of other names.

    Raises:
        ModelError: With both numbers or both lists of names.
    """
    names, others = stored_label_names(student.config), stored_label_names(teacher.config)
    if len(names) != len(others):
        raise ModelError(f"the student has {len(names)} label(s) and the teacher {len(others)}; they must be the same")
    require_names_in_order(names, others, of="the student", others_of="the teacher")


def require_names_in_order(names: Sequence[str], others: Sequence[str], *, of: str, others_of: str) -> None:
    """Refuse labels that have other names, or the same in another order, unless the names of one side say nothing.

    Args:
        names: In the order of the logits, or of the numbers in the data; case does not matter.
        others: As many of the other side.
        of: Whose ``names`` are, as in "the data".
        others_of: Whose ``others`` are.

    Raises:
        ModelError: With both lists.
    """
    ours, theirs = ([name.casefold() for name in side] for side in (names, others))
    if ours == theirs or not (are_named(names) and are_named(others)):
        return
    if sorted(ours) == sorted(theirs):
        problem = f"the labels of {of} are ordered {', '.join(names)} but those of {others_of} {', '.join(others)}"
        raise ModelError(f"{problem}; order id2label and label2id in config.json, and the head with them, alike")
    problem = f"the labels of {of} are {', '.join(names)} but those of {others_of} {', '.join(others)}"
    raise ModelError(f"{problem}, and nothing says which is which; name them alike in id2label and label2id")


def same_tokens(student: PairTokenizer, teacher: PairTokenizer) -> bool:
    """Tell whether two tokenisers have vocabularies of one size and give one probe text the same ids."""
    ours, theirs = (_with_room(tokenizer).encode([PROBE], [PROBE]) for tokenizer in (student, teacher))
    return student.vocabulary_size == teacher.vocabulary_size and ours == theirs


def require_same_tokens(student: PairTokenizer, teacher: PairTokenizer) -> None:
    """Refuse tokenisers that would give the two networks different ids: layers are compared token by token.

    Raises:
        ModelError: With the sizes of both vocabularies.
    """
    if not same_tokens(student, teacher):
        raise ModelError(
            "teacher and student turn text into different token ids (vocabularies of "
            f"{teacher.vocabulary_size} and {student.vocabulary_size}), and layers are compared token by token; "
            "learn from the scores alone with --procedure standard"
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
            "head, so make them the same, leave it out with attention: 0, or, on a task, compare relations, which need "
            "no equal heads, with --procedure bert_rankers --set attention_by=relations"
        )


def require_relation_heads(student: PreTrainedModel, teacher: PreTrainedModel, heads: int) -> None:
    """Refuse relation heads that do not divide both widths.

    Raises:
        SettingsError: With both widths and the most heads that do.
    """
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    if ours % heads or theirs % heads:
        both = math.gcd(ours, theirs)
        most = max(count for count in range(1, heads + 1) if both % count == 0)
        raise SettingsError(
            f"relation_heads is {heads} but must divide the student's width {ours} and the teacher's {theirs}, "
            f"as {most} does"
        )


def require_positions(model: PreTrainedModel, max_tokens: int) -> None:
    """Refuse pairs longer than what a network has positions for.

    Raises:
        SettingsError: With both numbers.
    """
    limit = position_limit(model.config)
    if max_tokens > limit:
        raise SettingsError(f"max_tokens is {max_tokens}, but {type(model).__name__} has positions for {limit} tokens")


def _with_room(tokenizer: PairTokenizer) -> PairTokenizer:
    """Return the tokeniser without the limit of the run, which would make equal ones look different."""
    return tokenizer.with_max_tokens(512)
