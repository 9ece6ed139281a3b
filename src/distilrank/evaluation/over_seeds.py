"""Systems that were trained several times: intervals over seeds, and who is better than whom.

A mean over seeds has Student's 95% interval, which says how much another seed would change. Rankers are compared query
by query: each query's values are averaged over the seeds first, so that what is tested is the system and not one of its
runs. Classifiers are compared seed by seed, since what is measured of them (F1, correlations) has no value for one
example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from distilrank.evaluation.intervals import CONFIDENCE, Interval, mean_interval, ratio_interval
from distilrank.evaluation.significance import holm, paired_t_test, randomisation_test

BySeed = Mapping[str, NDArray[np.float64]]
"""Seed -> one value per query, shape (queries,), in the same order for every seed of every system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemMean:
    """One system on one measure.

    Attributes:
        interval: The mean with its 95% interval.
        over: What the interval is over: "queries", "examples" or "3 seeds".
        seeds: Seed -> mean; empty for a system that has no seeds.
        kept: The mean as a share of the teacher's. None: it is not compared with one.
    """

    interval: Interval
    over: str
    seeds: Mapping[str, float]
    kept: Interval | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the fields for JSON, the three numbers of the interval at its head."""
        return {
            **self.interval.as_dict(),
            "over": self.over,
            **({"seeds": dict(self.seeds)} if self.seeds else {}),
            **({} if self.kept is None else {"kept_of_teacher": self.kept.as_dict()}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedComparison:
    """One system against another on one measure.

    Attributes:
        difference: Mean of system minus baseline with its 95% interval.
        p_value: Two-sided.
        p_holm: The same after Holm's correction over the comparisons made together.
    """

    system: str
    baseline: str
    difference: Interval
    p_value: float
    p_holm: float

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name, for JSON."""
        return asdict(self)


def student_interval(values: Sequence[float]) -> Interval:
    """Return the mean of one value per seed with Student's 95% interval; of a single value, a point.

    Args:
        values: At least one.
    """
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return Interval(mean, mean, mean)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1) * np.std(values, ddof=1) / count**0.5)
    return Interval(mean, mean - half, mean + half)


def ranker_mean(seeds: BySeed, *, teacher: BySeed | None = None) -> SystemMean:
    """Return a ranker's mean: over its seeds, or over queries where it has one run only.

    Args:
        seeds: Its values; a system without seeds has one entry.
        teacher: The teacher's, for the share kept, on the same queries.
    """
    means = {seed: float(values.mean()) for seed, values in seeds.items()}
    several = len(means) > 1
    own = over_queries(seeds)
    kept = None if teacher is None else ratio_interval(own, over_queries(teacher))
    return SystemMean(
        interval=student_interval(list(means.values())) if several else mean_interval(own),
        over=f"{len(means)} seeds" if several else "queries",
        seeds=means if several else {},
        kept=kept,
    )


def classifier_mean(seeds: Mapping[str, Interval], *, teacher: Interval | None = None) -> SystemMean:
    """Return a classifier's mean over its seeds, or its own interval over examples where there is one run only.

    Args:
        seeds: Seed -> value with its interval over examples.
        teacher: The teacher's, for the share kept, whose interval is that over seeds divided by the teacher's mean.
    """
    means = {seed: interval.mean for seed, interval in seeds.items()}
    several = len(means) > 1
    interval = student_interval(list(means.values())) if several else next(iter(seeds.values()))
    kept = None
    if teacher is not None and teacher.mean > 0:
        kept = Interval(*(value / teacher.mean for value in (interval.mean, interval.low, interval.high)))
    over = f"{len(means)} seeds" if several else "examples"
    return SystemMean(interval=interval, over=over, seeds=means if several else {}, kept=kept)


def over_queries(seeds: BySeed) -> NDArray[np.float64]:
    """Return each query's mean over the seeds, shape (queries,)."""
    return np.asarray(np.mean(list(seeds.values()), axis=0), dtype=np.float64)


def compare_by_query(systems: Mapping[str, BySeed], pairs: Sequence[tuple[str, str]]) -> list[SeedComparison]:
    """Compare rankers on the same queries: bootstrap interval and paired randomisation test over queries.

    Args:
        systems: Name -> its values.
        pairs: (system, baseline) each; p values are corrected over them all.
    """
    found = []
    for system, baseline in pairs:
        ours, theirs = over_queries(systems[system]), over_queries(systems[baseline])
        found.append(_comparison(system, baseline, mean_interval(ours - theirs), randomisation_test(ours, theirs)))
    return _corrected(found)


def compare_by_seed(
    systems: Mapping[str, Mapping[str, float]], pairs: Sequence[tuple[str, str]]
) -> list[SeedComparison]:
    """Compare classifiers on the seeds that both have: Student's interval and paired t-test over seeds.

    Pairs with fewer than two common seeds are left out, since one difference shows nothing.

    Args:
        systems: Name -> seed -> value.
        pairs: (system, baseline) each; p values are corrected over those that remain.
    """
    found = []
    for system, baseline in pairs:
        common = sorted(systems[system].keys() & systems[baseline].keys())
        if len(common) < 2:
            continue
        ours, theirs = (np.array([systems[name][seed] for seed in common]) for name in (system, baseline))
        interval = student_interval((ours - theirs).tolist())
        found.append(_comparison(system, baseline, interval, paired_t_test(ours, theirs)))
    return _corrected(found)


def _comparison(system: str, baseline: str, difference: Interval, p_value: float) -> SeedComparison:
    return SeedComparison(system=system, baseline=baseline, difference=difference, p_value=p_value, p_holm=p_value)


def _corrected(found: Sequence[SeedComparison]) -> list[SeedComparison]:
    corrected = holm([each.p_value for each in found])
    return [replace(each, p_holm=p_value) for each, p_value in zip(found, corrected, strict=True)]
