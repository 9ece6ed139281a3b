"""Queries that nobody judged, as what is trained on: a teacher's scores take the place of labels."""

from __future__ import annotations

from distilrank.data.named import RankingData
from distilrank.errors import InputError
from distilrank.records import Qrels
from distilrank.workflows.splits import TRAIN, LeftOut, sample_in_order, separate, usual_name


def unlabelled_splits(
    source: RankingData, *, max_queries: int | None, seed: int
) -> tuple[dict[str, Qrels], list[LeftOut]]:
    """Return train, all queries that no other split judges and without any judgement, and the other splits as they are.

    So a folder without judgements is trained on whole, and one with a judged dev or test split keeps it apart.
    Judgements of train are not read.

    Args:
        source: With queries.
        max_queries: Most queries per split, drawn by seed. None: all.
        seed: Of the draw.

    Returns:
        The splits, which share no query and no query text, and what was left out to that end.

    Raises:
        InputError: No query is left to train on.
    """
    texts = {query_id: query.text for query_id, query in source.queries.items()}
    judged = {usual_name(split): source.qrels(split) for split in source.splits if split != TRAIN}
    members = {split: [query_id for query_id in own if query_id in texts] for split, own in judged.items()}
    held_out = {query_id for own in members.values() for query_id in own}
    members[TRAIN] = [query_id for query_id in texts if query_id not in held_out]
    kept, left_out = separate(members, texts)
    if not kept[TRAIN]:
        raise InputError(f"all queries are judged in {', '.join(judged)}; there is none to train on without labels")
    splits = {
        split: {
            query_id: judged.get(split, {}).get(query_id, {})
            for query_id in sample_in_order(own, max_queries, seed=seed)
        }
        for split, own in kept.items()
    }
    return splits, left_out
