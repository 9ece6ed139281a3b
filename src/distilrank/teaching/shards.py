"""Scoring the shards that are missing, with whatever crew there is."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distilrank.data.pairs import Pairs, Part
from distilrank.data.teacher_scores import ScoresInTheMaking, Shard
from distilrank.errors import ModelError
from distilrank.teaching.crew import Crew, Died, Place

MOST_DEATHS = 3
"""Workers that a shard may cost before it is taken for the killer."""

Report = Callable[..., None]
"""Called with an event ("begin", "end", "lost") and, by name, shard, host, pid and what else there is to say."""


@dataclass(slots=True)
class _InHand:
    """A shard that a worker has."""

    shard: int
    part: Part
    place: Place
    began: float
    deaths: int = 0


def score_missing(pairs: Pairs, making: ScoresInTheMaking, crew: Crew, *, report: Report) -> int:
    """Score every shard that is not there, and return how many pairs that was.

    Only what the workers have in hand is in memory. A worker that dies is replaced and its shard given again.

    Args:
        pairs: As many as ``making`` was told.
        making: Claimed.
        crew: Entered.
        report: Told what happens.

    Raises:
        ModelError: A score is not finite, a worker refused, or one shard killed several workers.
    """
    waiting = deque(making.missing())
    in_hand: dict[int, _InHand] = {}
    done = 0

    def give(worker: int, shard: int, part: Part, deaths: int) -> None:
        began = time.monotonic()
        place = crew.give(worker, part.pairs)
        in_hand[worker] = _InHand(shard, part, place, began, deaths)
        report("begin", shard=shard, host=place.host, pid=place.pid, pairs=len(part.pairs))

    def take_next(worker: int) -> None:
        if waiting:
            shard = waiting.popleft()
            give(worker, shard, pairs.part(*making.bounds(shard)), 0)

    for worker in range(crew.size):
        take_next(worker)
    while in_hand:
        worker, outcome = crew.next()
        had = in_hand.pop(worker)
        if isinstance(outcome, Died):
            report("lost", shard=had.shard, host=had.place.host, pid=had.place.pid, reason=outcome.reason)
            if had.deaths + 1 == MOST_DEATHS:
                raise ModelError(
                    f"shard {had.shard} has ended {MOST_DEATHS} workers ({outcome.reason}); give them more memory, or "
                    "fewer tokens at once with --batch-tokens"
                )
            give(worker, had.shard, had.part, had.deaths + 1)
            continue
        _write(making, had, outcome)
        done += len(outcome)
        report(
            "end",
            shard=had.shard,
            host=had.place.host,
            pid=had.place.pid,
            pairs=len(outcome),
            seconds=round(time.monotonic() - had.began, 3),
        )
        take_next(worker)
    return done


def _write(making: ScoresInTheMaking, had: _InHand, scores: NDArray[np.float32]) -> None:
    making.write(had.shard, Shard(query_ids=had.part.query_ids, doc_ids=had.part.doc_ids, scores=scores))
