from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.prepare import prepare
from distilrank.data.beir import write_corpus, write_qrels, write_queries
from distilrank.records import Passage, Query

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``distilrank prepare`` in this process; returns (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["distilrank", "prepare", *map(str, arguments)])
        # A second verb, for with only one typer leaves the verb's name out.
        code = run(build_app({"prepare": prepare, "other": lambda: None}))
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_corpus((Passage(f"d{n}", f"text number {n} of ten") for n in range(20)), folder / "corpus.jsonl")
    write_queries([Query(f"q{n}", f"which is number {n}") for n in range(20)], folder / "queries.jsonl")
    write_qrels({f"q{n}": {f"d{n}": 1} for n in range(20)}, folder / "qrels" / "train.tsv")
    return folder


def test_a_table_of_sizes_and_findings(command: Command, data: Path) -> None:
    out = data.parent / "out"
    code, shown, _ = command("--data", data, "--out", out, "--depth", 5, "--negatives", 2, "--dev-share", 0.2)
    assert code == 0
    assert "train  queries 16, judgements 16" in shown
    assert "dev    queries 4" in shown
    assert f"{out} is ready" in shown
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["first_stage"]["depth"] == 5
    assert manifest["settings"]["groups"]["negatives"] == 2
    assert command("--data", data, "--out", out, "--depth", 5, "--negatives", 2, "--dev-share", 0.2)[1] == (
        f"{out} was finished before by the same command; nothing to do\n"
    )


def test_every_option_reaches_its_setting(command: Command, data: Path) -> None:
    options = {
        "--depth": 9, "--bm25-k1": 1.5, "--bm25-b": 0.7, "--negatives": 3, "--negatives-from": 8, "--skip-top": 1,
        "--positives": 2, "--relevant-from": 1, "--dev-share": 0.25, "--test-share": 0.05, "--window": 4, "--stride": 3,
        "--max-queries": 6, "--max-tokens": 64, "--seed": 5, "--skip-bad": 2,
    }  # fmt: skip
    flat = [str(part) for pair in options.items() for part in pair]
    code, _, error = command(
        "--data", data, "--out", data.parent / "out", "--documents", "--no-stem", "--resplit", "--offline", *flat
    )
    assert (code, error.count("error")) == (0, 0)
    manifest = json.loads((data.parent / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"] == {
        "name": None,
        "first_stage": {"depth": 9, "k1": 1.5, "b": 0.7, "stemmer": None},
        "groups": {
            "negatives": 3,
            "negatives_from": 8,
            "skip_top": 1,
            "positives": 2,
            "relevant_from": 1,
            "seed": 5,
        },
        "dev_share": 0.25,
        "test_share": 0.05,
        "resplit": True,
        "unlabelled": None,
        "max_queries": 6,
        "cut": {"window": 4, "stride": 3},
        "max_tokens": 64,
        "seed": 5,
        "runs": [],
        "tokenizer": None,
        "skip_bad": 2,
    }


def test_classification_files_are_recognised(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = "".join(f"sentence {n}\t{n % 2}\n" for n in range(30))
    (data / "train.tsv").write_text(f"sentence\tlabel\n{rows}", encoding="utf-8")
    code, shown, _ = command("--data", data, "--out", tmp_path / "out")
    assert code == 0
    assert "train  examples 27, labels (0: " in shown
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["kind"], manifest["settings"]["max_tokens"]) == ("classification", 128)
    code, _, error = command("--data", data, "--out", tmp_path / "out", "--documents")
    assert (code, "is classification data" in error) == (2, True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--window", "10"], "--window and --stride go with --documents"),
        (["--depth", "0"], "depth"),
        (["--negatives", "0"], "negatives is 0"),
        (["--documents", "--window", "10", "--stride", "20"], "stride is 20"),
        (["--documents", "--window", "0"], "window is 0"),
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--dev-share", "1.5"], "the shares held out"),
        (["--run", "nowhere.trec"], "there is no run 'nowhere.trec'"),
        (["--tokenizer", "nowhere"], "holds no tokenizer.json"),
        (["--collection", "nowhere.tsv"], "nowhere.tsv"),
        (["--data", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    command: Command, data: Path, options: list[str], sentence: str
) -> None:
    code, _, error = command("--data", data, "--out", data.parent / "out", *options)
    assert code == 2
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    assert sentence in line
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_skipped_lines_are_listed(command: Command, data: Path) -> None:
    with (data / "qrels" / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("q1\n")
    code, _, error = command("--data", data, "--out", data.parent / "out")
    assert (code, "train.tsv, line 22" in error) == (2, True)
    code, shown, _ = command("--data", data, "--out", data.parent / "out", "--skip-bad", 1)
    assert code == 0
    assert "skipped  " in shown
    assert "train.tsv, line 22" in shown


def test_help_keeps_the_lines_of_its_examples(command: Command) -> None:
    code, shown, _ = command("--help")
    assert code == 0
    assert "\n  Examples:\n    distilrank prepare --data " in shown
    assert "\\b" not in shown


def test_preparing_needs_no_torch(data: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from distilrank.workflows.prepare import prepare_ranking\n"
        "prepare_ranking(sys.argv[1], sys.argv[2], progress=False)"
    )
    out = data.parent / "out"
    subprocess.run([sys.executable, "-c", code, str(data), str(out)], check=True)
    assert (out / "manifest.json").is_file()
