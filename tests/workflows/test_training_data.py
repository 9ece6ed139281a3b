from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.data.beir import write_corpus, write_qrels, write_queries
from distilrank.data.groups import write_groups
from distilrank.data.trec import write_run
from distilrank.errors import InputError
from distilrank.records import Group, Passage, Query
from distilrank.workflows.training_data import (
    DevSettings,
    LabelledData,
    RankingData,
    dev_candidates,
    is_labelled,
)

GROUP = Group(query="red", passages=("red dog", "sea"), relevance=(1.0, 0.0), query_id="q1", doc_ids=("d1", "d2"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three dev queries with four candidates each; the longest passage is the relevant one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "prepared"
    write_corpus((Passage(f"d{i}", "x" * (i + 1)) for i in range(4)), path / "corpus.jsonl")
    write_queries([Query(f"q{i}", "red") for i in (1, 2, 10)], path / "queries.jsonl")
    write_qrels({f"q{i}": {"d3": 1} for i in (1, 2, 10)}, path / "qrels" / "dev.tsv")
    run = {f"q{i}": {f"d{j}": 9.0 - j for j in range(4)} for i in (10, 2, 1)}
    write_run(run, path / "runs" / "dev.trec.gz", tag="bm25")
    write_groups([GROUP], path / "groups" / "train.jsonl")
    return path


class Length:
    """Scores a passage by its length."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return np.array([len(passage) for _, passage in pairs], np.float32)


def test_a_prepared_folder_has_groups_and_a_judge(folder: Path) -> None:
    data = RankingData.open(folder)
    assert list(data.groups) == [GROUP]
    assert data.groups_file == folder / "groups" / "train.jsonl"
    judge = data.judge(Length(), DevSettings())
    assert judge is not None
    assert judge() == {"nDCG@10": 1.0, "RR@10": 1.0}
    # The relevant passage is the first stage's fourth.
    judge = data.judge(Length(), DevSettings(depth=3, measures=("RR@10",)))
    assert judge is not None
    assert judge() == {"RR@10": 0.0}


def test_dev_queries_are_the_first_by_identifier(folder: Path) -> None:
    data = RankingData.open(folder)
    assert data.folder is not None
    qrels, run = dev_candidates(data.folder, DevSettings(queries=2, depth=2))
    assert qrels == {"q1": {"d3": 1}, "q10": {"d3": 1}}
    assert {query_id: list(scores) for query_id, scores in run.items()} == {"q1": ["d0", "d1"], "q10": ["d0", "d1"]}


def test_without_a_dev_split_nothing_is_judged(folder: Path) -> None:
    assert RankingData.open(folder).judge(Length(), DevSettings(split="test")) is None
    assert RankingData.open(folder / "groups" / "train.jsonl").judge(Length(), DevSettings()) is None


def test_other_groups_may_be_given(folder: Path, tmp_path: Path) -> None:
    write_groups([GROUP, GROUP], tmp_path / "other.jsonl")
    for path in (folder, folder / "groups" / "train.jsonl"):
        data = RankingData.open(path, groups=tmp_path / "other.jsonl")
        assert len(data.groups) == 2
        assert data.identity != RankingData.open(folder).identity
    with pytest.raises(InputError, match=r"none\.jsonl: there is no such file"):
        RankingData.open(folder, groups=tmp_path / "none.jsonl")


def test_missing_parts_are_named(folder: Path) -> None:
    (folder / "runs" / "dev.trec.gz").unlink()
    with pytest.raises(InputError, match="no first-stage run of split 'dev'"):
        RankingData.open(folder).judge(Length(), DevSettings())
    (folder / "groups" / "train.jsonl").unlink()
    with pytest.raises(InputError, match=r"holds no groups/train\.jsonl"):
        RankingData.open(folder)
    with pytest.raises(InputError, match="no such folder"):
        RankingData.open(folder / "nothing")


# --- labelled texts


def labelled_folder(path: Path, *, dev: bool = True) -> Path:
    path.mkdir()
    (path / "labels.json").write_text(json.dumps({"kind": "classes", "label_names": ["a", "b"]}), encoding="utf-8")
    for split in ("train", "dev") if dev else ("train",):
        lines = [json.dumps({"text": f"{split} {i}", "text_pair": "", "label": "ab"[i % 2]}) for i in range(4)]
        (path / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class Always:
    """Gives the same logits to every text, and remembers what it read."""

    def __init__(self, *logits: float) -> None:
        self.logits_of_all = logits
        self.read: list[tuple[str, str]] = []

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
        self.read = list(zip(texts, text_pairs or [], strict=False))
        return np.tile(np.array(self.logits_of_all, np.float32), (len(texts), 1))


def test_a_labelled_folder_is_judged_by_its_dev_examples(tmp_path: Path) -> None:
    data = LabelledData.open(labelled_folder(tmp_path / "data"))
    scorer = Always(0.0, 1.0)
    judge = data.judge(scorer)
    assert judge is not None
    measures = judge()
    assert next(iter(measures)) == "accuracy"
    assert measures["accuracy"] == 0.5
    # An empty second text is a text.
    assert scorer.read == [(f"dev {i}", "") for i in range(4)]
    assert LabelledData.open(labelled_folder(tmp_path / "only train", dev=False)).judge(scorer) is None


def test_the_data_is_known_by_both_files(tmp_path: Path) -> None:
    path = labelled_folder(tmp_path / "data")
    before = LabelledData.open(path).identity
    (path / "dev.jsonl").write_text('{"text": "x", "text_pair": "", "label": "a"}\n', encoding="utf-8")
    after = LabelledData.open(path).identity
    assert after["data"] == before["data"]
    assert after["dev"] != before["dev"]
    assert LabelledData.open(path / "train.jsonl").identity == {"data": before["data"], "dev": None}


def test_labels_take_the_order_of_a_teacher(tmp_path: Path) -> None:
    path = labelled_folder(tmp_path / "data")
    for source in (path, path / "train.jsonl"):
        assert [example.label for example in LabelledData.open(source).train.examples] == [0, 1, 0, 1]
        data = LabelledData.open(source, order=("b", "c", "a"))
        assert [example.label for example in data.train.examples] == [2, 0, 2, 0]
        assert data.train.label_names == ("b", "c", "a")
    dev = LabelledData.open(path, order=("b", "a")).dev
    assert dev is not None
    assert [example.label for example in dev.examples] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("groups.jsonl", '{"query": "q", "pos": ["a"], "neg": []}\n', False),
        ("blank first.jsonl", '\n  \n{"query": "q", "pos": ["a"], "neg": []}\n', False),
        ("groups.jsonl.old.jsonl", '{"text": "a", "label": 1}\n', True),
        ("empty.jsonl", "", True),
        ("table.tsv", "sentence\tlabel\n", True),
    ],
)
def test_files_of_groups_are_told_from_labelled_texts(tmp_path: Path, name: str, content: str, expected: bool) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert is_labelled(tmp_path / name) is expected


def test_folders_are_told_by_their_labels(tmp_path: Path) -> None:
    assert is_labelled(labelled_folder(tmp_path / "data"))
    (tmp_path / "ranking").mkdir()
    assert not is_labelled(tmp_path / "ranking")
    with pytest.raises(InputError, match="nowhere: there is no such folder or file"):
        is_labelled(tmp_path / "nowhere")
