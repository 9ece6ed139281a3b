"""The data doctor for ranking data: a diagnosis of splits, judgements, candidates and texts before any training."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from distilrank.data.cut_passages import document_of, passage_id
from distilrank.data.tokens import PairTokenizer
from distilrank.data.trec import ranking
from distilrank.evaluation.diagnostics.collection import CollectionFacts
from distilrank.evaluation.diagnostics.duplicates import near_duplicates, same_texts
from distilrank.evaluation.diagnostics.findings import EXAMPLES, Diagnosis, Finding
from distilrank.evaluation.diagnostics.lengths import Lengths, length_finding, measure_lengths
from distilrank.records import Passage, Qrels, Query, Run

PAIRS_MEASURED = 2_000
"""Query-passage pairs whose length is measured, drawn by seed from the candidates."""

_ADVICE = "raise --max-tokens, or cut long texts into passages (--documents)"


def diagnose_ranking(
    *,
    queries: Mapping[str, Query],
    qrels: Mapping[str, Qrels],
    runs: Mapping[str, Run],
    passages: Mapping[str, Passage],
    collection: CollectionFacts,
    absent: Collection[str] | None = None,
    documents: bool = False,
    relevant_from: int = 1,
    unlabelled: Collection[str] = (),
    tokenizer: PairTokenizer | None = None,
    max_tokens: int = 256,
    seed: int = 42,
) -> Diagnosis:
    """Look at ranking data that is about to be trained and measured on.

    Args:
        queries: All queries, by id.
        qrels: Split -> judgements; the first split is the one trained on.
        runs: Split -> first-stage candidates (doc_ids of passages).
        passages: The collection.
        collection: What ``scan_collection`` found in it.
        absent: The candidates that are not in the collection, from ``absent_candidates``; None looks them up.
        documents: The judgements are of documents that the passages were cut from (``document_of``).
        relevant_from: Relevance from which a judgement counts as relevant.
        unlabelled: Splits whose queries nobody judged, and which are not expected to have been.
        tokenizer: For lengths in tokens; None approximates them from words.
        max_tokens: The token limit of training.
        seed: Draws the pairs whose length is measured.
    """
    texts = {split: _texts(judged, queries) for split, judged in qrels.items()}
    labelled = {split: judged for split, judged in qrels.items() if split not in unlabelled}
    lengths = _pair_lengths(queries, runs, passages, tokenizer=tokenizer, max_tokens=max_tokens, seed=seed)
    findings = [
        _shared_ids(qrels),
        _shared_texts(texts),
        _near_duplicates(texts),
        _missing_judged(qrels, passages, documents=documents),
        _absent_candidates(absent_candidates(runs, passages) if absent is None else absent),
        _empty_queries(texts),
        _empty_passages(collection),
        _repeated_passages(collection),
        _unhelpful_queries(labelled, relevant_from=relevant_from),
        _without_candidates(qrels, runs),
        *([length_finding(lengths, what="query-passage pairs", advice=_ADVICE)] if lengths else []),
    ]
    facts: dict[str, object] = {
        "collection": asdict(collection),
        "splits": {
            split: _split_facts(judged, runs.get(split, {}), documents=documents, relevant_from=relevant_from)
            if split in labelled
            else {"queries": len(judged), "candidates_per_query": _candidates_per_query(runs.get(split, {}))}
            for split, judged in qrels.items()
        },
        "lengths": asdict(lengths) if lengths else None,
    }
    return Diagnosis(kind="ranking", facts=facts, findings=tuple(findings))


def _texts(judged: Qrels, queries: Mapping[str, Query]) -> dict[str, str]:
    """Return the texts of the queries of a split."""
    return {query_id: queries[query_id].text for query_id in judged if query_id in queries}


def _shared_ids(qrels: Mapping[str, Qrels]) -> Finding:
    owners: dict[str, list[str]] = {}
    for split, judged in qrels.items():
        for query_id in judged:
            owners.setdefault(query_id, []).append(split)
    shared = [f"{query_id} in {' and '.join(splits)}" for query_id, splits in owners.items() if len(splits) > 1]
    return Finding.counting(
        "query ids across splits",
        shared,
        good="no query is in two splits",
        bad="{count} queries are in two splits: measures on them would flatter",
    )


def _shared_texts(texts: Mapping[str, Mapping[str, str]]) -> Finding:
    pairs = [pair for pair in same_texts(texts) if pair.first_id != pair.second_id]
    return Finding.counting(
        "query texts across splits",
        [
            f"{pair.first_split} {pair.first_id} and {pair.second_split} {pair.second_id}: "
            f"{texts[pair.first_split][pair.first_id]!r}"
            for pair in pairs[:EXAMPLES]
        ],
        good="no query text is in two splits",
        bad="{count} pairs of queries have the same text in two splits: measures on them would flatter",
        count=len(pairs),
    )


def _near_duplicates(texts: Mapping[str, Mapping[str, str]]) -> Finding:
    pairs = near_duplicates(texts)
    return Finding.counting(
        "near-duplicate queries across splits",
        [
            f"{pair.first_split} {pair.first_id} {texts[pair.first_split][pair.first_id]!r} and {pair.second_split} "
            f"{pair.second_id} {texts[pair.second_split][pair.second_id]!r} ({pair.similarity:.2f})"
            for pair in pairs[:EXAMPLES]
        ],
        good="no two splits have queries that share 80% of their words",
        bad="{count} pairs of queries in two splits share at least 80% of their words: see whether they ask the same",
        level="note",
        count=len(pairs),
    )


def _missing_judged(qrels: Mapping[str, Qrels], passages: Mapping[str, Passage], *, documents: bool) -> Finding:
    judged = {doc_id: split for split, queries in qrels.items() for scores in queries.values() for doc_id in scores}
    missing = [
        f"{doc_id} ({split})"
        for doc_id, split in judged.items()
        if (passage_id(doc_id, 0) if documents else doc_id) not in passages
    ]
    return Finding.counting(
        "judged ids in the collection",
        missing,
        good=f"all {len(judged):,} judged ids are in the collection",
        bad=f"{{count}} of {len(judged):,} judged ids are not in the collection: they can neither be learned from nor "
        "found; is it the collection that was judged?",
    )


def absent_candidates(runs: Mapping[str, Run], passages: Mapping[str, Passage]) -> list[str]:
    """Return the candidates that are not in the collection, sorted."""
    candidates = {doc_id for run in runs.values() for scores in run.values() for doc_id in scores}
    return [doc_id for doc_id in sorted(candidates) if doc_id not in passages]


def _absent_candidates(absent: Collection[str]) -> Finding:
    return Finding.counting(
        "candidate ids in the collection",
        list(absent),
        good="all candidates are in the collection",
        bad="{count} candidates are not in the collection and are left out: was the run made on it?",
    )


def _empty_queries(texts: Mapping[str, Mapping[str, str]]) -> Finding:
    empty = [
        f"{query_id} ({split})" for split, own in texts.items() for query_id, text in own.items() if not text.strip()
    ]
    return Finding.counting(
        "empty queries", empty, good="no query is empty", bad="{count} queries have no text: remove or correct them"
    )


def _empty_passages(collection: CollectionFacts) -> Finding:
    return Finding.counting(
        "empty passages",
        collection.empty_ids,
        good="no passage is empty",
        bad="{count} passages have neither title nor text",
        level="note",
        count=collection.empty,
    )


def _repeated_passages(collection: CollectionFacts) -> Finding:
    return Finding.counting(
        "repeated passages",
        collection.repeated_ids,
        good="no two passages have the same text",
        bad="{count} passages repeat another one's text (a copy of a positive is never taken as a negative)",
        level="note",
        count=collection.repeated,
    )


def _unhelpful_queries(qrels: Mapping[str, Qrels], *, relevant_from: int) -> Finding:
    without = [
        f"{query_id} ({split})"
        for split, queries in qrels.items()
        for query_id, judged in queries.items()
        if not any(relevance >= relevant_from for relevance in judged.values())
    ]
    return Finding.counting(
        "queries without a relevant passage",
        without,
        good="every query has a relevant passage",
        bad=f"{{count}} queries have nothing judged {relevant_from} or more: they teach nothing and score 0",
        level="note",
    )


def _without_candidates(qrels: Mapping[str, Qrels], runs: Mapping[str, Run]) -> Finding:
    without = [
        f"{query_id} ({split})"
        for split, judged in qrels.items()
        if split in runs
        for query_id in judged
        if not runs[split].get(query_id)
    ]
    return Finding.counting(
        "queries without candidates",
        without,
        good="every query has candidates",
        bad="{count} queries have no candidate: nothing can be re-ranked for them, so they score 0",
        level="note",
    )


def _split_facts(judged: Qrels, run: Run, *, documents: bool, relevant_from: int) -> dict[str, object]:
    """Return sizes, grades and the recall of the first stage of one split."""
    grades = Counter(relevance for scores in judged.values() for relevance in scores.values())
    relevant = {
        query_id: {doc_id for doc_id, relevance in scores.items() if relevance >= relevant_from}
        for query_id, scores in judged.items()
    }
    recalls = []
    for query_id, wanted in relevant.items():
        found = {document_of(doc_id) if documents else doc_id for doc_id in run.get(query_id, {})}
        if wanted:
            recalls.append(len(wanted & found) / len(wanted))
    return {
        "queries": len(judged),
        "judgements": grades.total(),
        "grades": {str(grade): grades[grade] for grade in sorted(grades)},
        "relevant_per_query": round(sum(map(len, relevant.values())) / max(1, len(judged)), 2),
        "candidates_per_query": _candidates_per_query(run),
        "candidates_recall": round(sum(recalls) / max(1, len(recalls)), 4),
    }


def _candidates_per_query(run: Run) -> float:
    return round(sum(map(len, run.values())) / max(1, len(run)), 1)


def _pair_lengths(
    queries: Mapping[str, Query],
    runs: Mapping[str, Run],
    passages: Mapping[str, Passage],
    *,
    tokenizer: PairTokenizer | None,
    max_tokens: int,
    seed: int,
) -> Lengths | None:
    """Measure a sample of (query, candidate) pairs of the first split; None when there is none."""
    pairs = _sample_pairs(next(iter(runs.values()), {}), queries, seed=seed)
    known = [(query_id, doc_id) for query_id, doc_id in pairs if doc_id in passages]
    if not known:
        return None
    first = [queries[query_id].text for query_id, _ in known]
    second = [passages[doc_id].content for _, doc_id in known]
    return measure_lengths(first, second, tokenizer=tokenizer, limit=max_tokens)


def _sample_pairs(run: Run, queries: Mapping[str, Query], *, seed: int) -> Sequence[tuple[str, str]]:
    """Draw candidates at random, one query after another, so that the whole run is never listed."""
    drawing = random.Random(seed)
    asked = [query_id for query_id, scores in run.items() if scores and query_id in queries]
    per_query = -(-PAIRS_MEASURED // max(1, len(asked)))
    chosen = drawing.sample(asked, min(len(asked), PAIRS_MEASURED))
    pairs = []
    for query_id in chosen:
        candidates = ranking(run[query_id])
        pairs += [(query_id, doc_id) for doc_id in drawing.sample(candidates, min(per_query, len(candidates)))]
    return pairs
