from __future__ import annotations

import os
import pickle
import random
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distilrank.data import passage_store
from distilrank.data.lines import BadLines
from distilrank.data.passage_store import PassageStore
from distilrank.errors import InputError
from distilrank.records import Passage

PASSAGES = [
    Passage("b", "second letter first", "Title"),
    Passage("a", ""),
    Passage("ü 😀", "nul \x00 tab \t line \r\n 😀", "\ufeff"),
    Passage("10", "ten"),
    Passage("9", "nine"),
]


@pytest.fixture
def store(tmp_path: Path) -> PassageStore:
    return PassageStore.build(PASSAGES, tmp_path / "p.sqlite")


def test_it_is_a_mapping_in_insertion_order(store: PassageStore) -> None:
    assert len(store) == 5
    assert list(store) == ["b", "a", "ü 😀", "10", "9"]
    assert list(store.values()) == PASSAGES
    assert dict(store.items()) == {passage.doc_id: passage for passage in PASSAGES}
    assert store["ü 😀"] == PASSAGES[2]
    assert store.get("c") is None
    assert "a" in store
    assert "c" not in store
    with pytest.raises(KeyError, match="'c'"):
        store["c"]
    assert dict(store) == {passage.doc_id: passage for passage in PASSAGES}


def test_ids_are_strings_and_nothing_else(store: PassageStore) -> None:
    assert 10 not in store
    assert "010" not in store
    assert None not in store


def test_positions_count_from_zero(store: PassageStore) -> None:
    assert [store.position(place) for place in range(5)] == PASSAGES
    assert store.position(-1) == PASSAGES[4]
    for place in (5, -6):
        with pytest.raises(IndexError, match="among 5"):
            store.position(place)


def test_get_many_keeps_the_order_asked_for_and_leaves_out_the_unknown(store: PassageStore) -> None:
    assert list(store.get_many(["9", "x", "b", "9"]).items()) == [("9", PASSAGES[4]), ("b", PASSAGES[0])]
    assert store.get_many([]) == {}


def test_get_many_takes_any_number(tmp_path: Path) -> None:
    many = [Passage(str(number), f"text {number}") for number in range(2500)]
    store = PassageStore.build(many, tmp_path / "p.sqlite")
    wanted = [str(number) for number in range(2499, -1, -1)]
    assert list(store.get_many(wanted)) == wanted


def test_iterations_and_reads_do_not_disturb_one_another(store: PassageStore) -> None:
    pairs = [(outer, inner) for outer in store for inner in store if store[inner].doc_id == inner]
    assert len(pairs) == 25


def test_an_empty_store(tmp_path: Path) -> None:
    store = PassageStore.build([], tmp_path / "p.sqlite")
    assert (len(store), list(store), "a" in store) == (0, [], False)


def test_an_opened_store_equals_the_built_one(store: PassageStore) -> None:
    again = PassageStore(store.path)
    assert list(again.items()) == list(store.items())
    assert again.skipped == []


@pytest.mark.parametrize("name", ["p%20q.sqlite", "p?mode=rw.sqlite", "p #1.sqlite", "ü.sqlite"])
def test_odd_file_names_open(tmp_path: Path, name: str) -> None:
    assert len(PassageStore.build(PASSAGES, tmp_path / name)) == 5
    assert os.listdir(tmp_path) == [name]


def test_reading_asks_for_no_lock(store: PassageStore) -> None:
    writer = sqlite3.connect(store.path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert PassageStore(store.path)["b"] == PASSAGES[0]
    writer.close()


def test_a_forked_process_opens_the_file_itself(store: PassageStore) -> None:
    before = store._connection
    child = os.fork()
    if not child:
        os._exit(0 if store._connection is not before and store["b"] == PASSAGES[0] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store._connection is before


def test_a_store_in_a_read_only_folder_opens_without_leaving_anything(store: PassageStore) -> None:
    store.path.chmod(0o444)
    store.path.parent.chmod(0o555)
    try:
        assert PassageStore(store.path)["b"] == PASSAGES[0]
        assert os.listdir(store.path.parent) == ["p.sqlite"]
    finally:
        store.path.parent.chmod(0o755)


def test_a_repeated_id_is_refused_with_both_places_and_nothing_is_left(tmp_path: Path) -> None:
    passages = [*PASSAGES, Passage("a", "again"), Passage("c", "")]
    problem = "corpus.jsonl: doc_id 'a' of passage 6 was used by passage 2; give every passage its own"
    with pytest.raises(InputError, match=problem):
        PassageStore.build(passages, tmp_path / "p.sqlite", source="corpus.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_repeated_ids_may_be_skipped_and_the_first_is_kept(tmp_path: Path) -> None:
    extra = [Passage("a", "again"), Passage("c", "new"), Passage("b", "again"), Passage("a", "again")]
    bad = BadLines(allowed=3)
    store = PassageStore.build([*PASSAGES, *extra], tmp_path / "p.sqlite", bad=bad)
    assert list(store.values()) == [*PASSAGES, Passage("c", "new")]
    assert [store.position(place).doc_id for place in range(6)] == ["b", "a", "ü 😀", "10", "9", "c"]
    assert [str(error).split(" was")[0] for error in bad.skipped] == [
        "doc_id 'a' of passage 6",
        "doc_id 'b' of passage 8",
        "doc_id 'a' of passage 9",
    ]
    with pytest.raises(InputError, match=r"doc_id 'a' of passage 9 .*after 2 bad lines"):
        PassageStore.build([*PASSAGES, *extra], tmp_path / "q.sqlite", bad=BadLines(allowed=2))


def test_a_store_remembers_the_lines_that_its_own_building_skipped(tmp_path: Path) -> None:
    bad = BadLines(allowed=3)
    bad.report(InputError("of another file"))

    def passages() -> Iterator[Passage]:
        yield PASSAGES[0]
        bad.report(InputError("is bad", path="corpus.jsonl", line=2))
        yield PASSAGES[0]

    PassageStore.build(passages(), tmp_path / "p.sqlite", bad=bad)
    assert [str(error).split(" was")[0] for error in PassageStore(tmp_path / "p.sqlite").skipped] == [
        "corpus.jsonl, line 2: is bad",
        "doc_id 'b' of passage 2",
    ]


def test_a_failing_source_leaves_the_old_store(store: PassageStore) -> None:
    def passages() -> Iterator[Passage]:
        yield Passage("x", "")
        raise InputError("is bad", path="corpus.jsonl", line=2)

    with pytest.raises(InputError, match=r"corpus\.jsonl, line 2: is bad"):
        PassageStore.build(passages(), store.path)
    assert os.listdir(store.path.parent) == ["p.sqlite"]
    assert len(PassageStore(store.path)) == 5


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passage_store, "_BATCH", 2)
    told: list[int] = []
    PassageStore.build(PASSAGES, tmp_path / "p.sqlite", progress=told.append)
    assert told == [2, 4, 5]


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such passage store"):
        PassageStore(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("not a database at all, and long enough to be read as one" * 20)
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE passages (position INTEGER)")
    other.close()
    for name in ("text.sqlite", "other.sqlite"):
        with pytest.raises(InputError, match="is not a passage store of version 1; remove it"):
            PassageStore(tmp_path / name)


def test_an_older_version_is_refused(store: PassageStore) -> None:
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InputError, match="is not a passage store of version 1"):
        PassageStore(store.path)


def test_a_pickled_copy_opens_the_file_itself(store: PassageStore) -> None:
    copied = pickle.loads(pickle.dumps(store))
    assert (len(copied), copied["b"], list(copied)) == (5, PASSAGES[0], list(store))


def test_forked_processes_and_threads_read_the_same(tmp_path: Path) -> None:
    many = [Passage(str(number), f"text {number}" * 20) for number in range(3000)]
    store = PassageStore.build(many, tmp_path / "p.sqlite")

    def all_right(seed: int) -> bool:
        draw = random.Random(seed)
        return all(store[many[place].doc_id] == many[place] for place in draw.choices(range(3000), k=1500))

    child = os.fork()
    if not child:
        os._exit(0 if all_right(1) else 1)
    found: list[bool] = []
    threads = [threading.Thread(target=lambda seed=seed: found.append(all_right(seed))) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
