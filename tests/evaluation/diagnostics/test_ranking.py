from __future__ import annotations

from typing import Any

import pytest

from distilrank.evaluation.diagnostics.collection import scan_collection
from distilrank.evaluation.diagnostics.findings import Diagnosis, Finding
from distilrank.evaluation.diagnostics.ranking import absent_candidates, diagnose_ranking
from distilrank.records import Passage, Query

PASSAGES = {name: Passage(name, f"text of passage {name}") for name in "abcdef"}
QUERIES = {
    name: Query(name, text)
    for name, text in {
        "q1": "how old is the sun",
        "q2": "who wrote the first book about it",
        "q3": "where do rivers end",
        "q4": "when was the wheel made",
    }.items()
}
HEALTHY: dict[str, Any] = {
    "queries": QUERIES,
    "qrels": {"train": {"q1": {"a": 1}, "q2": {"b": 2, "c": 0}}, "test": {"q3": {"d": 1}}},
    "runs": {"train": {"q1": {"a": 2.0, "e": 1.0}, "q2": {"c": 2.0}}, "test": {"q3": {"d": 1.0}}},
    "passages": PASSAGES,
    "collection": scan_collection(PASSAGES.values()),
}


def diagnose(**changes: Any) -> Diagnosis:
    return diagnose_ranking(**{**HEALTHY, **changes})


def finding(check: str, **changes: Any) -> Finding:
    (found,) = [found for found in diagnose(**changes).findings if found.check == check]
    return found


def test_healthy_data_has_no_problem() -> None:
    assert [found.check for found in diagnose().findings if found.level != "ok"] == []


def test_sizes_grades_and_recall_of_a_split() -> None:
    facts: Any = diagnose().facts
    assert facts["splits"]["train"] == {
        "queries": 2,
        "judgements": 3,
        "grades": {"0": 1, "1": 1, "2": 1},
        "relevant_per_query": 1.0,
        "candidates_per_query": 1.5,
        "candidates_recall": 0.5,
    }


def test_a_query_in_two_splits_is_a_problem() -> None:
    found = finding("query ids across splits", qrels={"train": {"q1": {"a": 1}}, "test": {"q1": {"a": 1}}})
    assert (found.level, found.examples) == ("problem", ("q1 in train and test",))


def test_a_query_text_in_two_splits_is_a_problem() -> None:
    queries = QUERIES | {"q5": Query("q5", "How old is the Sun?")}
    found = finding("query texts across splits", queries=queries, qrels={"train": {"q1": {}}, "test": {"q5": {}}})
    assert (found.level, found.count) == ("problem", 1)


def test_near_duplicates_are_a_note() -> None:
    queries = QUERIES | {"q5": Query("q5", "is the sun how old really")}
    qrels = {"train": {"q1": {"a": 1}}, "test": {"q5": {"a": 1}}}
    found = finding("near-duplicate queries across splits", queries=queries, qrels=qrels)
    assert (found.level, found.count) == ("note", 1)
    assert found.examples[0].startswith("train q1 'how old is the sun' and test q5")


def test_judged_ids_missing_from_the_collection() -> None:
    found = finding("judged ids in the collection", qrels={"train": {"q1": {"a": 1, "x": 1, "y": 0}}})
    assert (found.level, found.count, found.examples) == ("problem", 2, ("x (train)", "y (train)"))
    assert "2 of 3" in found.message


def test_judged_documents_are_looked_for_by_their_first_passage() -> None:
    passages = {name: Passage(name, "text") for name in ("a#_0", "a#_1", "b#_0")}
    changes: dict[str, Any] = {
        "passages": passages,
        "documents": True,
        "qrels": {"train": {"q1": {"a": 1, "b": 1, "x": 1}}},
        "runs": {"train": {"q1": {"a#_1": 1.0}}},
    }
    assert finding("judged ids in the collection", **changes).examples == ("x (train)",)
    facts: Any = diagnose(**changes).facts
    assert facts["splits"]["train"]["candidates_recall"] == pytest.approx(1 / 3, abs=1e-4)


def test_candidates_missing_from_the_collection() -> None:
    runs = {"train": {"q1": {"z": 1.0, "a": 0.5}, "q2": {"z": 1.0}}}
    assert absent_candidates(runs, PASSAGES) == ["z"]
    assert finding("candidate ids in the collection", runs=runs).examples == ("z",)
    assert finding("candidate ids in the collection", runs=runs, absent=[]).level == "ok"


def test_empty_texts() -> None:
    passages = PASSAGES | {"e": Passage("e", "")}
    assert finding("empty passages", collection=scan_collection(passages.values())).examples == ("e",)
    assert finding("empty queries", queries=QUERIES | {"q1": Query("q1", "  ")}).examples == ("q1 (train)",)


def test_queries_that_teach_nothing() -> None:
    assert finding("queries without a relevant passage", relevant_from=2).examples == ("q1 (train)", "q3 (test)")
    assert finding("queries without candidates", runs={"train": {"q1": {"a": 1.0}}}).examples == ("q2 (train)",)


def test_lengths_are_those_of_candidates() -> None:
    passages = {name: Passage(name, "word " * 400) for name in "abcdef"}
    found = finding("lengths", passages=passages)
    assert (found.level, found.count) == ("problem", 3)
    assert "--documents" in found.message


def test_without_candidates_there_are_no_lengths() -> None:
    diagnosis = diagnose(runs={})
    assert diagnosis.facts["lengths"] is None
    assert "lengths" not in [found.check for found in diagnosis.findings]
