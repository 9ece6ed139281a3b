from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilrank.data.cut_passages import CutSettings, cut_passages
from distilrank.data.passage_store import PassageStore
from distilrank.errors import SettingsError
from distilrank.records import Group, Passage, Qrels, Query, Run
from distilrank.workflows.training_groups import GroupCounts, GroupSettings, groups_finding, training_groups

QUERIES = {f"q{number}": Query(f"q{number}", f"query {number}") for number in range(50)}


@pytest.fixture
def store(tmp_path: Path) -> PassageStore:
    return PassageStore.build((Passage(f"d{n}", f"text {n}", f"title {n}") for n in range(200)), tmp_path / "p.sqlite")


def run_of(*doc_ids: str) -> Run:
    return {"q1": {doc_id: float(-place) for place, doc_id in enumerate(doc_ids)}}


def make(
    store: PassageStore, qrels: Qrels, run: Run, *, documents: bool = False, **settings: Any
) -> tuple[list[Group], GroupCounts]:
    counts = GroupCounts()
    groups = training_groups(
        queries=QUERIES,
        qrels=qrels,
        run=run,
        passages=store,
        settings=GroupSettings(**settings),
        counts=counts,
        documents=documents,
    )
    return list(groups), counts


def negatives(group: Group) -> list[str]:
    return [doc_id for doc_id, relevance in zip(group.doc_ids, group.relevance, strict=True) if relevance == 0]


def test_a_group_by_hand(store: PassageStore) -> None:
    qrels = {"q1": {"d5": 1, "d1": 2, "d3": 0}}
    (group,), counts = make(store, qrels, run_of("d2", "d1", "d3"), negatives=2)
    assert group == Group(
        query="query 1",
        passages=("title 5 text 5", "title 1 text 1", "title 2 text 2", "title 3 text 3"),
        relevance=(1.0, 2.0, 0.0, 0.0),
        query_id="q1",
        doc_ids=("d5", "d1", "d2", "d3"),
    )
    assert counts == GroupCounts(groups=1, positives=2, negatives=2)


def test_negatives_are_drawn_from_the_candidates_only(store: PassageStore) -> None:
    candidates = [f"d{number}" for number in range(30)]
    seen: set[str] = set()
    for seed in range(40):
        (group,), _ = make(store, {"q1": {"d0": 1}}, run_of(*candidates), negatives=4, seed=seed)
        drawn = negatives(group)
        assert len(set(drawn)) == 4
        assert drawn == sorted(drawn, key=candidates.index)
        seen |= set(drawn)
    assert seen == set(candidates[1:])


def test_a_querys_negatives_do_not_depend_on_the_others(store: PassageStore) -> None:
    run = {query_id: {f"d{number}": float(number) for number in range(1, 40)} for query_id in QUERIES}
    every, _ = make(store, {query_id: {"d0": 1} for query_id in QUERIES}, run)
    (one,), _ = make(store, {"q7": {"d0": 1}}, run)
    assert one in every
    assert len({group.doc_ids for group in every}) > 40


def test_the_top_is_passed_over_unless_it_is_judged(store: PassageStore) -> None:
    run = run_of("d1", "d2", "d3", "d4", "d5", "d6")
    seen: set[str] = set()
    for seed in range(30):
        groups, _ = make(store, {"q1": {"d0": 1, "d2": 0}}, run, negatives=2, skip_top=3, negatives_from=5, seed=seed)
        seen |= set(negatives(groups[0]))
    assert seen == {"d2", "d4", "d5"}


def test_judged_and_not_relevant_passages_are_negatives_wherever_they_stand(store: PassageStore) -> None:
    (group,), counts = make(store, {"q1": {"d0": 2, "d7": 1, "d8": 0}}, run_of(), negatives=2, relevant_from=2)
    assert negatives(group) == ["d7", "d8"]
    assert counts.random_negatives == 0


def test_too_few_candidates_are_filled_with_random_passages(store: PassageStore) -> None:
    fillers: set[str] = set()
    for seed in range(40):
        (group,), counts = make(store, {"q1": {"d0": 1, "d1": 1}}, run_of("d1", "d2"), negatives=7, seed=seed)
        drawn = negatives(group)
        assert drawn[0] == "d2"
        assert len(set(drawn)) == 7
        assert counts.random_negatives == 6
        fillers |= set(drawn[1:])
    assert not fillers & {"d0", "d1", "d2"}
    assert len(fillers) > 100


def test_a_positive_over_the_limit_is_no_random_negative(tmp_path: Path) -> None:
    store = PassageStore.build((Passage(f"d{n}", f"text {n}") for n in range(5)), tmp_path / "small.sqlite")
    for seed in range(10):
        groups, _ = make(store, {"q1": {"d0": 1, "d1": 1, "d2": 1}}, {}, positives=1, seed=seed)
        assert set(negatives(groups[0])) <= {"d3", "d4"}


def test_skipped_candidates_do_not_return_as_random_ones(tmp_path: Path) -> None:
    store = PassageStore.build((Passage(f"d{n}", f"text {n}") for n in range(4)), tmp_path / "small.sqlite")
    groups, counts = make(store, {"q1": {"d0": 1}}, run_of("d1", "d2", "d3"), skip_top=2, negatives=3)
    assert negatives(groups[0]) == ["d3"]
    assert (counts.negatives, counts.random_negatives) == (1, 0)


def test_a_copy_of_a_positive_is_never_a_negative_and_no_text_is_taken_twice(tmp_path: Path) -> None:
    texts = {"p": "same", "copy": "same", "n1": "other", "n2": "other", "n3": "third"}
    store = PassageStore.build((Passage(doc_id, text) for doc_id, text in texts.items()), tmp_path / "copies.sqlite")
    for seed in range(20):
        (group,), _ = make(store, {"q1": {"p": 1}}, run_of("copy", "n1", "n2", "n3"), negatives=4, seed=seed)
        assert sorted(group.passages[1:]) == ["other", "third"]


def test_positives_that_are_no_candidates_count_and_missing_ones_do_not(store: PassageStore) -> None:
    qrels = {"q1": {"d9": 1, "absent": 1}, "q2": {"absent": 1}, "q3": {"d1": 0}}
    groups, counts = make(store, qrels, {})
    assert [group.query_id for group in groups] == ["q1"]
    assert groups[0].doc_ids[0] == "d9"
    assert (counts.positives, counts.without_positives) == (1, 2)


def test_the_highest_judged_positives_are_kept_and_equals_are_drawn(store: PassageStore) -> None:
    judged = {"d1": 1, "d2": 3, "d3": 1, "d4": 2, "d5": 1}
    drawn: set[str] = set()
    for seed in range(30):
        (group,), _ = make(store, {"q1": judged}, {}, positives=3, negatives=1, seed=seed)
        assert set(group.doc_ids[:3]) >= {"d2", "d4"}
        assert group.relevance[:3] == tuple(float(judged[doc_id]) for doc_id in group.doc_ids[:3])
        drawn |= set(group.doc_ids[:3])
    assert drawn == set(judged)


def test_a_query_with_nothing_but_positives_has_no_group(tmp_path: Path) -> None:
    store = PassageStore.build([Passage("a", "text")], tmp_path / "one.sqlite")
    groups, counts = make(store, {"q1": {"a": 1}}, run_of("a"))
    assert groups == []
    assert counts.without_negatives == 1


def test_passages_of_relevant_documents_are_positives_and_never_negatives(tmp_path: Path) -> None:
    documents = [Passage(name, " ".join(f"{name}{n}" for n in range(6))) for name in ("rel", "non", "un")]
    cut = cut_passages(documents, CutSettings(window=4, stride=2))
    store = PassageStore.build(cut, tmp_path / "cut.sqlite")
    run = run_of("rel#_1", "un#_0", "non#_0", "un#_1")
    (group,), _ = make(store, {"q1": {"rel": 1, "non": 0}}, run, documents=True, negatives=9)
    assert group.doc_ids[:2] == ("rel#_0", "rel#_1")
    assert sorted(negatives(group)) == ["non#_0", "non#_1", "un#_0", "un#_1"]


def test_what_became_of_the_queries_in_a_sentence() -> None:
    good = groups_finding(GroupCounts(groups=10, positives=20, negatives=70))
    assert (good.level, good.message) == ("ok", "10 groups of 2.0 positives and 7.0 negatives on average")
    assert groups_finding(GroupCounts(groups=1, positives=40, negatives=7)).level == "note"
    lost = groups_finding(GroupCounts(groups=10, positives=20, negatives=70, random_negatives=7, without_positives=3))
    assert (lost.level, lost.count) == ("note", 3)
    assert "10.0% of the negatives are random" in lost.message
    assert groups_finding(GroupCounts(without_positives=5)).level == "problem"


@pytest.mark.parametrize(
    "settings",
    [
        {"negatives": 0},
        {"skip_top": -1},
        {"positives": 0},
        {"relevant_from": 0},
        {"negatives_from": 5, "skip_top": 5},
    ],
)
def test_settings_that_make_no_group_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        GroupSettings(**settings)
