from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import zstandard

from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.lines import BadLines
from distilrank.errors import InputError
from distilrank.records import Group

GROUPS = [
    Group(query="bare", passages=("p", "n1", "n2"), relevance=(1.0, 0.0, 0.0)),
    Group(
        query="full 😀\t\n",
        passages=("p1", "", "n"),
        relevance=(3.0, 1.0, 0.0),
        scores=(1.5, -2.0, 0.0),
        query_id="q1",
        doc_ids=("a", "b", "c"),
    ),
    Group(query="", passages=("n",), relevance=(0.0,), scores=(0.25,)),
    Group(query="positives only", passages=("p",), relevance=(1.0,)),
]


def write(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "groups.jsonl").write_bytes("".join(f"{line}\n" for line in lines).encode())
    return tmp_path / "groups.jsonl"


def line_of(**changes: object) -> str:
    record = {"query": "q", "pos": ["p"], "neg": ["n", "m"], **changes}
    return json.dumps({key: value for key, value in record.items() if value is not ...})


@pytest.mark.parametrize("packing", ["", ".gz", ".xz", ".zst"])
def test_what_is_written_reads_back_in_any_order(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"groups.jsonl{packing}"
    assert write_groups(GROUPS, path) == 4
    groups = GroupFile(path)
    assert len(groups) == 4
    assert [groups[place] for place in (3, 0, 2, 1, -1)] == [GROUPS[place] for place in (3, 0, 2, 1, 3)]
    assert groups[1:3] == GROUPS[1:3]
    assert list(groups) == GROUPS
    with pytest.raises(IndexError):
        groups[4]


def test_the_keys_are_those_of_flagembedding(tmp_path: Path) -> None:
    write_groups(GROUPS[:2], tmp_path / "g.jsonl")
    first, second = (json.loads(line) for line in (tmp_path / "g.jsonl").read_text(encoding="utf-8").splitlines())
    assert first == {"query": "bare", "pos": ["p"], "neg": ["n1", "n2"]}
    assert second == {
        "query_id": "q1",
        "query": "full 😀\t\n",
        "pos": ["p1", ""],
        "pos_ids": ["a", "b"],
        "pos_scores": [1.5, -2.0],
        "neg": ["n"],
        "neg_ids": ["c"],
        "neg_scores": [0.0],
        "pos_relevance": [3.0, 1.0],
    }


def test_passages_are_sorted_into_positives_and_negatives_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    mixed = Group(
        query="q",
        passages=("n1", "p1", "n2", "p2"),
        relevance=(0.0, 1.0, -1.0, 1.0),
        scores=(1.0, 2.0, 3.0, 4.0),
        doc_ids=("1", "2", "3", "4"),
    )
    write_groups([mixed], tmp_path / "g.jsonl")
    assert GroupFile(tmp_path / "g.jsonl")[0] == Group(
        query="q",
        passages=("p1", "p2", "n1", "n2"),
        relevance=(1.0, 1.0, 0.0, 0.0),
        scores=(2.0, 4.0, 1.0, 3.0),
        doc_ids=("2", "4", "1", "3"),
    )


def test_marks_blank_lines_and_long_lines_do_not_shift_the_places(tmp_path: Path) -> None:
    long = "x" * 200_000
    path = tmp_path / "g.jsonl"
    data = "\ufeff" + line_of(query="a") + "\r\n\r\n \n" + line_of(query=long) + "\n" + line_of(query="c", pos=[long])
    path.write_bytes(data.encode())
    groups = GroupFile(path)
    assert [group.query for group in groups] == ["a", long, "c"]
    assert groups[2].passages == (long, "n", "m")


def test_null_is_the_same_as_absent(tmp_path: Path) -> None:
    path = write(tmp_path, line_of(pos_scores=None, neg_scores=None, query_id=None, pos_ids=None))
    assert GroupFile(path)[0] == Group(query="q", passages=("p", "n", "m"), relevance=(1.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        (line_of(query=...), "'query' is missing"),
        (line_of(pos=...), "'pos' is missing; give it a list of texts, which may be empty"),
        (line_of(neg="n"), "'neg' is str, not a list"),
        (line_of(neg=["n", 1]), "'neg' holds int, not a string"),
        (line_of(pos=[], neg=[]), "has neither 'pos' nor 'neg' passages"),
        (line_of(pos_scores=[1.0]), "has only one of 'pos_scores' and 'neg_scores'"),
        (line_of(pos_scores=[1.0], neg_scores=[1.0]), "'neg_scores' has 1 numbers for 2 passages"),
        (line_of(pos_scores=["1"], neg_scores=[1, 2]), "'pos_scores' holds '1', which is not a number"),
        (line_of(pos_scores=[True], neg_scores=[1, 2]), "'pos_scores' holds True"),
        (line_of(pos_scores=[float("nan")], neg_scores=[1, 2]), "holds NaN"),
        (line_of(pos_relevance=[1, 2]), "'pos_relevance' has 2 numbers for 1 passages"),
        (line_of(pos_ids=["a"]), "'neg_ids' has 0 ids for 2 passages"),
        (line_of(pos_ids=["a"], neg_ids=["b", ""]), "has no 'pos_ids, neg_ids'"),
        (line_of(pos_relevance=[0]), "'pos_relevance' holds 0.0; a positive has more than 0"),
    ],
)
def test_a_bad_group_is_found_when_the_file_is_opened(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, line_of(query="a"), line, line_of(query="c"))
    with pytest.raises(InputError, match=message) as error:
        GroupFile(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    bad = BadLines(allowed=1)
    assert [group.query for group in GroupFile(path, bad=bad)] == ["a", "c"]
    assert [error.line for error in bad.skipped] == [2]


def test_bytes_that_are_not_utf8_are_a_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "g.jsonl"
    path.write_bytes(line_of(query="a").encode() + b'\n{"query": "\xff"}\n')
    with pytest.raises(InputError, match="line 2: is not UTF-8"):
        GroupFile(path)


def test_a_cut_off_packed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.jsonl.zst"
    data = zstandard.ZstdCompressor().compress(b"".join(os.urandom(20).hex().encode() for _ in range(1000)))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut off or damaged"):
        GroupFile(path)


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_a_pickled_and_a_forked_copy_read_the_same(tmp_path: Path, packing: str) -> None:
    many = [Group(query=str(number), passages=("p", "n"), relevance=(1.0, 0.0)) for number in range(500)]
    write_groups(many, tmp_path / f"g.jsonl{packing}")
    groups = GroupFile(tmp_path / f"g.jsonl{packing}")
    copied = pickle.loads(pickle.dumps(groups))
    assert (len(copied), copied[499], copied[0]) == (500, many[499], many[0])
    child = os.fork()
    if not child:
        whole = all(list(groups) == many for _ in range(5))
        os._exit(0 if whole else 1)
    assert all(list(groups) == many for _ in range(5))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
