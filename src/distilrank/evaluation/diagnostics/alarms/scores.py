"""Alarms about the scores of a ranker, whoever is right: what a model that works never does.

Every rule takes query_id -> scores *in the order in which the passages were given*, which is that of the first stage
where one ranked them, and returns a finding or None. None of them needs judgements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from distilrank.evaluation.diagnostics.findings import Finding

Scores = Mapping[str, Sequence[float]]

MIN_PASSAGES = 5
"""Queries with fewer passages are not looked at: by chance two passages stay in order every second time, five once in
120 times."""
CONSTANT_SPREAD = 1e-6
"""Scores that differ by less than this share of the largest are equal but for rounding: float32 has 24 bits."""
CONSTANT_SHARE = 0.1
"""A model that reads passages gives no query one score for all, but where they are copies of one text."""
COLLAPSED_SHARE = 0.01
"""Spread within queries as a share of the spread of all scores. The rankers measured for docs/alarms.md have half of it
or more; one that reads the query alone has 0."""
COLLAPSED_SPREAD = 1e-3
"""Standard deviation of a query's scores. The least of the rankers measured for docs/alarms.md, trained on labels alone
for 150 steps, has 0.02; most have 0.1 to 2."""
TOP, DISTINCT_SHARE = 10, 0.5
"""Different scores among a query's best passages as a share of these. Even bf16, which has 8 bits, tells most of
them apart; where a sigmoid rounds to 1 or scores were printed with few digits, identifiers decide who is on top."""
ORDERED_SHARE = 0.5
"""Queries whose ranking is that of the input. A good ranker leaves a few as they are, never half of them."""
SATURATED_MARGIN = 1e-6
"""Distance from 0 or 1, which is a logit of 13.8; from there to 1 float32 has 17 numbers left."""
SATURATED_SHARE = 0.5
"""Half of the probabilities without a shade of doubt leave nothing to learn from but labels."""


def score_alarms(scores: Scores, *, name: str, ordered: bool = True) -> list[Finding]:
    """Return what is suspicious about a ranker's scores; nothing for one that works.

    Args:
        scores: query_id -> scores in the order in which the passages were given.
        name: What the ranker is called, the subject of each sentence.
        ordered: Whether that order is one that a ranker is there to change, as a first stage's.
    """
    scores = {query_id: values for query_id, values in scores.items() if len(values) >= MIN_PASSAGES}
    constant = constant_scores(scores, name=name)
    if constant is not None:  # all else follows from it
        return [constant]
    found = (
        collapsed_scores(scores, name=name),
        tied_scores(scores, name=name),
        input_order(scores, name=name) if ordered else None,
        saturated_probabilities(scores, name=name),
    )
    return [finding for finding in found if finding is not None]


def constant_scores(scores: Scores, *, name: str) -> Finding | None:
    """Find queries whose passages all have one score."""
    queries = _arrays(scores)
    constant = [query_id for query_id, values in queries.items() if _is_constant(values)]
    if len(constant) <= CONSTANT_SHARE * len(queries):
        return None
    return Finding(
        check="constant scores",
        level="problem",
        message=f"{name} gives all passages of a query one score for {len(constant):,} of {len(queries):,} queries, so "
        "their order is that of identifiers; look at its loss and at whether passages reach it",
        count=len(constant),
        examples=tuple(constant[:10]),
    )


def collapsed_scores(scores: Scores, *, name: str) -> Finding | None:
    """Find scores that differ from query to query but hardly within one, or hardly at all.

    Probabilities are left alone: those of queries without a relevant passage are all near 0.
    """
    queries = _arrays(scores)
    if not queries or _are_probabilities(queries):
        return None
    within = float(np.median([values.std() for values in queries.values()]))
    overall = float(np.concatenate(list(queries.values())).std())
    if within >= COLLAPSED_SPREAD and within >= COLLAPSED_SHARE * overall:
        return None
    return Finding(
        check="collapsed scores",
        level="problem",
        message=f"{name} hardly tells the passages of a query apart: their scores have a standard deviation of "
        f"{within:.2g} (median of {len(queries):,} queries), all scores together {overall:.2g}; lower the learning "
        "rate, or look at whether the objective compares passages of one query",
        count=len(queries),
    )


def tied_scores(scores: Scores, *, name: str) -> Finding | None:
    """Find scores so coarse that a query's best passages tie."""
    best = [np.sort(values)[::-1][:TOP] for values in _arrays(scores).values()]
    distinct = [len(np.unique(values)) for values in best]
    if (
        not best
        or np.mean([count / len(values) for count, values in zip(distinct, best, strict=True)]) >= DISTINCT_SHARE
    ):
        return None
    return Finding(
        check="tied scores",
        level="problem",
        message=f"the best {np.mean([len(values) for values in best]):.0f} passages of a query have "
        f"{np.mean(distinct):.1f} different scores by {name} (mean of {len(best):,} queries), and ties are broken by "
        "identifier; score in fp32, without rounding or a sigmoid",
        count=len(best),
    )


def input_order(scores: Scores, *, name: str) -> Finding | None:
    """Find rankings that are the order in which the passages were given, or that order upside down."""
    queries = {query_id: values for query_id, values in _arrays(scores).items() if not _is_constant(values)}
    falling = [query_id for query_id, values in queries.items() if bool(np.all(np.diff(values) <= 0))]
    rising = [query_id for query_id, values in queries.items() if bool(np.all(np.diff(values) >= 0))]
    same = max(falling, rising, key=len)
    if not queries or len(same) < ORDERED_SHARE * len(queries):
        return None
    how, advice = "the order", "look at whether these are its own scores and not the first stage's"
    if same is rising:
        how, advice = "the reverse of the order", "look at the sign of its scores and at which logit is taken"
    return Finding(
        check="input order",
        level="problem",
        message=f"{name} ranks {len(same):,} of {len(queries):,} queries in {how} in which the passages were given; "
        f"{advice}",
        count=len(same),
        examples=tuple(same[:10]),
    )


def saturated_probabilities(scores: Scores, *, name: str) -> Finding | None:
    """Find probabilities that are all but 0 or 1; scores outside [0, 1] are no probabilities."""
    queries = _arrays(scores)
    if not queries or not _are_probabilities(queries):
        return None
    every = np.concatenate(list(queries.values()))
    share = float(np.mean(np.minimum(every, 1.0 - every) <= SATURATED_MARGIN))
    if share < SATURATED_SHARE:
        return None
    return Finding(
        check="saturated probabilities",
        level="problem",
        message=f"{share:.1%} of the {len(every):,} probabilities of {name} lie within {SATURATED_MARGIN:g} of 0 or 1, "
        "so they say no more than labels do; take raw logits, or a higher temperature",
        count=round(share * len(every)),
    )


def _arrays(scores: Scores) -> dict[str, NDArray[np.float64]]:
    return {query_id: np.asarray(values, dtype=np.float64) for query_id, values in scores.items()}


def _is_constant(values: NDArray[np.float64]) -> bool:
    return bool(np.ptp(values) <= CONSTANT_SPREAD * np.abs(values).max())


def _are_probabilities(queries: Mapping[str, NDArray[np.float64]]) -> bool:
    return all(bool(values.min() >= 0.0 and values.max() <= 1.0) for values in queries.values())
