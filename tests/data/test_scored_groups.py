from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from distilrank.data.files import file_hash
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.passage_store import PassageStore
from distilrank.data.scored_groups import ScoredGroups, groups_of_scores
from distilrank.data.teacher_scores import ScoresInTheMaking, Shard, TeacherScores
from distilrank.errors import InputError
from distilrank.records import Group, Passage, Query

GROUPS = [
    Group(query="q", passages=("a", "b"), relevance=(1, 0), query_id="q1", doc_ids=("d1", "d2"), scores=(9.0, 9.0)),
    Group(query="r", passages=("a", "c"), relevance=(1, 0), query_id="q2", doc_ids=("d1", "d3")),
    Group(query="s", passages=("b",), relevance=(1,), query_id="q3", doc_ids=("d2",)),
]
ROWS = [("q3", "d2", 5.0), ("q1", "d2", 2.5), ("q1", "d1", -1.25), ("q2", "d3", 0.1), ("q2", "d1", 7.0)]


def scores_of(folder: Path, rows: Sequence[tuple[str, str, float]] = ROWS, **input_: object) -> TeacherScores:
    description = {"scores": "logit", "teacher": {}, "input": {"form": "run", "ids": "given", **input_}}
    making = ScoresInTheMaking(folder, description=description, pairs=len(rows), shard_pairs=2)
    making.claim()
    for number in making.missing():
        own = rows[slice(*making.bounds(number))]
        scores = np.array([score for *_, score in own], np.float32)
        making.write(number, Shard(query_ids=[row[0] for row in own], doc_ids=[row[1] for row in own], scores=scores))
    making.finish()
    return TeacherScores(folder)


def group_file(path: Path, groups: Sequence[Group] = GROUPS) -> GroupFile:
    write_groups(groups, path)
    return GroupFile(path)


def test_groups_take_the_teachers_scores(tmp_path: Path) -> None:
    found = ScoredGroups(group_file(tmp_path / "g.jsonl"), scores_of(tmp_path / "scores"))
    assert [group.scores for group in found] == [(-1.25, 2.5), (7.0, float(np.float32(0.1))), (5.0,)]
    assert [group.passages for group in found[1:]] == [("a", "c"), ("b",)]
    assert (len(found), found.left_out, found[-1].query_id) == (3, 0, "q3")


def test_groups_without_any_score_are_left_out(tmp_path: Path) -> None:
    groups = group_file(tmp_path / "g.jsonl", [Group(query="x", passages=("a",), relevance=(1,)), *GROUPS])
    found = ScoredGroups(groups, scores_of(tmp_path / "scores", ROWS[1:]))
    assert ([group.query_id for group in found], found.left_out) == (["q1", "q2"], 2)
    with pytest.raises(InputError, match=r"g.jsonl: no group has a score in .*none"):
        ScoredGroups(groups, scores_of(tmp_path / "none", [("q7", "d1", 0.0)]))


def test_a_group_of_which_a_part_has_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="passage 'd1' of query 'q1' has no score"):
        ScoredGroups(group_file(tmp_path / "g.jsonl"), scores_of(tmp_path / "scores", [*ROWS[:2], *ROWS[3:]]))


def test_positions_are_those_of_one_file(tmp_path: Path) -> None:
    nameless = [
        Group(query="q", passages=("a", "b"), relevance=(1, 0)),
        Group(query="r", passages=("a",), relevance=(1,)),
    ]
    groups = group_file(tmp_path / "g.jsonl", nameless)
    rows = [("0", "0", 1.0), ("0", "1", 2.0), ("1", "0", 3.0)]
    scores = scores_of(tmp_path / "scores", rows, ids="positions", sha256=file_hash(groups.path))
    assert [group.scores for group in ScoredGroups(groups, scores)] == [(1.0, 2.0), (3.0,)]
    other = group_file(tmp_path / "other.jsonl", nameless[::-1])
    with pytest.raises(InputError, match=r"other.jsonl: the scores in .* are of other groups"):
        ScoredGroups(other, scores)


QUERIES = {f"q{i}": Query(f"q{i}", f"query {i}") for i in (1, 2, 3)}


@pytest.fixture
def passages(tmp_path: Path) -> PassageStore:
    return PassageStore.build((Passage(f"d{i}", f"text {i}") for i in (1, 2, 3)), tmp_path / "p.sqlite")


def test_groups_of_a_run_and_of_triples(tmp_path: Path, passages: PassageStore) -> None:
    qrels = {"q1": {"d1": 2, "d2": -1}}
    found = list(groups_of_scores(scores_of(tmp_path / "run"), queries=QUERIES, passages=passages, qrels=qrels))
    assert [(group.query_id, group.doc_ids, group.relevance) for group in found] == [
        ("q3", ("d2",), (0.0,)), ("q1", ("d2", "d1"), (0.0, 2.0)), ("q2", ("d3", "d1"), (0.0, 0.0)),
    ]  # fmt: skip
    assert found[1] == Group(
        query="query 1", passages=("text 2", "text 1"), relevance=(0.0, 2.0), scores=(2.5, -1.25),
        query_id="q1", doc_ids=("d2", "d1"),
    )  # fmt: skip
    rows = [("q1", "d1", 1.0), ("q1", "d2", 2.0), ("q1", "d1", 1.0), ("q1", "d3", 3.0)]
    triples = scores_of(tmp_path / "triples", rows, form="scores of triples")
    found = list(groups_of_scores(triples, queries=QUERIES, passages=passages, qrels={}))
    assert [(group.doc_ids, group.relevance) for group in found] == [
        (("d1", "d2"), (1.0, 0.0)), (("d1", "d3"), (1.0, 0.0)),
    ]  # fmt: skip


@pytest.mark.parametrize("row", [("q9", "d1", 1.0), ("q1", "d9", 1.0)])
def test_texts_that_are_not_there(tmp_path: Path, passages: PassageStore, row: tuple[str, str, float]) -> None:
    with pytest.raises(InputError, match=r"'(q9|d9)' of the scores is not"):
        list(groups_of_scores(scores_of(tmp_path / "s", [row]), queries=QUERIES, passages=passages, qrels={}))
