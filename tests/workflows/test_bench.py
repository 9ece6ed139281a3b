"""``distilrank bench``, from the command line to its files; the processes are real, and started once."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.benchmark.entry import Entry
from distilrank.benchmark.operations import multiply_adds
from distilrank.benchmark.process import Answer
from distilrank.benchmark.texts import count_tokens
from distilrank.cli.app import build_app, run
from distilrank.cli.bench import bench as verb
from distilrank.data.files import read_json, write_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError
from distilrank.runtime.ranker import Ranker
from distilrank.workflows import bench as module
from distilrank.workflows.bench_data import BenchData
from distilrank.workflows.bench_entries import BenchSettings, find_entries
from distilrank.workflows.evaluate import EvaluateSettings, evaluate_ranking
from tests.end_to_end.verbs import prepared_ranking, saved_ranker
from tests.export.exported import exported_ranker


def call(*arguments: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["distilrank", "bench", *map(str, arguments)])
        return run(build_app({"bench": verb, "other": lambda: None}))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_ranking(tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported_ranker(tmp_path_factory.mktemp("models") / "student")


@pytest.fixture(scope="module")
def found(student: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("found")
    twin = folder / "twin"
    twin.symlink_to(student)
    options = ("--data", data, "--split", "dev", "--passages", 4, "--tokens", "20", "--threads", 1, "--rounds", 2)
    files = ("--json", folder / "bench.json", "--plot", folder / "bench.svg")
    assert call(student, "--teacher", twin, *options, *files, "--starts", 2) == 0
    return read_json(folder / "bench.json"), folder / "bench.svg"


def test_quality_is_that_of_evaluate(found: Any, student: Path, data: Path) -> None:
    settings = EvaluateSettings(split="dev", measures=("nDCG@10",), depth=4)
    evaluated = evaluate_ranking(str(student), data=data, settings=settings).evaluation
    speeds = found[0]["workloads"]["data, dev"]
    assert list(speeds) == ["teacher", "student", "BM25"]
    for name, system in (("teacher", "student"), ("student", "student")):
        expected = evaluated.intervals[system]["nDCG@10"].as_dict()
        assert speeds[name]["quality"] == pytest.approx(expected)
    first = evaluated.intervals[evaluated.first_stage]["nDCG@10"].as_dict()
    assert speeds["BM25"]["quality"] == pytest.approx(first)


def test_speeds(found: Any, student: Path) -> None:
    made = found[0]["workloads"]["20 tokens"]
    assert list(made) == ["teacher", "student"]
    for speed in made.values():
        assert len(speed["ms"]) == len(speed["cpu_ms"]) == 20  # ten queries, twice
        assert 0 < speed["p50_ms"] <= speed["p95_ms"] <= speed["p99_ms"]
        assert speed["tokens"] == 10 * 4 * 20 == speed["computed_tokens"]
        assert speed["tokens_per_second"] == pytest.approx(20 * speed["pairs_per_second"])
        counts = multiply_adds(read_json(student / "config.json"), [20])
        assert counts is not None
        assert speed["multiply_adds_per_pair"] == counts[0]
    assert made["teacher"]["times_as_fast"] == 1.0
    real = found[0]["workloads"]["data, dev"]["BM25"]
    assert (real["pairs_per_second"], real["tokens"], real["computed_tokens"]) == (None, None, None)


def test_systems(found: Any, student: Path) -> None:
    told = found[0]
    assert told["compared_with"] == "teacher"
    system = told["systems"]["student"]
    assert system["runs"] == "onnxruntime, model.onnx"
    assert len(system["cold_starts"]) == 2
    assert system["cold_start_seconds"] == pytest.approx(float(np.mean(system["cold_starts"])))
    size = sum((student / name).stat().st_size for name in ("onnx/model.onnx", "tokenizer.json"))
    assert system["disk_megabytes"] == size / 1e6
    assert system["parameters"] > system["embeddings"] > 0
    assert system["max_tokens"] == 48
    assert system["peak_megabytes"] > 20
    assert re.fullmatch(r"[0-9a-f]{64}", system["files"]["model.onnx"])
    assert told["systems"]["BM25"]["runs"] == "bm25s-english-k0.9b0.4"
    assert told["settings"]["rounds"] == 2
    assert told["machine"]["cores"] >= 1
    assert "onnxruntime" in system["versions"]


def test_the_drawing(found: Any) -> None:
    svg = found[1].read_text(encoding="utf-8")
    ElementTree.fromstring(svg)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"BM25", "median milliseconds for a query of 4 passages (left is faster)"} <= set(texts)
    assert any(text.startswith("student, ") for text in texts)


class Stand:
    """In the place of a process: it answers at once, with what the student would."""

    started: list[str]

    def __init__(self, entry: Entry) -> None:
        self.entry, self.cold_start_seconds = entry, 0.5
        self.ranker = Ranker.load(entry.folder)
        Stand.started.append(entry.name)

    def score(self, pairs: list[tuple[str, str]]) -> Answer:
        return Answer(ms=2.0, cpu_ms=4.0, scores=self.ranker.score(pairs), computed_tokens=7)

    def facts(self) -> dict[str, Any]:
        return {"peak_megabytes": 10.0, "versions": {}}

    def __enter__(self) -> Stand:
        return self

    def __exit__(self, *_: object) -> None:
        Stand.started.append(f"end of {self.entry.name}")


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    Stand.started = []
    monkeypatch.setattr(module, "SystemProcess", Stand)
    monkeypatch.setattr(module, "cold_starts", lambda entry, times: [0.1] * times)


@pytest.mark.usefixtures("stand_ins")
def test_the_tables(student: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--data", data, "--split", "dev", "--max-queries", 3, "--tokens", "12,30", "--processor-time")
    assert call(student, *options, "--threads", 2) == 0
    out, err = capsys.readouterr()
    lines = [line.strip() for line in out.splitlines()]
    assert "12 tokens: 10 queries of up to 100 passages, asked 3 times; 2 threads; processor time" in lines
    assert "data, dev: 3 queries of up to 100 passages, asked 3 times; 2 threads; processor time" in lines
    (row,) = [line.split() for line in lines if line.startswith("student") and "12 (0)" in line]
    # 4 ms a query of 100 pairs of 12 tokens.
    assert row[:7] == ["student", "4.0", "4.0", "4.0", "1.00", "25,000", "300,000"]
    assert "starting student" in err
    assert Stand.started == ["student", "end of student"]
    (system,) = [line.split() for line in lines if line.startswith("student") and "onnxruntime, model.onnx" in line]
    assert system[3] == "0.10"  # the median of 0.5, 0.1 and 0.1


@pytest.mark.usefixtures("stand_ins")
def test_usual_lengths_as_far_as_the_model_reads(student: Path) -> None:
    entries = find_entries([student], teacher=None, peers=(), settings=BenchSettings(passages=2))
    assert list(module.bench(entries, settings=BenchSettings(passages=2)).workloads) == ["32 tokens"]


def test_none_are_made_where_there_is_data(student: Path) -> None:
    entries = [Entry(name="s", folder=student)]
    assert module.made_workloads(entries, BenchSettings(), with_data=True) == []
    (made,) = module.made_workloads(entries, BenchSettings(tokens=(9,), passages=3), with_data=True)
    assert set(count_tokens(PairTokenizer.from_folder(student), made.pairs)) == {9}
    with pytest.raises(InputError, match="pairs of 49 tokens are longer than the 48 that all models read"):
        module.made_workloads(entries, BenchSettings(tokens=(9, 49)), with_data=False)


@pytest.mark.usefixtures("stand_ins")
def test_bm25_that_does_not_fit_is_left_out(student: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = BenchData(str(data), split="dev", max_queries=2)
    monkeypatch.setattr("distilrank.workflows.candidates.available_memory", lambda: 10)
    said: list[str] = []
    settings = BenchSettings(rounds=1)
    entries = find_entries([student], teacher=None, peers=(), settings=settings)
    found = module.bench(entries, settings=settings, data=judged, say=said.append)
    assert list(found.systems) == list(found.workloads["data, dev"]) == ["student"]
    assert any(line.startswith("BM25 is left out: BM25 over ") for line in said)


def test_who_takes_part(student: Path, tmp_path: Path) -> None:
    plain = saved_ranker(tmp_path / "student", layers=1)

    def names(*folders: Path, **options: Any) -> list[tuple[str, str, str]]:
        settings = BenchSettings(precision=options.pop("precision", "auto"), threads=3)
        entries = find_entries(
            folders, teacher=options.pop("teacher", None), peers=options.pop("peers", ()), settings=settings
        )
        assert {entry.threads for entry in entries} == {3}
        return [(entry.name, entry.runner, entry.precision) for entry in entries]

    assert names(student, plain, teacher=plain) == [
        ("teacher", "torch", "fp32"),
        ("student", "distilrank", "auto"),
        (f"student ({plain})", "torch", "fp32"),
    ]
    assert names(student, precision="both") == [("student, fp32", "distilrank", "fp32")]
    small = student / "onnx" / "quality.json"
    try:
        judge_as_passed(student)
        assert names(student, precision="both", peers=["fastembed", "sentence-transformers"]) == [
            ("student, fp32", "distilrank", "fp32"),
            ("student, int8", "distilrank", "int8"),
            ("fastembed, fp32", "fastembed", "fp32"),
            ("fastembed, int8", "fastembed", "int8"),
            ("sentence-transformers", "sentence-transformers", "fp32"),
        ]
    finally:
        small.unlink()
        (student / "onnx" / "small.onnx").unlink()
    (peer,) = find_entries([student], teacher=None, peers=["flashrank=/opt/python"], settings=BenchSettings())[1:]
    assert (peer.name, peer.runner, peer.python) == ("flashrank", "flashrank", "/opt/python")
    assert (
        find_entries([student], teacher=None, peers=["flashrank"], settings=BenchSettings())[1].python == sys.executable
    )


def test_an_8_bit_file_alone_is_run(tmp_path: Path) -> None:
    (tmp_path / "small" / "onnx").mkdir(parents=True)
    judge_as_passed(tmp_path / "small")
    (entry,) = find_entries([tmp_path / "small"], teacher=None, peers=(), settings=BenchSettings())
    assert entry.runner == "distilrank"
    assert [file.name for file in entry.network_files] == ["small.onnx"]


def judge_as_passed(folder: Path) -> None:
    """Put something that says it is an 8-bit file into a folder."""
    from distilrank.runtime.cpu import this_cpu

    (folder / "onnx" / "small.onnx").write_bytes(b"small")
    here = this_cpu().arithmetic
    facts = {"arithmetic": here, "judged_on": here, "bytes": 5}
    write_json(folder / "onnx" / "quality.json", {"files": {"small.onnx": facts}})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--peer", "flashrnk"), "'flashrnk' is no package that is run here"),
        (("--peer", "flashrnk"), "did you mean 'flashrank'?"),
        (("--tokens", "many"), "--tokens is 'many'; give whole numbers"),
        (("--tokens", "0"), "tokens are 0; give at least 1"),
        (("--rounds", "0"), "rounds is 0, give at least 1"),
        (("--plot", "x.svg"), "--plot: give --data too"),
        (("--precision", "int8"), "holds no 8-bit file that passed"),
        (("--teacher", "nothing-here"), "there is no model folder nothing-here"),
    ],
)
def test_what_cannot_be_done(
    arguments: tuple[str, ...], said: str, student: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(student, *arguments) == 2
    assert said in capsys.readouterr().err
