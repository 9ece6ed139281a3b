"""Candidates put in a new order by a cross-encoder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from distilrank.data.trec import ranking
from distilrank.errors import InputError, ModelError
from distilrank.records import Passage, Query, Run
from distilrank.scorer import Scorer

PAIRS_AT_ONCE = 1024
"""Handed to the scorer in one call: enough for it to batch by length, few enough that texts need little memory."""

_Pair = tuple[str, str]


def rerank(
    scorer: Scorer,
    *,
    queries: Mapping[str, Query],
    passages: Mapping[str, Passage],
    candidates: Run,
    depth: int | None = None,
    query_ids: Collection[str] | None = None,
    progress: bool = False,
    description: str = "re-ranking",
) -> Run:
    """Score every candidate of every query and return the scores as a run.

    Args:
        scorer: Scores (query, passage) pairs.
        queries: Texts of the queries.
        passages: Texts of the candidates; read a few hundred at a time, so they may lie on disk.
        candidates: A first stage's run.
        depth: How many of the best candidates of each query are re-ranked; the others are dropped. None for all.
        query_ids: Re-rank these queries only, and leave out the others; None for all.
        progress: Whether to show a bar on standard error.
        description: What the bar says.

    Raises:
        InputError: A query or candidate has no text, or ``depth`` is below 1. Found before any scoring.
        ModelError: The scorer returned something else than one finite number per pair.
    """
    chosen = shorten(candidates, depth=depth, query_ids=query_ids)
    require_texts(chosen, queries, passages)
    pairs = [(query_id, doc_id) for query_id, scores in chosen.items() for doc_id in scores]
    reranked: Run = {query_id: {} for query_id in chosen}
    with _progress_bar(shown=progress) as bar:
        task = bar.add_task(description, total=len(pairs))
        for part in _parts(pairs):
            for (query_id, doc_id), score in zip(part, _scores(scorer, part, queries, passages), strict=True):
                reranked[query_id][doc_id] = score
            bar.advance(task, len(part))
    return reranked


def shorten(run: Run, *, depth: int | None = None, query_ids: Collection[str] | None = None) -> Run:
    """Return the best ``depth`` documents (None for all) of the queries ``query_ids`` (None for all).

    Raises:
        InputError: ``depth`` is below 1.
    """
    if depth is not None and depth < 1:
        raise InputError(f"depth is {depth}; give at least 1, or leave it out to take all candidates")
    wanted = None if query_ids is None else set(query_ids)
    return {
        query_id: {doc_id: scores[doc_id] for doc_id in ranking(scores)[:depth]}
        for query_id, scores in run.items()
        if wanted is None or query_id in wanted
    }


def require_texts(candidates: Run, queries: Mapping[str, Query], passages: Mapping[str, Passage]) -> None:
    """Refuse a run whose queries or passages have no text.

    Raises:
        InputError: With the first of them.
    """
    unknown_queries = [query_id for query_id in candidates if query_id not in queries]
    if unknown_queries:
        raise InputError(
            f"{len(unknown_queries)} of {len(candidates)} queries of the run have no text, the first is "
            f"{unknown_queries[0]!r}: give the data folder that the run was made from"
        )
    doc_ids = dict.fromkeys(doc_id for scores in candidates.values() for doc_id in scores)
    missing = [doc_id for doc_id in doc_ids if doc_id not in passages]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(doc_ids)} candidates are not in the collection, the first is {missing[0]!r}: "
            "give the collection that the run was made from"
        )


def _parts(pairs: list[_Pair]) -> Iterator[list[_Pair]]:
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        yield pairs[start : start + PAIRS_AT_ONCE]


def _scores(
    scorer: Scorer, ids: list[_Pair], queries: Mapping[str, Query], passages: Mapping[str, Passage]
) -> list[float]:
    texts = {doc_id: passages[doc_id].content for doc_id in dict.fromkeys(doc_id for _, doc_id in ids)}
    scores = np.asarray(scorer.score([(queries[query_id].text, texts[doc_id]) for query_id, doc_id in ids]))
    if scores.shape != (len(ids),):
        raise ModelError(f"the model gave scores of shape {scores.shape} for {len(ids)} pairs, not one for each")
    broken = np.flatnonzero(~np.isfinite(scores))
    if broken.size:
        query_id, doc_id = ids[broken[0]]
        raise ModelError(
            f"the model gave the score {scores[broken[0]]} for query {query_id!r} and passage {doc_id!r}; "
            "its weights are broken or overflow"
        )
    return [float(score) for score in scores]


def _progress_bar(*, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pairs"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )
