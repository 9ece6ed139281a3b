"""Several teachers' scores of the same passages as one: all on one scale, then a weighted mean; and their agreement.

Teachers speak on scales of their own: a cosine stays within [-1, 1] where a cross-encoder's logit runs from -10 to 10,
and a mean of raw scores is the louder teacher's alone. Per query, a scale also takes away that a teacher finds all
passages of one query better than those of another; over all scores together, it leaves that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import InputError, SettingsError
from distilrank.records import Group

Scale = Literal["z-score", "min-max", "rank", "none"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MixSettings:
    """How teachers are mixed.

    Attributes:
        scale: What is made of a teacher's scores first: mean 0 and standard deviation 1; 0 to 1 from the lowest to the
            highest; 0 to 1 by their order alone; or nothing.
        per: Whether that is done with each query's scores by themselves or with all of a teacher's.
        weights: Of the teachers, in their order, 0 or more; 0 leaves one out. Empty: equal ones.
    """

    scale: Scale = "z-score"
    per: Literal["query", "all"] = "query"
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no scale and weights that make no mean."""
        if self.scale not in SCALES:
            raise SettingsError(f"scale is {self.scale!r} but must be one of {', '.join(SCALES)}")
        if self.per not in ("query", "all"):
            raise SettingsError(f"per is {self.per!r} but must be query or all")
        if self.weights and not (all(0 <= weight < np.inf for weight in self.weights) and sum(self.weights) > 0):
            given = ", ".join(f"{weight:g}" for weight in self.weights)
            raise SettingsError(f"the weights are {given}; give one of 0 or more per teacher, and not only zeros")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A teacher's scores of groups, one after the other.

    Attributes:
        values: (passages of all groups,).
        starts: (groups + 1,) int64: where each group begins, and the end.
    """

    values: Floats
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, groups: Sequence[Group], *, name: str) -> Scores:
        """Take the scores out of groups.

        Raises:
            InputError: A group has none, or one that is not finite.
        """
        parts, starts = [], [0]
        for place, group in enumerate(groups):
            if group.scores is None:
                raise InputError(f"{_called(place, group)} of {name} has no scores; make them with: distilrank teach")
            parts.append(np.asarray(group.scores, np.float64))
            if not np.isfinite(parts[-1]).all():
                raise InputError(f"{_called(place, group)} of {name} has a score that is not finite; score it again")
            starts.append(starts[-1] + len(group.scores))
        if not parts:
            raise InputError(f"{name} holds no group")
        return cls(values=np.concatenate(parts), starts=np.array(starts))

    def each(self) -> Iterator[Floats]:
        """Yield the scores of every group."""
        for start, stop in pairwise(self.starts.tolist()):
            yield self.values[start:stop]

    def scaled(self, scale: Scale, *, per: Literal["query", "all"]) -> Scores:
        """Return the scores on another scale."""
        if per == "all":
            return replace(self, values=SCALES[scale](self.values))
        return replace(self, values=np.concatenate([SCALES[scale](own) for own in self.each()]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How alike two teachers order the passages of the same groups.

    Attributes:
        groups: In how many groups both order anything: at least two passages, not all with one score.
        kendall_tau: Mean of Kendall's tau-b over these, -1 (reversed) to 1 (the same order).
        same_best: Share of these in which a passage is the best for both.
    """

    groups: int
    kendall_tau: float
    same_best: float


def mix_scores(teachers: Sequence[Scores], settings: MixSettings) -> Scores:
    """Return the weighted mean of teachers' scores, each on the scale asked for.

    Args:
        teachers: Of the same groups; see ``require_same_groups``.
        settings: How.

    Raises:
        SettingsError: There are weights for another number of teachers.
    """
    weights = settings.weights or (1.0,) * len(teachers)
    if len(weights) != len(teachers):
        raise SettingsError(f"{len(weights)} weights for {len(teachers)} teachers; give one for each, or none")
    total = np.zeros(len(teachers[0].values))
    for teacher, weight in zip(teachers, weights, strict=True):
        if weight:
            total += weight * teacher.scaled(settings.scale, per=settings.per).values
    return replace(teachers[0], values=total / sum(weights))


def with_scores(groups: Sequence[Group], scores: Scores) -> Iterator[Group]:
    """Yield the groups with these scores in the place of their own."""
    for group, own in zip(groups, scores.each(), strict=True):
        yield replace(group, scores=tuple(own.tolist()))


def require_same_groups(teachers: Mapping[str, Sequence[Group]]) -> None:
    """Refuse teachers that scored other groups, or the same in another order.

    Args:
        teachers: Name -> scored groups.

    Raises:
        InputError: With the first difference.
    """
    (first, base), *others = teachers.items()
    for name, groups in others:
        if len(groups) != len(base):
            raise InputError(f"{first} has {len(base):,} groups and {name} {len(groups):,}; score the same groups")
        for place, (ours, theirs) in enumerate(zip(base, groups, strict=True)):
            if ours.query != theirs.query:
                problem = f"group {place + 1} has the query {ours.query!r} in {first} and {theirs.query!r} in {name}"
                raise InputError(f"{problem}; score the same groups, in the same order")
            if ours.passages != theirs.passages:
                problem = f"{_called(place, ours)} has other passages in {name} than in {first}, or in another order"
                raise InputError(f"{problem}; score the same groups")


def agreement(ours: Scores, theirs: Scores) -> Agreement:
    """Compare two teachers on the same groups."""
    taus, same = [], []
    for a, b in zip(ours.each(), theirs.each(), strict=True):
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
            taus.append(_kendall_tau(a, b))
            same.append(bool(((a == a.max()) & (b == b.max())).any()))
    if not taus:
        return Agreement(groups=0, kendall_tau=0.0, same_best=0.0)
    return Agreement(groups=len(taus), kendall_tau=float(np.mean(taus)), same_best=float(np.mean(same)))


def _kendall_tau(a: Floats, b: Floats) -> float:
    """Return tau-b (Kendall 1945): concordant minus discordant pairs, over those that each side does not tie."""
    ours, theirs = (np.sign(each[:, None] - each[None, :]) for each in (a, b))
    return float((ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum()))


def _called(place: int, group: Group) -> str:
    return f"the group of query {group.query_id!r}" if group.query_id else f"group {place + 1}"


def _standardised(values: Floats) -> Floats:
    # Not by the deviation: that of equal numbers is not always exactly 0.
    return np.zeros_like(values) if np.ptp(values) == 0 else (values - values.mean()) / values.std()


def _between_0_and_1(values: Floats) -> Floats:
    width = np.ptp(values)
    return np.full_like(values, 0.5) if width == 0 else (values - values.min()) / width


def _by_order(values: Floats) -> Floats:
    """Return the share of the other scores that lie below, ties shared equally: 0 for the lowest, 1 for the highest."""
    if len(values) == 1:
        return np.full(1, 0.5)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts + (counts - 1) / 2
    return np.asarray(below[place] / (len(values) - 1), np.float64)


SCALES: dict[str, Callable[[Floats], Floats]] = {
    "z-score": _standardised,
    "min-max": _between_0_and_1,
    "rank": _by_order,
    "none": lambda values: values,
}
"""A scale's name -> what it makes of scores; scores that are all the same become those of the middle."""
