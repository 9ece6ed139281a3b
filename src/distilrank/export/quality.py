"""Whether a quantised file may stand in for the float one: the rankings of both on judged queries, side by side.

What is refused: more of the measure lost than the margin allows; scores that raise an alarm which the float file's do
not (one score for all passages, the order of the input, ties); and a score that depends on what else is in the batch.

On few queries the loss is mostly chance: its interval is wider than the margin. Then a verdict says so, and how many
queries would do. And of several files the first with a lucky draw would pass, so one that comes after files that lost
too much must also agree more with the float file's order than they do. Kendall's tau sees every pair of passages, and
is far less a matter of chance than nDCG@10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from distilrank.errors import ModelError
from distilrank.evaluation.diagnostics.alarms import score_alarms
from distilrank.evaluation.diagnostics.findings import Finding
from distilrank.evaluation.fidelity import kendall_tau
from distilrank.evaluation.intervals import Interval, ratio_interval
from distilrank.evaluation.measures import Measures
from distilrank.records import Run
from distilrank.scorer import Scorer

MEASURE = "nDCG@10"
MARGIN = 0.01
"""Share of the float file's nDCG@10 that may be lost."""

FLOAT_BATCH_MATES = 1e-5
"""Largest change of a float score by what else is in the batch, as a share of the largest score, or of 1."""

INT8_BATCH_MATES = 0.1
"""The same for 8 bits, in standard deviations of a query's scores. Static scales give 0; with dynamic ones the order of
passages can depend on how they are batched."""

REFUSED_OUTRIGHT = ("constant scores", "input order")
"""Alarms by which the float file itself is refused: there is no ranking to keep."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What a scorer did on judged queries.

    Attributes:
        run: Its scores; the passages of a query in the order in which the first stage had them.
        measures: ``MEASURE`` at least.
    """

    run: Run
    measures: Measures


Evaluate = Callable[[Scorer], Scored]
"""Handed in from above: re-ranks the user's dev queries with a scorer."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A quantised file beside the float one.

    Attributes:
        queries: Judged ones.
        fp32: ``MEASURE`` of the float file, with its 95% interval.
        quantised: The same of the quantised file.
        lost: Share of the measure that is lost, with its interval; negative where something was won.
        kendall_tau: Mean over queries of the agreement with the float file's order.
        largest_difference: Of a score from the float file's.
        batch_mates: Largest change of a score by what else is in the batch, in standard deviations of a query's
            scores by the float file.
        loses_too_much: Whether the loss is beyond the margin.
        queries_needed: About how many queries would tell on which side of the margin the loss is; None where these do.
        problems: Why it is refused, a clause each; none where it passed.
    """

    queries: int
    fp32: Interval
    quantised: Interval
    lost: Interval
    kendall_tau: float
    largest_difference: float
    batch_mates: float
    loses_too_much: bool = False
    queries_needed: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against the file."""
        return not self.problems

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name, for JSON."""
        return {**asdict(self), "problems": list(self.problems), "passed": self.passed}

    def sentence(self) -> str:
        """Return the numbers in one sentence without its full stop."""
        return (
            f"{MEASURE} {self.quantised.mean:.4f} beside {self.fp32.mean:.4f} in fp32 on {self.queries:,} queries "
            f"({_gain(self.lost.mean)}, 95% interval {_gain(self.lost.high)} to {_gain(self.lost.low)}), Kendall's tau "
            f"{self.kendall_tau:.3f}, largest difference of a score {self.largest_difference:.2g}"
        )

    def doubt(self) -> str:
        """Return a clause on how little these queries can tell; empty where they tell enough."""
        if self.queries_needed is None:
            return ""
        return (
            f"{self.queries:,} queries are too few to tell on which side of the margin it is, about "
            f"{self.queries_needed:,} would do"
        )


def judge(
    quantised: Scored,
    fp32: Scored,
    *,
    batch_change: float,
    margin: float = MARGIN,
    most_swapped: float = 1.0,
    least_tau: float = -1.0,
) -> Verdict:
    """Compare the two.

    Args:
        quantised: What the quantised file did.
        fp32: What the float file did on the same queries.
        batch_change: Largest change of a score of the quantised file by what else is in the batch.
        margin: Share of the measure that may be lost.
        most_swapped: Share of the pairs of a query's passages that may stand in another order.
        least_tau: Largest Kendall's tau of the files that lost too much before; one below it is no better than they.

    Raises:
        ModelError: The float file's measure is zero, so that there is nothing to keep.
    """
    ours, theirs = quantised.measures, fp32.measures
    kept = ratio_interval(ours.values(MEASURE), theirs.values(MEASURE))
    if kept is None:
        raise ModelError(f"the model's {MEASURE} is 0 on these queries, so no loss can be measured; give other --data")
    lost = Interval(1.0 - kept.mean, 1.0 - kept.high, 1.0 - kept.low)
    batch_mates = batch_change / spread(fp32.run)
    taus = kendall_tau(quantised.run, fp32.run)
    tau = float(np.mean(list(taus.values()))) if taus else 1.0
    problems = []
    loses_too_much = not lost.mean <= margin
    if loses_too_much:
        problems.append(f"it loses {lost.mean:.1%} of {MEASURE}, more than the {margin:.1%} allowed")
    elif not tau >= least_tau:
        problems.append(
            f"it loses less than a file that agrees more with fp32 (Kendall's tau {least_tau:.3f}), which is chance"
        )
    elif not (1.0 - tau) / 2.0 <= most_swapped:
        problems.append(
            f"it puts {(1.0 - tau) / 2.0:.2%} of the pairs of passages in another order, more than the "
            f"{most_swapped:.2%} allowed"
        )
    known = {finding.check for finding in _alarms(fp32.run, "the float file")}
    problems += [each.message for each in _alarms(quantised.run, "it") if each.check not in known]
    if not batch_mates <= INT8_BATCH_MATES:
        problems.append(
            f"a pair's score changes by up to {batch_mates:.2f} standard deviations of its query's scores with what "
            f"else is in the batch, more than the {INT8_BATCH_MATES:g} allowed"
        )
    queries = len(theirs.query_ids)
    return Verdict(
        queries=queries,
        fp32=theirs.interval(MEASURE),
        quantised=ours.interval(MEASURE),
        lost=lost,
        kendall_tau=tau,
        largest_difference=largest_difference(quantised.run, fp32.run),
        batch_mates=batch_mates,
        loses_too_much=loses_too_much,
        queries_needed=queries_needed(lost, queries, margin),
        problems=tuple(problems),
    )


def queries_needed(lost: Interval, queries: int, margin: float) -> int | None:
    """Return about how many queries would show a loss to within the margin; None where these tell enough.

    They do where the interval reaches no further than the margin to either side, or lies on one side of it. It becomes
    half as wide with four times the queries.
    """
    off = (lost.high - lost.low) / 2
    is_told = off <= margin or not lost.low <= margin < lost.high
    return None if is_told or not margin else math.ceil(queries * (off / margin) ** 2)


def require_ranking(fp32: Scored) -> None:
    """Refuse a float file that gives one score to all passages, or ranks them in the order of the input.

    Raises:
        ModelError: It does.
    """
    found = [finding for finding in _alarms(fp32.run, "the exported model") if finding.check in REFUSED_OUTRIGHT]
    if found:
        raise ModelError(found[0].message)


def batch_change(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> float:
    """Return the largest difference between a pair's score alone and among the others."""
    together = scorer.score(pairs)
    alone = np.concatenate([scorer.score([pair]) for pair in pairs])
    return float(np.abs(together - alone).max())


def require_invariance(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> float:
    """Return ``batch_change`` of the float file.

    Raises:
        ModelError: It is more than ``FLOAT_BATCH_MATES``.
    """
    change = batch_change(scorer, pairs)
    most = FLOAT_BATCH_MATES * max(1.0, float(np.abs(scorer.score(pairs)).max()))
    if not change <= most:
        raise ModelError(
            f"a pair's score by the exported model changes by {change:.2g} with what else is in the batch, more than "
            f"{most:.2g}; export with another version of onnxruntime"
        )
    return change


def spread(run: Run) -> float:
    """Return the standard deviation of a query's scores, the median over queries; never 0."""
    deviations = [np.std(list(scores.values())) for scores in run.values() if len(scores) > 1]
    return max(float(np.median(deviations)) if deviations else 0.0, float(np.finfo(np.float32).tiny))


def largest_difference(run: Run, other: Run) -> float:
    """Return the largest difference of a score between two runs of the same pairs."""
    return max(abs(score - other[query_id][doc_id]) for query_id in run for doc_id, score in run[query_id].items())


def _gain(lost: float) -> str:
    """Return a loss as a signed change; 0.0 first, so that no loss is not -0."""
    return f"{0.0 - lost:+.2%}"


def _alarms(run: Run, name: str) -> list[Finding]:
    scores = {query_id: list(found.values()) for query_id, found in run.items()}
    return [finding for finding in score_alarms(scores, name=name) if finding.level == "problem"]
