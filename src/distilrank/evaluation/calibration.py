"""From judged scores to a calibration, and how far it can be believed on queries that it was not fitted to.

Every number that is reported is cross-fitted: queries are dealt into five folds, and each fold's pairs get their
probabilities from a fit to the other four. So no query judges itself. The calibration that is kept is fitted to all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from distilrank.errors import InputError, ModelError
from distilrank.evaluation.intervals import Interval, ratio_interval
from distilrank.evaluation.platt import fit_platt
from distilrank.records import Qrels, Run
from distilrank.runtime.calibration import Calibration, Isotonic, Temperature

Method = Literal["temperature", "isotonic"]
Unjudged = Literal["left-out", "not-relevant"]

FOLDS = 5
BINS = 10
LEAST_QUERIES = 10
"""With a relevant passage: two in a fold."""

LEAST_PAIRS: Mapping[Method, int] = {"temperature": 20, "isotonic": 200}
"""Of relevant ones, and of others: two numbers are fitted to few, a curve needs more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPairs:
    """Scored candidates whose relevance is known, all arrays (pairs,).

    Attributes:
        logits: By the ranker.
        relevant: Whether the judgement says so.
        query: Number of the query, from 0.
    """

    logits: NDArray[np.float64]
    relevant: NDArray[np.bool_]
    query: NDArray[np.intp]

    def only(self, chosen: NDArray[np.bool_]) -> JudgedPairs:
        """Return some of them."""
        return JudgedPairs(logits=self.logits[chosen], relevant=self.relevant[chosen], query=self.query[chosen])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Pairs of similar probability.

    Attributes:
        predicted: Their mean probability.
        observed: Share of them that is relevant.
        pairs: How many there are.
    """

    predicted: float
    observed: float
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How near probabilities are to what was judged.

    Attributes:
        calibration_error: Mean distance of a bin's probability from its share of relevant pairs, bins weighing as
            many as they hold (expected calibration error; Guo et al. 2017, equation 5, but with bins of equally many
            pairs, since most probabilities of a ranker are small).
        brier: Mean squared distance of a probability from 0 or 1 (Brier 1950).
        bins: From the least probability up.
    """

    calibration_error: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Where to cut for a wanted precision.

    Attributes:
        wanted: The precision asked for.
        probability: Least probability that is kept.
        precision: Share of the kept pairs that is relevant, with its 95% interval over queries.
        recall: Share of the relevant pairs that is kept.
        pairs: How many are kept.
    """

    wanted: float
    probability: float
    precision: Interval
    recall: float
    pairs: int


def judged_pairs(run: Run, qrels: Qrels, *, rel: int = 1, unjudged: Unjudged = "left-out") -> JudgedPairs:
    """Join scores with judgements; queries without judgements are left out.

    Args:
        run: Logits.
        qrels: Judgements.
        rel: Grade from which a passage counts as relevant.
        unjudged: What becomes of candidates that nobody judged.
    """
    rows = [
        (score, qrels[query_id].get(doc_id, 0) >= rel, number)
        for number, query_id in enumerate(sorted(query_id for query_id in run if qrels.get(query_id)))
        for doc_id, score in run[query_id].items()
        if unjudged == "not-relevant" or doc_id in qrels[query_id]
    ]
    logits, relevant, query = zip(*rows, strict=True) if rows else ((), (), ())
    return JudgedPairs(
        logits=np.array(logits, np.float64), relevant=np.array(relevant, np.bool_), query=np.array(query, np.intp)
    )


def require_enough(pairs: JudgedPairs, method: Method) -> None:
    """Refuse what no calibration can be learned from, or shown on.

    Raises:
        InputError: There are too few judgements.
    """
    relevant, others = int(pairs.relevant.sum()), int((~pairs.relevant).sum())
    if relevant and not others:
        raise InputError(
            f"all {relevant:,} judged candidates are relevant; if what nobody judged is not, say so with --unjudged "
            "not-relevant, or raise --rel"
        )
    queries, least = len(np.unique(pairs.query[pairs.relevant])), LEAST_PAIRS[method]
    if queries < LEAST_QUERIES or min(relevant, others) < least:
        fewer = "; --method temperature needs fewer" if method == "isotonic" else ""
        raise InputError(
            f"{relevant:,} relevant and {others:,} other candidates, the relevant ones of {queries:,} queries, are too "
            f"few to calibrate on; give {least} of either at least, and {LEAST_QUERIES} queries with a relevant "
            f"one{fewer}"
        )


def fit(pairs: JudgedPairs, method: Method) -> Calibration:
    """Return the calibration that suits these pairs best.

    Raises:
        ModelError: The ranker does not put relevant passages higher than others.
    """
    if method == "temperature":
        a, b = fit_platt(pairs.logits, pairs.relevant)
        return Temperature(temperature=1.0 / a, shift=-b / a)
    logits, which = np.unique(pairs.logits, return_inverse=True)
    counts = np.bincount(which)
    shares = np.bincount(which, weights=pairs.relevant) / counts
    found = isotonic_regression(shares, weights=counts)
    if not found.x[-1] > found.x[0]:
        raise ModelError("the ranker gives relevant passages no higher scores than others, so it cannot be calibrated")
    # A level needs its two ends only. And no number of judgements makes anything certain.
    ends = np.unique(np.concatenate([found.blocks[:-1], found.blocks[1:] - 1]))
    surest = 1.0 / (len(pairs.logits) + 2)
    values = found.x[ends].clip(surest, 1.0 - surest)
    return Isotonic(logits=tuple(logits[ends].tolist()), values=tuple(values.tolist()))


def cross_fit(pairs: JudgedPairs, method: Method) -> NDArray[np.float64]:
    """Return the probability of each pair by a fit to other queries.

    Raises:
        ModelError: As ``fit``.
    """
    found = np.empty(len(pairs.logits))
    fold = _folds(pairs)[pairs.query]
    for number in range(FOLDS):
        own = fold == number
        found[own] = fit(pairs.only(~own), method).probabilities(pairs.logits[own])
    return found


def _folds(pairs: JudgedPairs) -> NDArray[np.intp]:
    """Return the fold of each query; those with many relevant passages are dealt first, so that every fold has some."""
    order = np.argsort(-np.bincount(pairs.query, weights=pairs.relevant), kind="stable")
    folds = np.empty(len(order), np.intp)
    folds[order] = np.arange(len(order)) % FOLDS
    return folds


def reliability(probabilities: NDArray[np.float64], relevant: NDArray[np.bool_]) -> Reliability:
    """Compare probabilities with what was judged, both (pairs,)."""
    inner = np.quantile(probabilities, np.arange(1, BINS) / BINS)
    place = np.searchsorted(inner, probabilities)  # equal ones share a bin
    bins = [
        Bin(
            predicted=float(probabilities[place == number].mean()),
            observed=float(relevant[place == number].mean()),
            pairs=int((place == number).sum()),
        )
        for number in np.unique(place)
    ]
    distance = sum(each.pairs * abs(each.predicted - each.observed) for each in bins)
    return Reliability(
        calibration_error=distance / len(relevant),
        brier=float(np.square(probabilities - relevant).mean()),
        bins=tuple(bins),
    )


def threshold_for(probabilities: NDArray[np.float64], pairs: JudgedPairs, *, precision: float) -> Threshold | None:
    """Return the least probability at which what is kept has the wanted precision; None where there is none."""
    order = np.argsort(-probabilities, kind="stable")
    kept = np.arange(1, len(order) + 1)
    precisions = np.cumsum(pairs.relevant[order]) / kept
    is_last_of_equals = np.append(np.diff(probabilities[order]) != 0, True)
    enough = np.flatnonzero((precisions >= precision) & is_last_of_equals)
    if not enough.size:
        return None
    least = float(probabilities[order[enough[-1]]])
    above = probabilities >= least
    queries = int(pairs.query.max()) + 1
    interval = ratio_interval(
        np.bincount(pairs.query, weights=above & pairs.relevant, minlength=queries).astype(np.float64),
        np.bincount(pairs.query, weights=above, minlength=queries).astype(np.float64),
    )
    if interval is None:
        raise ValueError("a threshold that keeps nothing")
    return Threshold(
        wanted=precision,
        probability=least,
        precision=interval,
        recall=float(pairs.relevant[above].sum() / pairs.relevant.sum()),
        pairs=int(above.sum()),
    )
