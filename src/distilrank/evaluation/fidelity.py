"""How alike two rankings of the same candidates are, whoever is right: does the student rank as its teacher does?

Kendall's tau weighs every pair of passages equally; rank-biased overlap (Webber, Moffat and Zobel, TOIS 2010) weighs
the top, which is what a user sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from distilrank.data.trec import ranking
from distilrank.errors import InputError
from distilrank.evaluation.intervals import Interval, mean_interval
from distilrank.records import Run

PERSISTENCE = 0.9
"""The chance that a reader goes on to the next rank; at 0.9 the first ten ranks hold 86% of the weight."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Agreement of a run with another, by query and on average.

    Attributes:
        kendall_tau: query_id -> -1 (reversed) to 1 (the same order).
        rank_biased_overlap: query_id -> 0 (nothing shared) to 1 (the same order).
    """

    kendall_tau: dict[str, float]
    rank_biased_overlap: dict[str, float]

    def interval(self, values: dict[str, float], *, seed: int = 0) -> Interval:
        """Return the mean of either field with its 95% bootstrap interval over queries."""
        return mean_interval(np.fromiter(values.values(), dtype=np.float64), seed=seed)

    def as_dict(self) -> dict[str, object]:
        """Return means, intervals and values per query, for JSON."""
        both = {"kendall_tau": self.kendall_tau, "rank_biased_overlap": self.rank_biased_overlap}
        return {name: {**self.interval(values).as_dict(), "per_query": values} for name, values in both.items()}


def fidelity(student: Run, teacher: Run, *, persistence: float = PERSISTENCE) -> Fidelity:
    """Compare two runs on the queries for which both rank at least two passages in common.

    Raises:
        InputError: There is no such query.
    """
    taus = kendall_tau(student, teacher)
    if not taus:
        raise InputError("the two runs have no query with two passages in common, so their orders cannot be compared")
    overlaps = {
        query_id: rank_biased_overlap(ranking(student[query_id]), ranking(teacher[query_id]), persistence=persistence)
        for query_id in taus
    }
    return Fidelity(kendall_tau=taus, rank_biased_overlap=overlaps)


def kendall_tau(student: Run, teacher: Run) -> dict[str, float]:
    """Return Kendall's tau per query, over the passages that both runs rank.

    Queries with fewer than two such passages have no order to compare and are left out. Ties in the scores are broken
    first, as they are when the run is shown, so there are none here.
    """
    taus = {}
    for query_id in sorted(student.keys() & teacher.keys()):
        ours = [doc_id for doc_id in ranking(student[query_id]) if doc_id in teacher[query_id]]
        if len(ours) < 2:
            continue
        place = {doc_id: rank for rank, doc_id in enumerate(ranking(teacher[query_id]))}
        taus[query_id] = float(stats.kendalltau(range(len(ours)), [place[doc_id] for doc_id in ours]).statistic)
    return taus


def rank_biased_overlap(ours: Sequence[str], theirs: Sequence[str], *, persistence: float = PERSISTENCE) -> float:
    """Return the extrapolated rank-biased overlap of two rankings, 0 to 1.

    Equation 32 of Webber, Moffat and Zobel 2010, which allows rankings of different length: agreement is assumed to
    go on below the shorter one as it was there.

    Args:
        ours: Ids, best first, each once, at least one.
        theirs: The same for the other ranking.
        persistence: p of the paper, between 0 and 1.
    """
    if not ours or not theirs:
        raise ValueError("rank-biased overlap needs two rankings that are not empty")
    short, long = sorted((ours, theirs), key=len)
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    shared = shared_at_short = 0  # the paper's X_d and X_s
    total = 0.0
    for depth in range(1, len(long) + 1):
        seen_long.add(long[depth - 1])
        if depth <= len(short):
            seen_short.add(short[depth - 1])
            shared += short[depth - 1] in seen_long
            shared += long[depth - 1] in seen_short and long[depth - 1] != short[depth - 1]
            shared_at_short = shared
        else:
            shared += long[depth - 1] in seen_short
        beyond = max(0, depth - len(short))
        agreement = shared / depth + shared_at_short * beyond / (len(short) * depth)
        total += agreement * persistence**depth
    tail = (shared - shared_at_short) / len(long) + shared_at_short / len(short)
    return total * (1.0 - persistence) / persistence + tail * persistence ** len(long)
