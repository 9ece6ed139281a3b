from __future__ import annotations

import os
from pathlib import Path

import pytest

from distilrank.data import beir, trec
from distilrank.data.folder import RankingFolder, build_store, default_cache
from distilrank.data.lines import BadLines
from distilrank.data.passage_store import PassageStore
from distilrank.errors import InputError
from distilrank.records import Passage, Query

PASSAGES = [Passage("d1", "one", "First"), Passage("d2", "two")]
QUERIES = {"q1": Query("q1", "what"), "q2": Query("q2", "why")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    beir.write_corpus(PASSAGES, path / "corpus.jsonl.gz")
    beir.write_queries(QUERIES.values(), path / "queries.jsonl")
    for split in ("test", "train", "extra", "dev"):
        beir.write_qrels({"q1": {"d1": 1}}, path / "qrels" / f"{split}.tsv")
    return path


def opened(folder: Path, **options: object) -> RankingFolder:
    return RankingFolder(folder, cache=folder.parent / "cache", **options)  # type: ignore[arg-type]


def test_a_beir_folder(folder: Path) -> None:
    data = opened(folder)
    assert data.queries == QUERIES
    assert list(data.passages.values()) == PASSAGES
    assert data.splits == ["train", "dev", "test", "extra"]
    assert data.qrels("dev") == {"q1": {"d1": 1}}
    assert data.runs("test") == {}


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
def test_every_file_may_be_packed(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "data"
    beir.write_corpus(PASSAGES, path / f"corpus.jsonl{packing}")
    beir.write_queries(QUERIES.values(), path / f"queries.jsonl{packing}")
    beir.write_qrels({"q1": {"d1": 1}}, path / "qrels" / f"test.tsv{packing}")
    trec.write_run({"q1": {"d1": 1.0}}, path / "runs" / f"BM25.test.trec{packing}", tag="t")
    data = opened(path)
    assert (data.queries, list(data.passages.values())) == (QUERIES, PASSAGES)
    assert (data.splits, data.qrels("test")) == (["test"], {"q1": {"d1": 1}})
    assert trec.read_run(data.runs("test")["BM25"]) == {"q1": {"d1": 1.0}}


def test_the_index_is_built_once_and_anew_when_the_collection_changes(folder: Path) -> None:
    told: list[int] = []
    first = opened(folder, progress=told.append).passages
    assert opened(folder, progress=told.append).passages.path == first.path
    assert told == [2]
    beir.write_corpus([*PASSAGES, Passage("d3", "three")], folder / "corpus.jsonl.gz")
    assert len(opened(folder, progress=told.append).passages) == 3
    assert told == [2, 3]
    assert len(first) == 2


def test_a_collection_changed_without_changing_its_size_is_indexed_anew(folder: Path) -> None:
    (folder / "corpus.jsonl.gz").unlink()
    for text, changed in (("one", 1_000_000_000), ("two", 1_000_000_001)):
        beir.write_corpus([Passage("d1", text)], folder / "corpus.jsonl")
        os.utime(folder / "corpus.jsonl", (changed, changed))
        assert opened(folder).passages["d1"].text == text


def test_a_collection_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / "corpus.jsonl.gz").unlink()
    with pytest.raises(InputError, match=r"has no passages; expected corpus\.jsonl \(BEIR\) or collection\.tsv"):
        opened(folder).passages  # noqa: B018
    elsewhere = tmp_path / "passages.tsv"
    elsewhere.write_text("d1\t12\tFirst\tone\nd2\t12\t\ttwo\n")
    assert list(opened(folder, collection=elsewhere).passages.values()) == PASSAGES
    with pytest.raises(InputError, match=r"gone\.tsv: cannot be read"):
        opened(folder, collection=tmp_path / "gone.tsv").passages  # noqa: B018


def test_a_prepared_folder_is_used_as_it_is(folder: Path) -> None:
    (folder / "corpus.jsonl.gz").unlink()
    PassageStore.build(PASSAGES, folder / "passages.sqlite")
    trec.write_run({"q1": {"d1": 1.0}}, folder / "runs" / "dev.trec.gz", tag="bm25s")
    data = opened(folder)
    assert list(data.passages.values()) == PASSAGES
    assert data.runs("dev") == {"first-stage": folder / "runs" / "dev.trec.gz"}
    assert data.runs("test") == {}
    assert not (folder.parent / "cache").exists()


def test_an_msmarco_folder(tmp_path: Path) -> None:
    files = {
        "collection.tsv": "d1\tone\nd2\ttwo\n",
        "queries.dev.tsv": "q1\twhat\n",
        "queries.train.tsv": "q2\twhy\n",
        "qrels.dev.tsv": "q1\t0\td1\t1\n",
        "qrels.train.tsv": "q2 0 d2 1\n",
    }
    path = tmp_path / "data"
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    data = opened(path)
    assert data.queries == QUERIES
    assert list(data.passages.values()) == [Passage("d1", "one"), Passage("d2", "two")]
    assert data.splits == ["train", "dev"]
    assert (data.qrels("dev"), data.qrels("train")) == ({"q1": {"d1": 1}}, {"q2": {"d2": 1}})


def test_runs_are_found_by_name_and_split(folder: Path) -> None:
    names = ["BM25.dev.trec.gz", "BM25.trec.gz", "v1.5.trec", "v1.5.train.run", "test.run", "notes.txt", "x.extra.trec"]
    (folder / "runs").mkdir()
    for name in names:
        (folder / "runs" / name).write_text("")
    data = opened(folder)

    def found(split: str) -> dict[str, str]:
        return {name: file.name for name, file in data.runs(split).items()}

    assert found("dev") == {"BM25": "BM25.dev.trec.gz", "v1.5": "v1.5.trec"}
    assert found("train") == {"BM25": "BM25.trec.gz", "v1.5": "v1.5.train.run"}
    assert found("test") == {"BM25": "BM25.trec.gz", "first-stage": "test.run", "v1.5": "v1.5.trec"}
    assert found("extra") == {"BM25": "BM25.trec.gz", "v1.5": "v1.5.trec", "x": "x.extra.trec"}


def test_a_split_that_is_not_there_names_those_that_are(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'tst' \(it has: train, dev, test, extra\); did you mean 'test'\?"):
        opened(folder).qrels("tst")


def test_missing_folders_and_queries_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder; check the path"):
        RankingFolder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no queries; expected queries\.jsonl"):
        opened(tmp_path / "empty").queries  # noqa: B018


def test_skipped_lines_of_an_index_count_again_when_it_is_used_again(folder: Path) -> None:
    (folder / "corpus.jsonl.gz").unlink()
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "one"}\nbroken\n{"_id": "d1", "text": "two"}\n')
    for _ in range(2):
        bad = BadLines(allowed=2)
        assert len(opened(folder, bad=bad).passages) == 1
        assert ["line 2: is not JSON" in str(error) for error in bad.skipped] == [True, False]
        assert "corpus.jsonl: doc_id 'd1' of passage 2" in str(bad.skipped[1])
    with pytest.raises(InputError, match="line 2: is not JSON"):
        opened(folder).passages  # noqa: B018


def test_a_bad_collection_leaves_no_index(folder: Path) -> None:
    beir.write_corpus([*PASSAGES, PASSAGES[0]], folder / "corpus.jsonl.gz")
    with pytest.raises(InputError, match="doc_id 'd1' of passage 3 was used by passage 1"):
        opened(folder).passages  # noqa: B018
    assert os.listdir(folder.parent / "cache") == []


def test_a_collection_of_unknown_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "passages.parquet").write_text("")
    with pytest.raises(InputError, match=r"is neither \.jsonl \(BEIR\) nor \.tsv \(MS MARCO\)"):
        build_store(tmp_path / "passages.parquet", tmp_path / "p.sqlite")


def test_the_cache_follows_the_users_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "distilrank"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_cache() == tmp_path / "home" / ".cache" / "distilrank"


@pytest.mark.parametrize(
    ("name", "queries", "passages", "ids", "judged"),
    [
        ("nfcorpus", 3237, 3633, ("MED-10", "MED-335", "MED-961"), {"train": 2590, "dev": 324, "test": 323}),
        ("trec_dl19", 43, 19383, ("1000485", "1005338", "999644"), {"test": 43}),
        ("cranfield", 225, 1400, ("1", "10", "1400"), {"test": 225}),
        ("vaswani_npl", 93, 11429, ("1", "10", "11429"), {"test": 93}),
        ("cisi", 112, 1460, ("1", "10", "1460"), {"test": 76}),
        ("trec_dl22", 76, 16660, None, {}),
    ],
)
def test_real_folders(
    shared_data: Path,
    tmp_path: Path,
    name: str,
    queries: int,
    passages: int,
    ids: tuple[str, str, str] | None,
    judged: dict[str, int],
) -> None:
    data = RankingFolder(shared_data / name, cache=tmp_path)
    assert (len(data.queries), len(data.passages)) == (queries, passages)
    if ids is not None:
        assert tuple(data.passages.position(place).doc_id for place in (0, 9, -1)) == ids
    assert {split: len(data.qrels(split)) for split in data.splits} == judged
    assert all(doc_id in data.passages for run in data.runs("test").values() for doc_id in _first_documents(run))


def _first_documents(run: Path) -> list[str]:
    return [trec.ranking(scores)[0] for scores in trec.read_run(run).values()]


@pytest.mark.slow
def test_real_openqa_with_its_passages_in_another_folder(shared_data: Path, tmp_path: Path) -> None:
    collection = shared_data / "wikipedia_2015_26k" / "passages.tsv.xz"
    data = RankingFolder(shared_data / "openqa_wiki", collection=collection, cache=tmp_path)
    assert len(data.queries) == 21596
    assert {split: len(data.qrels(split)) for split in data.splits} == {"train": 20596, "dev": 1000}
    assert len(data.passages) == 695_979
    assert [data.passages.position(place).doc_id for place in (0, 9, -1)] == ["0", "9", "695978"]
    assert data.passages["0"].title == "Anarchism"
    run = trec.read_run(data.runs("dev")["BM25"])
    assert sum(map(len, run.values())) == 50_000
    assert all(doc_id in data.passages for scores in run.values() for doc_id in scores)
