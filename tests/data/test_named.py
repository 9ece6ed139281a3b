"""Datasets by name, against the datasets library with local folders and against a stand-in for ir_datasets."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from distilrank.data import trec
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.named import is_named, open_examples, open_groups, open_named, open_ranking
from distilrank.errors import InputError, MissingExtraError, OfflineError
from distilrank.records import Example, Group, Passage, Query


class Document(NamedTuple):
    doc_id: str
    title: str
    text: str


class WebDocument(NamedTuple):
    doc_id: str
    url: str
    title: str
    body: str


class OddDocument(NamedTuple):
    doc_id: str
    abstract: str

    def default_text(self) -> str:
        return self.abstract


class Topic(NamedTuple):
    query_id: str
    title: str

    def default_text(self) -> str:
        return self.title


class Judgement(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int


class Scored(NamedTuple):
    query_id: str
    doc_id: str
    score: float


class Parts:
    """What ir_datasets gives: has_x() and x_iter() for each kind of part."""

    def __init__(self, **parts: list[Any]) -> None:
        self.parts = parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("has_"):
            return lambda: name.removeprefix("has_") in self.parts
        return lambda: iter(self.parts[name.removesuffix("_iter")])


class Unfetched(Parts):
    def docs_iter(self) -> Iterator[Any]:
        socket.getaddrinfo("example.invalid", 443)
        yield None


class Broken(Parts):
    def docs_iter(self) -> Iterator[Any]:
        raise RuntimeError("the server is gone\nand more")


DOCS = [Document("d1", "T", "one"), WebDocument("d2", "http://x", "", "two"), OddDocument("d3", "three")]
TOPICS = [Topic("q1", "what"), Topic("q2", "why")]


@pytest.fixture
def ir_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    test = Parts(docs=DOCS, queries=TOPICS[1:], qrels=[Judgement("q2", "d1", 2)], scoreddocs=[Scored("q2", "d3", 1.5)])
    registry = {
        "mine": Parts(docs=DOCS),
        "mine/train": Parts(docs=DOCS, queries=TOPICS[:1], qrels=[Judgement("q1", "d2", 1)]),
        "mine/test": test,
        "theirs/judged": test,
        "repeated": Parts(docs=[*DOCS, DOCS[0]]),
        "far": Unfetched(docs=[]),
        "broken": Broken(docs=[]),
    }
    module = ModuleType("ir_datasets")
    module.load = lambda name: registry[name]  # type: ignore[attr-defined]
    module.registry = registry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ir_datasets", module)


@pytest.mark.usefixtures("ir_datasets")
def test_a_collection_of_ir_datasets_looks_like_a_folder(tmp_path: Path) -> None:
    data = open_ranking("ir_datasets:mine", cache=tmp_path)
    assert data.queries == {"q1": Query("q1", "what"), "q2": Query("q2", "why")}
    assert list(data.passages.values()) == [Passage("d1", "one", "T"), Passage("d2", "two"), Passage("d3", "three")]
    assert data.splits == ["train", "test"]
    assert (data.qrels("train"), data.qrels("test")) == ({"q1": {"d2": 1}}, {"q2": {"d1": 2}})
    assert data.runs("train") == {}
    assert trec.read_run(data.runs("test")["first-stage"]) == {"q2": {"d3": 1.5}}
    with pytest.raises(InputError, match=r"no judgements for split 'dev' \(it has: train, test\)"):
        data.qrels("dev")


@pytest.mark.usefixtures("ir_datasets")
def test_an_id_with_judgements_of_its_own_has_one_split(tmp_path: Path) -> None:
    assert open_named("ir_datasets:theirs/judged", cache=tmp_path).splits == ["test"]
    assert open_named("ir_datasets:mine/train", cache=tmp_path).splits == ["train"]


@pytest.mark.usefixtures("ir_datasets")
def test_passages_are_indexed_once(tmp_path: Path) -> None:
    told: list[int] = []
    for _ in range(2):
        assert len(open_named("ir_datasets:mine", cache=tmp_path, progress=told.append).passages) == 3
    assert told == [3]
    with pytest.raises(InputError, match="ir_datasets:repeated: doc_id 'd1' of passage 4 was used by passage 1"):
        open_named("ir_datasets:repeated", cache=tmp_path).passages  # noqa: B018


@pytest.mark.usefixtures("ir_datasets")
def test_what_ir_datasets_does_not_know_or_cannot_fetch(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no collection 'mien' \(ir-datasets\.com lists the names\); did you mean 'mine'"
    ):
        open_named("ir_datasets:mien")
    with pytest.raises(OfflineError, match=r"example\.invalid was to be asked for data, which --offline forbids"):
        open_named("ir_datasets:far", cache=tmp_path, offline=True).passages  # noqa: B018
    with pytest.raises(InputError, match="make groups of it with: distilrank prepare"):
        open_groups("ir_datasets:mine")
    with pytest.raises(InputError, match="is a ranking collection, not examples to classify"):
        open_examples("ir_datasets:mine")
    with pytest.raises(OfflineError, match="ir_datasets:broken is not in the cache, and --offline forbids"):
        open_named("ir_datasets:broken", cache=tmp_path, offline=True).passages  # noqa: B018
    with pytest.raises(OfflineError, match=r"ir_datasets:broken could not be fetched or read \(the server is gone\)"):
        open_named("ir_datasets:broken", cache=tmp_path).passages  # noqa: B018
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "library"), [("ir_datasets:mine", "ir_datasets"), ("hf:a/b", "datasets")])
def test_without_the_library_its_extra_is_named(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"{library} is needed .*: pip install 'distilrank\[named\]'"):
        open_named(name)


def test_names_and_paths_are_told_apart(tmp_path: Path) -> None:
    assert is_named("hf:a/b")
    assert is_named("ir_datasets:a/b")
    assert not is_named("data/hf")
    with pytest.raises(InputError, match="write ir_datasets:ID or hf:OWNER/NAME"):
        open_named("a/b")
    with pytest.raises(InputError, match="brings its own passages"):
        open_ranking("hf:a/b", collection=tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        open_ranking(tmp_path / "none")
    group = Group(query="q", passages=("p",), relevance=(1.0,))
    write_groups([group], tmp_path / "g.jsonl")
    assert isinstance(open_groups(tmp_path / "g.jsonl"), GroupFile)
    (tmp_path / "a.tsv").write_text("text\tlabel\na\t1\n")
    assert open_examples(tmp_path / "a.tsv").examples == [Example(text="a", label=1)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for folders that the datasets library reads as if they were on the hub."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()
    return tmp_path / "hub"


def publish(folder: Path, configs: dict[str, dict[str, list[dict[str, Any]]]], features: str = "") -> str:
    folder.mkdir(parents=True)
    lines = ["---", features, "configs:"] if features else ["---", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            name = f"{config}-{split}.jsonl"
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
            lines += [f"  - split: {split}", f"    path: {name}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return f"hf:{folder}"


CORPUS = [{"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "title": "", "text": "two"}]
QUERIES = [{"_id": "q1", "text": "what"}]
JUDGED = [{"query-id": "q1", "corpus-id": "d2", "score": 1}]


@pytest.mark.parametrize("apart", [False, True])
def test_a_collection_of_the_hub_looks_like_a_folder(hub: Path, tmp_path: Path, apart: bool) -> None:
    texts = {"corpus": {"corpus": CORPUS}, "queries": {"queries": QUERIES}}
    qrels = {"dev": JUDGED, "test": JUDGED}
    if apart:
        publish(hub / "set-qrels", {"default": qrels})
    else:
        texts["default"] = qrels
    data = open_ranking(publish(hub / "set", texts), cache=tmp_path / "cache", offline=True)
    assert data.queries == {"q1": Query("q1", "what")}
    assert list(data.passages.values()) == [Passage("d1", "one", "T"), Passage("d2", "two")]
    assert data.splits == ["dev", "test"]
    assert data.qrels("dev") == {"q1": {"d2": 1}}
    assert data.runs("dev") == {}
    with pytest.raises(InputError, match=r"no judgements for split 'train' \(it has: dev, test\)"):
        data.qrels("train")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"q": "a", "p": "b"}, Group(query="a", passages=("b",), relevance=(1.0,))),
        ({"q": "a", "p": "b", "score": 0.5}, Group(query="a", passages=("b",), relevance=(0.5,))),
        ({"label": 1, "q": "a", "p": "b"}, Group(query="a", passages=("b",), relevance=(1.0,))),
        ({"q": "a", "p": "b", "n": "c"}, Group(query="a", passages=("b", "c"), relevance=(1.0, 0.0))),
        (
            {"q": "a", "p": "b", "n": "c", "scores": [2, -1]},
            Group(query="a", passages=("b", "c"), relevance=(1.0, 0.0), scores=(2.0, -1.0)),
        ),
        ({"q": "a", "docs": ["b", "c"], "labels": [0, 2]}, Group(query="a", passages=("b", "c"), relevance=(0.0, 2.0))),
    ],
)
def test_rows_of_the_hub_are_groups(hub: Path, row: dict[str, Any], expected: Group) -> None:
    groups = open_groups(publish(hub / "set", {"default": {"train": [row, row]}}), offline=True)
    assert (len(groups), groups[0], groups[-1], groups[:]) == (2, expected, expected, [expected] * 2)
    with pytest.raises(IndexError):
        groups[2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"q": "a", "p": "b", "n": "c", "score": 1.0}, "line 1: has one number for 2 passages"),
        ({"q": "a", "docs": ["b", "c"], "labels": [1]}, "line 1: has 1 numbers for 2 passages"),
        ({"q": "a", "docs": ["b", "c"]}, "line 1: has a list of passages without a list of labels"),
        ({"q": 1, "p": "b"}, "line 1: is not a query and passages"),
        ({"q": "a", "label": 1}, "has the columns q, label where a query and passages are expected"),
    ],
)
def test_rows_that_are_no_groups_are_refused(hub: Path, row: dict[str, Any], message: str) -> None:
    name = publish(hub / "set", {"default": {"train": [row]}})
    with pytest.raises(InputError, match=message):
        open_groups(name, offline=True)[0]


def test_examples_of_the_hub_keep_the_names_of_their_classes(hub: Path) -> None:
    features = (
        "dataset_info:\n- config_name: rte\n  features:\n  - name: sentence1\n    dtype: string\n  - name: sentence2\n"
        "    dtype: string\n  - name: label\n    dtype:\n      class_label:\n        names:\n"
        "          '0': entailment\n          '1': not_entailment\n"
    )
    rows = [{"sentence1": "a", "sentence2": "b", "label": 1}, {"sentence1": "c", "sentence2": "d", "label": 1}]
    name = publish(hub / "glue", {"rte": {"validation": rows}}, features)
    data = open_examples(f"{name}:rte", split="validation", offline=True)
    assert data.label_names == ("entailment", "not_entailment")
    assert data.examples == [Example(text="a", text_pair="b", label=1), Example(text="c", text_pair="d", label=1)]


@pytest.mark.parametrize("offline", [False, True])
def test_the_libraries_of_the_hub_are_told_to_use_their_cache(monkeypatch: pytest.MonkeyPatch, offline: bool) -> None:
    datasets = pytest.importorskip("datasets")
    constants = pytest.importorskip("huggingface_hub").constants
    for settings in (datasets.config, constants):
        monkeypatch.setattr(settings, "HF_HUB_OFFLINE", False)
    told: list[bool] = []

    def load(*_: object, **__: object) -> None:
        told.extend((datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE))
        raise ConnectionError("no answer")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(
        OfflineError, match="hf:a/b is not in the cache" if offline else r"hf:a/b could not .*no answer"
    ):
        open_groups("hf:a/b", offline=offline)
    assert told == [offline, offline]
    assert not datasets.config.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


def test_hub_datasets_that_are_not_there_are_said(hub: Path) -> None:
    config = pytest.importorskip("datasets").config
    before = config.HF_HUB_OFFLINE
    with pytest.raises(OfflineError, match="hf:nobody/nothing is not in the cache, and --offline forbids to fetch it"):
        open_groups("hf:nobody/nothing", offline=True)
    assert before == config.HF_HUB_OFFLINE
    name = publish(hub / "set", {"default": {"train": [{"q": "a", "p": "b"}]}})
    with pytest.raises(InputError, match=r"cannot be read: .*split"):
        open_groups(name, split="tset", offline=True)
