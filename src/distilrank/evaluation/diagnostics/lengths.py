"""How long the texts are against the token limit: what a ranker never gets to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilrank.data.tokens import PairTokenizer
from distilrank.evaluation.diagnostics.findings import Finding, Level

TOKENS_PER_WORD = 1.35
"""WordPiece tokens per word of English running text, for when no tokeniser is at hand (measured on Wikipedia)."""

_NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of texts or pairs in tokens, special tokens included.

    Attributes:
        sample: Texts or pairs that were measured.
        unit: "tokens", or what approximates them.
        mean: Mean length.
        median: Middle length.
        p95: 95% are at most this long.
        longest: Longest of the sample.
        limit: The token limit.
        truncated_share: Share longer than the limit, 0 to 1.
        lost_share: Share of all tokens that lie beyond the limit, 0 to 1.
    """

    sample: int
    unit: str
    mean: float
    median: float
    p95: float
    longest: int
    limit: int
    truncated_share: float
    lost_share: float


def measure_lengths(
    texts: Sequence[str], text_pairs: Sequence[str] | None = None, *, tokenizer: PairTokenizer | None, limit: int
) -> Lengths:
    """Measure texts, or pairs of texts, in tokens.

    Args:
        texts: First texts; at least one.
        text_pairs: Second texts, as many; None when there are none.
        tokenizer: Its own limit is ignored; None approximates by ``TOKENS_PER_WORD``.
        limit: The token limit that training will use.
    """
    if not texts:
        raise ValueError("no texts to measure")
    if tokenizer is None:
        lengths = _approximate(texts, text_pairs)
        unit = f"tokens, approximated as {TOKENS_PER_WORD} x words"
    else:
        encoded = tokenizer.with_max_tokens(_NO_LIMIT).encode(texts, text_pairs)
        lengths = np.array([len(item) for item in encoded])
        unit = "tokens"
    return Lengths(
        sample=len(lengths),
        unit=unit,
        mean=round(float(lengths.mean()), 1),
        median=round(float(np.median(lengths)), 1),
        p95=round(float(np.percentile(lengths, 95)), 1),
        longest=int(lengths.max()),
        limit=limit,
        truncated_share=float((lengths > limit).mean()),
        lost_share=float(np.maximum(lengths - limit, 0).sum() / max(1, lengths.sum())),
    )


def length_finding(lengths: Lengths, *, what: str, advice: str) -> Finding:
    """Put lengths into a sentence; a note from 1% truncated on, a problem from 20% on.

    Args:
        lengths: The measured lengths.
        what: What was measured, in the plural, as in "query-passage pairs".
        advice: What to do about it, as in "raise --max-tokens".
    """
    share = lengths.truncated_share
    remedy = "" if share < 0.01 else f"; {advice}"
    message = (
        f"{what}: mean {lengths.mean:.0f}, 95% up to {lengths.p95:.0f}, longest {lengths.longest} {lengths.unit}; "
        f"{share:.1%} are longer than {lengths.limit} and lose {lengths.lost_share:.1%} of all tokens{remedy}"
    )
    level: Level = "ok" if share < 0.01 else "note" if share < 0.2 else "problem"
    return Finding(check="lengths", level=level, message=message, count=round(share * lengths.sample))


def _approximate(texts: Sequence[str], text_pairs: Sequence[str] | None) -> NDArray[np.int64]:
    """Return lengths from word counts, with three special tokens for a pair and two for a text."""
    words = np.array([len(text.split()) for text in texts])
    special = 2
    if text_pairs is not None:
        words = words + np.array([len(text.split()) for text in text_pairs])
        special = 3
    return np.ceil(words * TOKENS_PER_WORD).astype(np.int64) + special
