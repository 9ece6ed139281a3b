"""Alarm about a test set that a model was trained on."""

from __future__ import annotations

from collections.abc import Mapping

from distilrank.evaluation.diagnostics.duplicates import same_texts
from distilrank.evaluation.diagnostics.findings import EXAMPLES, Finding

LEAK_SHARE = 0.01
"""From this share of the test set on the measure itself is in doubt; one text in a thousand moves no mean."""


def leaked_texts(
    trained: Mapping[str, str], tested: Mapping[str, str], *, name: str, what: str = "queries"
) -> Finding | None:
    """Find texts of a test set that are the same, but for case and punctuation, as texts that were trained on.

    Args:
        trained: Id -> text.
        tested: Id -> text.
        name: What was trained on them.
        what: What they are, in the plural.
    """
    pairs = same_texts({"trained": trained, "tested": tested})
    leaked = list(dict.fromkeys(pair.second_id for pair in pairs))
    if not leaked:
        return None
    share = len(leaked) / len(tested)
    return Finding(
        check="leak between train and test",
        level="problem" if share >= LEAK_SHARE else "note",
        message=f"{len(leaked):,} of the {len(tested):,} {what} measured on ({share:.1%}) have the text of one that "
        f"{name} was trained on, which flatters the measures; divide the data anew with: distilrank prepare --resplit",
        count=len(leaked),
        examples=tuple(f"{item}: {tested[item][:80]!r}" for item in leaked[:EXAMPLES]),
    )
