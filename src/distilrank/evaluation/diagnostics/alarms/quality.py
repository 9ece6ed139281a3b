"""Alarm about a ranker that might as well not be there."""

from __future__ import annotations

from distilrank.evaluation.diagnostics.findings import Finding
from distilrank.evaluation.intervals import Interval

MIN_QUERIES = 20
"""On fewer queries a difference says next to nothing."""


def no_better_than_first_stage(
    difference: Interval, *, name: str, first_stage: str, measure: str, queries: int
) -> Finding | None:
    """Find a student or teacher whose re-ranking is worth no more than what it was given.

    It is a problem when the whole interval lies below 0, and a note when only the mean does not lie above.

    Args:
        difference: Mean over queries of the ranker's value minus the first stage's, with its interval.
        name: What the ranker is called.
        first_stage: What the first stage is called, such as BM25.
        measure: What was measured.
        queries: How many.
    """
    if queries < MIN_QUERIES or difference.mean > 0:
        return None
    sure = difference.high < 0
    return Finding(
        check="no better than the first stage",
        level="problem" if sure else "note",
        message=f"{name} is {'worse' if sure else 'no better'} than {first_stage}, whose candidates it re-ranks: "
        f"{measure} {difference.mean:+.4f} ({difference.low:+.4f} to {difference.high:+.4f}) on {queries:,} queries; "
        "train it on this data, or longer, before anything is distilled from it or served",
        count=queries,
    )
