from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilrank.data.cut_passages import CutSettings, cut_passages
from distilrank.data.folder import RankingFolder
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import write_run
from distilrank.errors import InputError
from distilrank.records import Passage, Qrels, Query, Run
from distilrank.workflows.first_stage import FirstStage, FirstStageSettings, find_candidates, run_files

SPLITS: dict[str, Qrels] = {"train": {"q1": {"a": 1}, "q2": {"b": 1}}, "dev": {"q3": {"c": 1}}}
QUERIES = {f"q{number}": Query(f"q{number}", f"word{number} common") for number in (1, 2, 3)}


@pytest.fixture
def store(tmp_path: Path) -> PassageStore:
    texts = {"a": "word1 common", "b": "word2 common", "c": "word3 common", "d": "nothing"}
    return PassageStore.build((Passage(doc_id, text) for doc_id, text in texts.items()), tmp_path / "p.sqlite")


def written(path: Path, run: Run) -> Path:
    write_run(run, path, tag="t")
    return path


def find(store: PassageStore, *files: Path, depth: int = 100, **options: Any) -> FirstStage:
    return find_candidates(
        queries=QUERIES,
        splits=SPLITS,
        passages=store,
        files=files,
        settings=FirstStageSettings(depth=depth),
        progress=False,
        **options,
    )


def test_without_a_run_bm25_ranks_for_every_split(store: PassageStore) -> None:
    stage = find(store)
    assert stage.tags == {"train": "bm25s-english-k0.9b0.4", "dev": "bm25s-english-k0.9b0.4"}
    assert list(stage.runs) == ["train", "dev"]
    assert list(stage.runs["train"]["q2"]) == ["b", "c", "a"]
    assert list(stage.runs["dev"]) == ["q3"]


def test_a_run_is_used_where_it_ranks_and_bm25_elsewhere(store: PassageStore, tmp_path: Path) -> None:
    file = written(tmp_path / "dense.v2.train.trec.gz", {"q1": {"d": 3.0, "a": 1.0, "b": 2.0}})
    stage = find(store, file, depth=2)
    assert stage.runs["train"] == {"q1": {"d": 3.0, "b": 2.0}, "q2": {}}
    assert stage.tags == {"train": "dense", "dev": "bm25s-english-k0.9b0.4"}
    assert list(stage.runs["dev"]["q3"]) == ["c", "b"]


def test_one_file_may_serve_several_splits(store: PassageStore, tmp_path: Path) -> None:
    file = written(tmp_path / "all.trec", {"q1": {"a": 1.0}, "q3": {"b": 1.0}, "unasked": {"a": 1.0}})
    stage = find(store, file)
    assert stage.runs == {"train": {"q1": {"a": 1.0}, "q2": {}}, "dev": {"q3": {"b": 1.0}}}
    assert stage.tags == {"train": "all", "dev": "all"}


def test_two_runs_of_one_query_are_refused(store: PassageStore, tmp_path: Path) -> None:
    one = written(tmp_path / "one.trec", {"q1": {"a": 1.0}})
    two = written(tmp_path / "two.trec", {"q1": {"b": 1.0}})
    with pytest.raises(InputError, match=r"two\.trec: ranks for query 'q1', and so does .*one\.trec"):
        find(store, one, two)


def test_candidates_that_the_collection_lacks_are_left_out_and_named(store: PassageStore, tmp_path: Path) -> None:
    file = written(tmp_path / "r.trec", {"q1": {"zz": 3.0, "a": 2.0, "yy": 1.0}})
    stage = find(store, file)
    assert stage.absent == ["yy", "zz"]
    assert stage.runs["train"]["q1"] == {"a": 2.0}


def test_a_run_of_documents_becomes_one_of_their_passages(tmp_path: Path) -> None:
    documents = [Passage("long", "w1 w2 w3 w4"), Passage("short", "w5")]
    store = PassageStore.build(cut_passages(documents, CutSettings(window=2, stride=2)), tmp_path / "p.sqlite")
    file = written(tmp_path / "r.trec", {"q1": {"long": 2.0, "short": 1.0, "gone": 0.5}, "q2": {"long#_1": 4.0}})
    stage = find(store, file, documents=True)
    assert stage.runs["train"] == {
        "q1": {"long#_0": 2.0, "long#_1": 2.0, "short#_0": 1.0},
        "q2": {"long#_1": 4.0},
    }
    assert stage.absent == ["gone"]


@pytest.fixture
def folder(tmp_path: Path) -> RankingFolder:
    data = tmp_path / "data"
    for path in ("qrels/train.tsv", "qrels/dev.tsv", "runs/BM25.train.trec", "runs/BM25.dev.trec", "runs/dense.trec"):
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).touch()
    (tmp_path / "mine.trec").touch()
    (tmp_path / "a=b.trec").touch()
    return RankingFolder(data)


def test_runs_are_found_by_file_split_or_retriever(folder: RankingFolder, tmp_path: Path) -> None:
    mine, odd, runs = tmp_path / "mine.trec", tmp_path / "a=b.trec", folder.path / "runs"
    assert run_files(folder, [str(mine)]) == [mine]
    assert run_files(folder, [f"train={mine}", f"dev={mine}"]) == [mine]
    assert run_files(folder, [str(odd)]) == [odd]
    assert run_files(folder, ["BM25"]) == [runs / "BM25.train.trec", runs / "BM25.dev.trec"]
    assert run_files(folder, ["dense"]) == [runs / "dense.trec"]
    assert run_files(folder, []) == []


@pytest.mark.parametrize("name", ["nowhere.trec", "train=nowhere.trec", "tfidf"])
def test_an_unknown_run_is_refused_and_the_known_ones_named(folder: RankingFolder, name: str) -> None:
    with pytest.raises(InputError, match=r"no run .*: BM25, dense"):
        run_files(folder, [name])
