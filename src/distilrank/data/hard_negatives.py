"""Which of a group's negatives to train on, and which of them are likely relevant, by a teacher's scores.

Nobody judged most candidates, so some negatives answer the query as well as the positive does. A teacher's score tells
them: NV-Retriever (Moreira et al. 2024, arXiv 2407.15831) removes a negative that scores above a limit set by the
positive's own score, the score less a margin (TopK-MarginPos) or a share of it (TopK-PercPos); a limit of its own
(TopK-Abs) is the older way. Where a group has several positives, the lowest sets the limit, so that no negative that is
kept contradicts any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from distilrank.errors import InputError, SettingsError
from distilrank.records import Group

By = Literal["first-stage", "teacher", "mixed"]


@dataclass(frozen=True, kw_only=True)
class NegativeSettings:
    """How negatives are chosen.

    Attributes:
        by: The first ones of the group, which ``prepare`` leaves in the first stage's order; those that the teacher
            scores highest; or half of them by the teacher and the others by the first stage.
        negatives: Most negatives of a group.
        margin: Remove negatives above the positive's score less this. None: do not.
        share: Remove negatives above this share of the positive's score, between 0 and 1. None: do not.
        highest: Remove negatives above this score. None: do not.
    """

    by: By = "teacher"
    negatives: int = 7
    margin: float | None = None
    share: float | None = None
    highest: float | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.by not in ("first-stage", "teacher", "mixed"):
            raise SettingsError(f"by is {self.by!r} but must be first-stage, teacher or mixed")
        if self.negatives < 1:
            raise SettingsError(f"negatives is {self.negatives}, give at least 1")
        if self.share is not None and not 0 < self.share <= 1:
            raise SettingsError(f"share is {self.share:g} but must lie above 0 and not above 1")
        if self.margin is not None and self.margin < 0:
            raise SettingsError(f"margin is {self.margin:g} but must not be negative")


@dataclass(slots=True)
class NegativeCounts:
    """What became of groups and negatives; counted while they are chosen.

    Attributes:
        groups: Groups kept.
        negatives: Negatives in these.
        removed: Negatives removed as likely relevant.
        touched: Groups that lost such negatives.
        without_negatives: Groups left out because all their negatives were removed, or they had none.
        without_positives: Groups left out because nothing in them is known to be relevant.
    """

    groups: int = 0
    negatives: int = 0
    removed: int = 0
    touched: int = 0
    without_negatives: int = 0
    without_positives: int = 0


def choose_negatives(groups: Iterable[Group], settings: NegativeSettings, counts: NegativeCounts) -> Iterator[Group]:
    """Yield the groups with the negatives chosen, in the order they had, and all their positives.

    Args:
        groups: With scores.
        settings: How.
        counts: Filled while groups are yielded.

    Raises:
        InputError: A group has no scores, or ``share`` is used on a positive's score that is not above 0.
    """
    for number, group in enumerate(groups, start=1):
        positives = [place for place, relevance in enumerate(group.relevance) if relevance > 0]
        if not positives:
            counts.without_positives += 1
            continue
        scores = group.scores
        if scores is None:
            raise InputError(f"{_called(number, group)} has no scores to choose by; make them with: distilrank teach")
        limit = _limit(min(scores[place] for place in positives), settings, _called(number, group))
        all_negatives = [place for place, relevance in enumerate(group.relevance) if relevance <= 0]
        likely_true = [place for place in all_negatives if scores[place] <= limit]
        counts.removed += len(all_negatives) - len(likely_true)
        counts.touched += len(likely_true) < len(all_negatives)
        if not likely_true:
            counts.without_negatives += 1
            continue
        chosen = _chosen(likely_true, scores, settings)
        counts.groups += 1
        counts.negatives += len(chosen)
        yield _part(group, [*positives, *chosen])


def _limit(positive: float, settings: NegativeSettings, called: str) -> float:
    """Return the score above which a negative is taken for relevant."""
    limits = [float("inf")]
    if settings.margin is not None:
        limits.append(positive - settings.margin)
    if settings.share is not None:
        if positive <= 0:
            raise InputError(
                f"the positive of {called} has the score {positive:g}, and a share of that means nothing; raw logits "
                "need --margin"
            )
        limits.append(settings.share * positive)
    if settings.highest is not None:
        limits.append(settings.highest)
    return min(limits)


def _chosen(places: Sequence[int], scores: Sequence[float], settings: NegativeSettings) -> list[int]:
    """Return the places of the negatives to keep, ascending."""
    hardest = sorted(places, key=lambda place: (-scores[place], place))
    by_teacher = {"first-stage": 0, "mixed": (settings.negatives + 1) // 2, "teacher": settings.negatives}[settings.by]
    chosen = hardest[:by_teacher]
    rest = [place for place in places if place not in chosen]
    return sorted(chosen + rest[: settings.negatives - by_teacher])


def _part(group: Group, places: Sequence[int]) -> Group:
    """Return a group of some of the passages."""
    return Group(
        query=group.query,
        passages=tuple(group.passages[place] for place in places),
        relevance=tuple(group.relevance[place] for place in places),
        scores=None if group.scores is None else tuple(group.scores[place] for place in places),
        query_id=group.query_id,
        doc_ids=tuple(group.doc_ids[place] for place in places) if group.doc_ids else (),
    )


def _called(number: int, group: Group) -> str:
    return f"the group of query {group.query_id!r}" if group.query_id else f"group {number}"
