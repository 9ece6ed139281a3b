"""Scoring the shards that are missing, with whatever crew there is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from distilrank.data.pairs import Pairs, Part
from distilrank.data.teacher_scores import ScoresInTheMaking, Shard
from distilrank.errors import ModelError
from distilrank.teaching.crew import Crew, Died, Place

MOST_DEATHS = 3
"""Workers that a shard may cost before it is taken for the killer."""

Report = Callable[..., None]
"""Called with an event ("begin", "end", "lost") and, by name, shard, host, pid and what else there is to say."""


@dataclass(frozen=True, slots=True)
class _InHand:
    """A shard that a worker has."""

    shard: int
    part: Part
    place: Place
    began: float
    deaths: int

    @property
    def facts(self) -> dict[str, object]:
        """What the journal calls it by."""
        return {"shard": self.shard, "host": self.place.host, "pid": self.place.pid}


def score_missing(pairs: Pairs, making: ScoresInTheMaking, crew: Crew, *, report: Report) -> int:
    """Score every shard that is not there, and return how many pairs that was.

    In memory are what the workers have in hand and one shard more. A worker that dies is replaced and its shard given
    again.

    Args:
        pairs: As many as ``making`` was told.
        making: Claimed.
        crew: Entered.
        report: Told what happens.

    Raises:
        ModelError: A score is not finite, a worker refused, or one shard killed several workers.
    """
    parts = ((shard, pairs.part(*making.bounds(shard))) for shard in making.missing())
    following = next(parts, None)
    in_hand: dict[int, _InHand] = {}

    def give_next(worker: int) -> None:
        nonlocal following
        if following is not None:
            in_hand[worker] = _give(crew, worker, *following, report)
            following = next(parts, None)  # read while the workers are busy, so that none waits for it

    for worker in range(crew.size):
        give_next(worker)
    done = 0
    while in_hand:
        worker, outcome = crew.next()
        had = in_hand.pop(worker)
        if isinstance(outcome, Died):
            in_hand[worker] = _give_again(crew, worker, had, outcome.reason, report)
            continue
        making.write(had.shard, Shard(query_ids=had.part.query_ids, doc_ids=had.part.doc_ids, scores=outcome))
        report("end", **had.facts, pairs=len(outcome), seconds=round(time.monotonic() - had.began, 3))
        done += len(outcome)
        give_next(worker)
    return done


def _give(crew: Crew, worker: int, shard: int, part: Part, report: Report, *, deaths: int = 0) -> _InHand:
    had = _InHand(shard, part, crew.give(worker, part.pairs), time.monotonic(), deaths)
    report("begin", **had.facts, pairs=len(part.pairs))
    return had


def _give_again(crew: Crew, worker: int, had: _InHand, reason: str, report: Report) -> _InHand:
    """Give a dead worker's shard to its successor.

    Raises:
        ModelError: It has cost too many.
    """
    report("lost", **had.facts, reason=reason)
    deaths = had.deaths + 1
    if deaths == MOST_DEATHS:
        raise ModelError(
            f"shard {had.shard} has ended {deaths} workers ({reason}); give them more memory, or fewer tokens at once "
            "with --batch-tokens"
        )
    return _give(crew, worker, had.shard, had.part, report, deaths=deaths)
