"""Systems measured in turns, query by query, so that a machine that drifts or is busy hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from distilrank.benchmark.process import Answer


@dataclass(kw_only=True)
class Timed:
    """What was measured of one system.

    Attributes:
        ms: Of every query of every round, in the order they were asked.
        cpu_ms: Likewise, of the processor.
        last: query_id -> its last answer.
    """

    ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    last: dict[str, Answer] = field(default_factory=dict)

    @property
    def computed_tokens(self) -> int:
        """Tokens of all queries once, padding included."""
        return sum(answer.computed_tokens for answer in self.last.values())


def take_turns(
    systems: Mapping[str, Callable[[str], Answer]],
    query_ids: Sequence[str],
    *,
    rounds: int,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Timed]:
    """Ask every system every query, ``rounds`` times; who begins changes from query to query.

    Args:
        systems: Name -> what answers a query. The first query is asked once more at the beginning, to warm up.
        query_ids: What is asked, at least one.
        rounds: How many times.
        advance: Told of every answer.
    """
    found = {name: Timed() for name in systems}
    for ask in systems.values():
        ask(query_ids[0])
    names = list(systems)
    for turn in range(rounds):
        for number, query_id in enumerate(query_ids):
            first = (turn + number) % len(names)
            for name in names[first:] + names[:first]:
                answer = systems[name](query_id)
                found[name].ms.append(answer.ms)
                found[name].cpu_ms.append(answer.cpu_ms)
                found[name].last[query_id] = answer
                advance(1)
    return found
