"""Whether one system is better than another on the same queries, or only looks it.

Two paired tests, because their assumptions differ: Student's t, and the randomisation test, which assumes only that
under the null hypothesis a query's two values could as well be swapped (Smucker, Allan and Carterette, CIKM 2007).
P values of one measure are corrected for the number of comparisons by Holm's step-down method (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from distilrank.evaluation.intervals import RESAMPLES, Interval, mean_interval
from distilrank.evaluation.measures import Measures

_SAME = 1e-9
"""Values of a measure nearer than this are equal: they differ by the order of a sum only."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One system against one other on one measure, paired by query.

    Attributes:
        difference: Mean of system minus baseline, with its 95% bootstrap interval.
        t_test: Two-sided p value of the paired t-test.
        randomisation: Two-sided p value of the paired randomisation test.
        t_test_holm: The same after Holm's correction over the comparisons of this measure.
        randomisation_holm: The same after Holm's correction over the comparisons of this measure.
        wins: Queries on which the system is better.
        ties: Queries on which both are equal.
        losses: Queries on which the baseline is better.
    """

    measure: str
    system: str
    baseline: str
    difference: Interval
    t_test: float
    randomisation: float
    t_test_holm: float
    randomisation_holm: float
    wins: int
    ties: int
    losses: int

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name, for JSON."""
        return asdict(self)


def compare(
    system: str, baselines: Sequence[str], measured: Mapping[str, Measures], name: str, *, seed: int = 0
) -> list[Comparison]:
    """Compare one system with each baseline on one measure.

    Args:
        system: The system under test.
        baselines: What it is compared with, each once.
        measured: The measures of all of them, over the same judged queries.
        name: The measure.
        seed: Of the bootstrap and of the randomisation test.
    """
    ours = measured[system].values(name)
    theirs = [_paired_values(measured, system, baseline, name) for baseline in baselines]
    t_tests = [paired_t_test(ours, values) for values in theirs]
    randomisations = [randomisation_test(ours, values, seed=seed) for values in theirs]
    rows = zip(baselines, theirs, t_tests, holm(t_tests), randomisations, holm(randomisations), strict=True)
    comparisons = []
    for baseline, values, t_test, t_test_holm, randomisation, randomisation_holm in rows:
        wins, ties, losses = win_tie_loss(ours, values)
        comparisons.append(
            Comparison(
                measure=name,
                system=system,
                baseline=baseline,
                difference=mean_interval(ours - values, seed=seed),
                t_test=t_test,
                randomisation=randomisation,
                t_test_holm=t_test_holm,
                randomisation_holm=randomisation_holm,
                wins=wins,
                ties=ties,
                losses=losses,
            )
        )
    return comparisons


def _paired_values(measured: Mapping[str, Measures], system: str, baseline: str, name: str) -> NDArray[np.float64]:
    if measured[system].query_ids != measured[baseline].query_ids:
        raise ValueError(f"{system} and {baseline} were measured on different queries")
    return measured[baseline].values(name)


def paired_t_test(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Return the two-sided p value of the paired t-test over queries.

    It is 1.0 when nothing differs, and when there are fewer than two queries, which can show nothing.
    """
    differences = ours - theirs
    if len(differences) < 2 or np.all(np.abs(differences) < _SAME):
        return 1.0
    if np.ptp(differences) < _SAME:
        return 0.0
    return float(stats.ttest_rel(ours, theirs).pvalue)


def randomisation_test(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], *, seed: int = 0, resamples: int = RESAMPLES
) -> float:
    """Return the two-sided p value of the paired randomisation test of the mean difference.

    Every resample swaps the two values of each query with probability one half. All 2^queries assignments are
    enumerated, and the p value is exact, when there are no more of them than ``resamples``; otherwise the observed
    assignment is counted among the drawn ones, so that the smallest possible p value is 1 / (resamples + 1).

    Args:
        ours: One value per query, shape (queries,).
        theirs: The other system's, in the same order.
        seed: Of the draws.
        resamples: How many draws.
    """
    differences = ours - theirs
    differing = differences[np.abs(differences) >= _SAME]
    if not differing.size:
        return 1.0
    # Swaps that restore the observed sum in another order of additions must count as equal to it.
    observed = abs(float(differing.sum())) - _SAME * float(np.abs(differing).sum())
    if 2**differing.size <= resamples:
        signs = 1 - 2 * (np.arange(2**differing.size)[:, None] >> np.arange(differing.size) & 1)
        return float(np.mean(np.abs(signs @ differing) >= observed))
    rng = np.random.default_rng(seed)
    as_extreme = 1
    for start in range(0, resamples, 500):
        drawn = rng.integers(0, 2, size=(min(500, resamples - start), differing.size), dtype=np.int8)
        as_extreme += int(np.sum(np.abs((1.0 - 2.0 * drawn) @ differing) >= observed))
    return as_extreme / (resamples + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected by Holm's step-down method, in the order given.

    The smallest of m is multiplied by m, the next by m - 1 and so on; none may fall below the one before it, and none
    exceeds 1.
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda position: p_values[position])):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        corrected[index] = highest
    return corrected


def win_tie_loss(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return on how many queries our value is higher, equal and lower."""
    differences = ours - theirs
    wins = int(np.sum(differences >= _SAME))
    losses = int(np.sum(differences <= -_SAME))
    return wins, len(differences) - wins - losses, losses
