"""Teacher scores for the passages of groups, with the first stage's scores mixed in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import InputError
from distilrank.records import Group, Run
from distilrank.scorer import Scorer

_GROUPS_AT_ONCE = 64


def score_groups(
    groups: Iterable[Group], scorer: Scorer, *, first_stage: Run | None = None, first_stage_weight: float = 0.0
) -> Iterator[Group]:
    """Yield the groups with ``scores``.

    Args:
        groups: With ``query_id`` and ``doc_ids`` when a first stage is mixed in.
        scorer: The teacher.
        first_stage: Run over the same queries.
        first_stage_weight: Weight w of the first stage, in units of standard deviations over a group:
            score + w * std(scores) * z(first stage). A passage the first stage did not return counts as its worst.

    Raises:
        InputError: A group's query is not in the run, or its passages have no identifiers.
    """
    part: list[Group] = []
    for group in groups:
        part.append(group)
        if len(part) == _GROUPS_AT_ONCE:
            yield from _scored(part, scorer, first_stage, first_stage_weight)
            part = []
    if part:
        yield from _scored(part, scorer, first_stage, first_stage_weight)


def _scored(groups: Sequence[Group], scorer: Scorer, first_stage: Run | None, weight: float) -> Iterator[Group]:
    scores = scorer.score([(group.query, passage) for group in groups for passage in group.passages])
    start = 0
    for group in groups:
        own = np.asarray(scores[start : start + len(group.passages)], np.float64)
        start += len(own)
        if first_stage is not None and weight:
            own = own + weight * own.std() * _standardised(group, first_stage)
        yield replace(group, scores=tuple(round(float(score), 5) for score in own))


def _standardised(group: Group, first_stage: Run) -> NDArray[np.float64]:
    found = first_stage.get(group.query_id)
    if not found:
        raise InputError(f"query {group.query_id!r} of the groups is not in the first-stage run")
    if not group.doc_ids:
        raise InputError(f"the group of query {group.query_id!r} has no pos_ids and neg_ids to look up in the run")
    worst = min(found.values())
    values = np.array([found.get(doc_id, worst) for doc_id in group.doc_ids])
    spread = values.std()
    return np.zeros_like(values) if spread == 0 else (values - values.mean()) / spread
