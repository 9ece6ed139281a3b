from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.files import file_hash
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.pairs import GroupPairs, PairFile, Pairs, RunPairs
from distilrank.data.passage_store import PassageStore
from distilrank.errors import InputError
from distilrank.records import Group, Passage, Query

GROUPS = [
    Group(query="q one", passages=("a", "b", "c"), relevance=(1, 0, 0), query_id="q1", doc_ids=("d1", "d2", "d3")),
    Group(query="q two", passages=("d",), relevance=(1,), query_id="q2", doc_ids=("d4",)),
    Group(query="q three", passages=("e", "f"), relevance=(1, 0), query_id="q3", doc_ids=("d5", "d1")),
]


def rows(pairs: Pairs, start: int = 0, stop: int | None = None) -> list[tuple[str, str, str, str]]:
    part = pairs.part(start, len(pairs) if stop is None else stop)
    return [
        (query_id, doc_id, *texts)
        for query_id, doc_id, texts in zip(part.query_ids, part.doc_ids, part.pairs, strict=True)
    ]


def group_pairs(path: Path, groups: Iterable[Group] = GROUPS, **options: Any) -> GroupPairs:
    write_groups(groups, path)
    return GroupPairs(GroupFile(path), **options)


def test_the_rows_of_groups_wherever_a_part_begins_and_ends(tmp_path: Path) -> None:
    pairs = group_pairs(tmp_path / "groups.jsonl")
    whole = rows(pairs)
    assert len(pairs) == 6
    assert whole == [
        ("q1", "d1", "q one", "a"), ("q1", "d2", "q one", "b"), ("q1", "d3", "q one", "c"),
        ("q2", "d4", "q two", "d"), ("q3", "d5", "q three", "e"), ("q3", "d1", "q three", "f"),
    ]  # fmt: skip
    for start in range(7):
        for stop in range(start, 7):
            assert rows(pickle.loads(pickle.dumps(pairs)), start, stop) == whole[start:stop]
    assert pairs.identity == {
        "form": "groups", "sha256": file_hash(tmp_path / "groups.jsonl"), "limit": None, "ids": "given",
    }  # fmt: skip


def test_the_first_groups_only(tmp_path: Path) -> None:
    pairs = group_pairs(tmp_path / "groups.jsonl", limit=2)
    assert [doc_id for _, doc_id, *_ in rows(pairs)] == ["d1", "d2", "d3", "d4"]
    assert pairs.identity["limit"] == 2
    assert len(group_pairs(tmp_path / "groups.jsonl", limit=9)) == 6


def test_positions_stand_for_ids_when_one_group_has_none(tmp_path: Path) -> None:
    nameless = [GROUPS[0], Group(query="q", passages=("x", "y"), relevance=(1, 0), query_id="q9")]
    pairs = group_pairs(tmp_path / "groups.jsonl", nameless)
    assert [row[:2] for row in rows(pairs)] == [("0", "0"), ("0", "1"), ("0", "2"), ("1", "0"), ("1", "1")]
    assert pairs.identity["ids"] == "positions"


RUN = "q1 Q0 d1 1 3.5 bm25\nq1 Q0 d2 2 3.5 bm25\nq1 Q0 d3 3 1 bm25\nq3 Q0 d1 1 2 bm25\nq2 Q0 d3 1 2 bm25\n"
QUERIES = {f"q{i}": Query(f"q{i}", f"query {i}") for i in (1, 2, 3)}


@pytest.fixture
def passages(tmp_path: Path) -> PassageStore:
    return PassageStore.build((Passage(f"d{i}", f"text {i}", "title") for i in (1, 2, 3)), tmp_path / "p.sqlite")


def run_pairs(tmp_path: Path, passages: PassageStore, text: str = RUN, **options: Any) -> RunPairs:
    (tmp_path / "run.trec").write_text(text, encoding="utf-8")
    return RunPairs(tmp_path / "run.trec", queries=QUERIES, passages=passages, texts={"queries": "hash"}, **options)


def test_the_candidates_of_a_run_in_the_order_of_its_lines(tmp_path: Path, passages: PassageStore) -> None:
    pairs = run_pairs(tmp_path, passages)
    assert rows(pairs) == [
        (query_id, doc_id, f"query {query_id[1]}", f"title text {doc_id[1]}")
        for query_id, doc_id in (("q1", "d1"), ("q1", "d2"), ("q1", "d3"), ("q3", "d1"), ("q2", "d3"))
    ]
    assert rows(pickle.loads(pickle.dumps(pairs)), 2, 4) == rows(pairs)[2:4]
    assert pairs.identity["queries"] == "hash"


def test_the_best_of_each_query_and_the_first_queries(tmp_path: Path, passages: PassageStore) -> None:
    assert [row[:2] for row in rows(run_pairs(tmp_path, passages, depth=2, limit=2))] == [
        ("q1", "d1"), ("q1", "d2"), ("q3", "d1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "sentence", "options"),
    [
        ("q1 Q0 d1 1", "line 6: has 4 columns", {}),
        ("q1 Q0 d2 9 1 x", "line 6: the lines of query 'q1' do not stand together", {}),
        ("q2 Q0 d3 2 1 x", "line 6: document 'd3' is ranked twice for query 'q2'", {}),
        ("q2 Q0 d1 2 many x", "line 6: score 'many' is not a number", {}),
        ("q2 Q0 d9 2 1 x", "line 6: document 'd9' is not in the collection", {}),
        ("q9 Q0 d1 2 1 x", "line 6: query 'q9' is not among the queries", {}),
        ("q2 Q0 d1 2 7 x", "line 6: the score rises within query 'q2'", {"depth": 1}),
    ],
)
def test_a_bad_line_of_a_run(
    tmp_path: Path, passages: PassageStore, line: str, sentence: str, options: dict[str, int]
) -> None:
    with pytest.raises(InputError, match=sentence):
        run_pairs(tmp_path, passages, f"{RUN}{line}\n", **options)


PAIR_FILES = {
    "two.tsv": ("q\u00e9 one\ta b\nq two\tc\n", [("0", "0"), ("1", "0")], "positions"),
    "four.tsv": ("q1\td1\tq\u00e9 one\ta b\nq2\td2\tq two\tc\n", [("q1", "d1"), ("q2", "d2")], "given"),
    "bare.jsonl": (
        '{"query": "q\u00e9 one", "passage": "a b"}\n\n{"query": "q two", "passage": "c"}\n',
        [("0", "0"), ("1", "0")],
        "positions",
    ),
    "named.jsonl": (
        '{"query_id": "q1", "doc_id": 7, "query": "q\u00e9 one", "passage": "a b"}\n'
        '{"query_id": 2, "doc_id": "d2", "query": "q two", "passage": "c"}',
        [("q1", "7"), ("2", "d2")],
        "given",
    ),
}


@pytest.mark.parametrize("name", PAIR_FILES)
def test_plain_pairs(tmp_path: Path, name: str) -> None:
    text, ids, kind = PAIR_FILES[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    pairs = PairFile(tmp_path / name)
    assert rows(pairs) == [(*ids[0], "q\u00e9 one", "a b"), (*ids[1], "q two", "c")]
    assert rows(pairs, 1, 5) == rows(pairs)[1:]
    assert pairs.identity["ids"] == kind
    assert len(PairFile(tmp_path / name, limit=1)) == 1


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.tsv", "q\tp\nq\tp\tx\n", "line 2: has 3 tab-separated columns"),
        ("x.tsv", "q\tp\nq1\td1\tq\tp\n", "line 2: has ids, but the first line has none"),
        ("x.tsv", "q1\td1\tq\tp\nq\tp\n", "line 2: has no ids, but the first line has"),
        ("x.jsonl", json.dumps({"query": "q"}), "line 1: 'passage' is missing"),
        ("x.jsonl", json.dumps({"query": "q", "passage": "p", "query_id": "1"}), "line 1: has no 'doc_id'"),
        ("x.jsonl", "\n", "holds no pairs"),
    ],
)
def test_bad_pairs(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        PairFile(tmp_path / name)
