"""Documents ranked by the scores of their passages.

The five ways of Simplified TinyBERT's ``convert_to_trec_results.py`` (Chen et al. 2021; MaxP, FirstP and SumP are
Dai and Callan's, SIGIR 2019). Sums and averages are taken over probabilities, as there: a sum of logits would punish a
document for every passage with a negative one. MaxP and FirstP keep the logit, which orders documents as its
probability does without becoming 1.0 for all good ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from distilrank.data.cut_passages import document_of as document_of_id
from distilrank.data.cut_passages import passage_id
from distilrank.errors import SettingsError, nearest
from distilrank.records import Run

Aggregation = Literal["MaxP", "FirstP", "SumP", "AvgP", "k-MaxAvgP"]


def aggregate_documents(
    passages: Run,
    how: Aggregation,
    *,
    k: int = 3,
    document_of: Callable[[str], str] | Mapping[str, str] = document_of_id,
    first_passage_of: Callable[[str], str] | None = None,
) -> Run:
    """Turn a run of passages into a run of their documents.

    Args:
        passages: Raw scores (logits) of passages.
        how: MaxP takes a document's best passage; FirstP its first, and leaves out a document whose first passage was
            not scored; SumP and AvgP the sum and the mean of all that were scored; k-MaxAvgP the mean of the ``k``
            best (of all, where there are fewer).
        k: Of k-MaxAvgP only, at least 1.
        document_of: From a passage's id to its document's; by default as ``cut_passages`` writes ids.
        first_passage_of: From a document's id to its first passage's, for FirstP; None for what ``cut_passages``
            writes, and the document itself when it was not cut.

    Returns:
        Logits for MaxP and FirstP, otherwise probabilities or sums of them.

    Raises:
        SettingsError: ``how`` is not known or ``k`` is below 1.
    """
    if how not in _COMBINE:
        raise SettingsError(f"aggregation {how!r} is not known{nearest(how, _COMBINE)}")
    if k < 1:
        raise SettingsError(f"k-MaxAvgP averages the k best passages, and k is {k}; give at least 1")
    find_document = document_of.__getitem__ if isinstance(document_of, Mapping) else document_of
    documents: Run = {}
    for query_id, scores in passages.items():
        kept = scores
        if how == "FirstP":
            kept = {
                doc_id: score
                for doc_id, score in scores.items()
                if _is_first(doc_id, find_document(doc_id), first_passage_of)
            }
        grouped: dict[str, list[float]] = {}
        for doc_id, score in kept.items():
            grouped.setdefault(find_document(doc_id), []).append(score)
        documents[query_id] = {document_id: _COMBINE[how](parts, k) for document_id, parts in grouped.items()}
    return documents


def _is_first(doc_id: str, document_id: str, first_passage_of: Callable[[str], str] | None) -> bool:
    if first_passage_of is not None:
        return doc_id == first_passage_of(document_id)
    return doc_id in (document_id, passage_id(document_id, 0))


def probabilities(logits: Sequence[float]) -> list[float]:
    """Return the sigmoid of each logit: for a two-class ranker's z1 - z0, its softmax probability of relevance."""
    values = np.asarray(logits, dtype=np.float64)
    return [float(each) for each in np.exp(-np.logaddexp(0.0, -values))]


def _best(logits: list[float], k: int) -> float:
    return max(logits)


def _sum(logits: list[float], k: int) -> float:
    return sum(probabilities(logits))


def _average(logits: list[float], k: int) -> float:
    return sum(probabilities(logits)) / len(logits)


def _average_of_best(logits: list[float], k: int) -> float:
    return _average(heapq.nlargest(k, logits), k)


_COMBINE: dict[str, Callable[[list[float], int], float]] = {
    "MaxP": _best,
    "FirstP": _best,
    "SumP": _sum,
    "AvgP": _average,
    "k-MaxAvgP": _average_of_best,
}
