"""Positives of documents, filtered by a teacher: which passages of a relevant document are themselves relevant.

A judged document says nothing about which of its passages answer the query. Simplified TinyBERT (Chen et al. 2021,
https://arxiv.org/abs/2009.07531) cuts documents into passages and has the teacher filter the positive ones; its
threshold was never published, so the one here is **our choice**: a probability of a half.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from distilrank.data.cut_passages import document_of
from distilrank.errors import InputError, SettingsError
from distilrank.records import Group
from distilrank.scorer import Scorer

_GROUPS_AT_ONCE = 64


def filter_positives(
    groups: Iterable[Group], scorer: Scorer, *, threshold: float = 0.5, keep_best: bool = True
) -> Iterator[Group]:
    """Yield the groups with those positives only that the teacher takes for relevant.

    What is dropped leaves the group: a passage of a relevant document is no negative either. A group that is left
    without positives is not yielded.

    Args:
        groups: With ``doc_ids`` as ``cut_passages`` makes them; an id without a passage number is a document of one
            passage.
        scorer: The teacher; its logits are taken for log odds, see ``models.calibration``.
        threshold: Least probability, sigmoid(score), of a positive, from 0 to 1.
        keep_best: Keep the best passage of a document of which none reaches the threshold, so that no judgement is
            lost (of several equally good ones, the first).

    Raises:
        SettingsError: The threshold lies outside [0, 1].
        InputError: A group has positives and no ``doc_ids``.
    """
    if not 0 <= threshold <= 1:
        raise SettingsError(f"the threshold of positives is {threshold} but must lie between 0 and 1")
    # sigmoid(score) >= threshold, without the rounding of a sigmoid near 0 and 1
    least = math.inf if threshold == 1 else -math.inf if threshold == 0 else math.log(threshold / (1 - threshold))
    return _filtered(iter(groups), scorer, least, keep_best)


def _filtered(groups: Iterator[Group], scorer: Scorer, least: float, keep_best: bool) -> Iterator[Group]:
    while part := list(islice(groups, _GROUPS_AT_ONCE)):
        places = [(group, place) for group in part for place in positives_of(group)]
        scores = iter(scorer.score([(group.query, group.passages[place]) for group, place in places]).tolist())
        for group in part:
            own = {place: float(next(scores)) for place in positives_of(group)}
            kept = _kept(group, own, least, keep_best)
            if kept:
                yield _with_places(group, [p for p in range(len(group.passages)) if p not in own or p in kept])


def positives_of(group: Group) -> list[int]:
    """Return the places of a group's positives.

    Raises:
        InputError: It has some, and no ``doc_ids``.
    """
    positives = [place for place, relevance in enumerate(group.relevance) if relevance > 0]
    if positives and not group.doc_ids:
        raise InputError(
            f"the group of query {group.query_id or group.query!r} has no pos_ids, so nobody knows which of its "
            "passages are of one document; make the groups with: distilrank prepare"
        )
    return positives


def _kept(group: Group, scores: dict[int, float], least: float, keep_best: bool) -> set[int]:
    """Return the places of the positives that stay."""
    documents: dict[str, list[int]] = {}
    for place in scores:
        documents.setdefault(document_of(group.doc_ids[place]), []).append(place)
    kept: set[int] = set()
    for places in documents.values():
        relevant = [place for place in places if scores[place] >= least]
        kept.update(relevant or ([max(places, key=scores.__getitem__)] if keep_best else []))
    return kept


def _with_places(group: Group, places: Sequence[int]) -> Group:
    """Return the group with the passages at some places only."""
    return replace(
        group,
        passages=tuple(group.passages[place] for place in places),
        relevance=tuple(group.relevance[place] for place in places),
        scores=None if group.scores is None else tuple(group.scores[place] for place in places),
        doc_ids=tuple(group.doc_ids[place] for place in places),
    )
