from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from distilrank.cli.app import build_app, run
from distilrank.cli.rank import rank
from distilrank.data.trec import read_run
from distilrank.models.save import save_model
from distilrank.models.scorer import TorchScorer
from tests.tiny import tiny_export, tiny_model, tiny_tokenizer

PASSAGES = ["the cat and the fast dog", "blue sea and red sky", "old city", "how slow is the river", "bread"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ranker, saved and not exported."""
    folder = tmp_path_factory.mktemp("models") / "student"
    save_model(tiny_model(), tiny_tokenizer(), folder)
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Run ``distilrank rank`` in this process; returns (exit code, standard output, standard error)."""

    def call(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["distilrank", "rank", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        # A second verb, for with only one typer leaves the verb's name out.
        code = run(build_app({"rank": rank, "other": lambda: None}))
        found = capsys.readouterr()
        return code, found.out, found.err

    return call


def expected_order(query: str = "red dog", passages: list[str] = PASSAGES) -> list[int]:
    scores = TorchScorer(tiny_model(), tiny_tokenizer()).score([(query, passage) for passage in passages])
    return sorted(range(len(passages)), key=lambda index: -scores[index])


def test_passages_from_a_file(command, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "passages.txt").write_text("\n\n".join(PASSAGES) + "\n")
    code, out, _ = command(folder, "--query", "red dog", "--passages", tmp_path / "passages.txt")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 4, 5]
    assert [int(row[2]) for row in rows] == expected_order()
    assert [row[3] for row in rows] == [PASSAGES[index] for index in expected_order()]
    assert [float(row[1]) for row in rows] == sorted((float(row[1]) for row in rows), reverse=True)


def test_passages_from_standard_input(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = command(folder, "--query", "red dog", "--top-k", 2, stdin="\r\n".join(PASSAGES).encode())
    assert code == 0
    assert [int(line.split("\t")[2]) for line in out.splitlines()] == expected_order()[:2]


def test_jsonl_with_titles_and_ids(command, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    records = [{"_id": f"d{i}", "title": "war", "text": text} for i, text in enumerate(PASSAGES)]
    with gzip.open(tmp_path / "passages.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    code, out, _ = command(folder, "--query", "red dog", "--passages", tmp_path / "passages.jsonl.gz", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["query"] == "red dog"
    order = expected_order(passages=[f"war {text}" for text in PASSAGES])
    assert [result["doc_id"] for result in answer["results"]] == [f"d{index}" for index in order]
    assert [result["index"] for result in answer["results"]] == order
    assert [result["rank"] for result in answer["results"]] == [1, 2, 3, 4, 5]
    assert answer["results"][0]["passage"] == f"war {PASSAGES[order[0]]}"


def test_a_passage_in_braces_is_text_unless_it_is_a_record(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = command(folder, "--query", "red", stdin=b"{red dog}\n{}\n")
    assert code == 0
    assert {line.split("\t")[3] for line in out.splitlines()} == {"{red dog}", "{}"}


def test_an_exported_folder_is_run_without_torch(  # type: ignore[no-untyped-def]
    command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tiny_model(), tiny_tokenizer(), tmp_path / "student")
    tiny_export(tmp_path / "student")
    order = expected_order()
    monkeypatch.setattr(TorchScorer, "score", None)
    code, out, _ = command(tmp_path / "student", "--query", "red dog", stdin="\n".join(PASSAGES).encode())
    assert code == 0
    assert [int(line.split("\t")[2]) for line in out.splitlines()] == order


def test_a_run_of_many_queries(command, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = tmp_path / "data"
    data.mkdir()
    with (data / "corpus.jsonl").open("w") as file:
        file.writelines(json.dumps({"_id": f"d{i}", "title": "", "text": t}) + "\n" for i, t in enumerate(PASSAGES))
    (data / "queries.jsonl").write_text('{"_id": "q1", "text": "red dog"}\n{"_id": "q2", "text": "old city"}\n')
    run_file = tmp_path / "first.trec"
    lines = [f"{query} Q0 d{i} 0 {10 - i} bm25\n" for query in ("q1", "q2") for i in range(5)]
    run_file.write_text("".join(lines))
    arguments = (folder, "--run", run_file, "--data", data, "--out-run", tmp_path / "out.trec")
    monkeypatched_cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*monkeypatched_cache.popitem())
        assert command(*arguments)[0] == 0
        found = read_run(tmp_path / "out.trec")
        assert list(found) == ["q1", "q2"]
        assert list(found["q1"]) == [f"d{index}" for index in expected_order()]
        assert list(found["q2"]) == [f"d{index}" for index in expected_order("old city")]
        assert command(*arguments, "--depth", 3, "--top-k", 2)[0] == 0
    cut = read_run(tmp_path / "out.trec")
    assert list(cut["q1"]) == [f"d{index}" for index in expected_order() if index < 3][:2]
    assert (tmp_path / "out.trec").read_text().split("\n")[0].endswith(" student")


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["--query", "red"], b"", "standard input: holds no passages; give one per line"),
        (["--query", " "], b"red\n", "give a query with --query TEXT, or many with --run FILE --data FOLDER"),
        ([], b"red\n", "give a query with --query TEXT, or many with --run FILE --data FOLDER"),
        (["--query", "red", "--top-k", "0"], b"red\n", "--top-k is 0, give at least 1"),
        (["--query", "red", "--threads", "0"], b"red\n", "--threads is 0, give at least 1"),
        (["--query", "red", "--depth", "3"], b"", "--data, --collection, --out-run and --depth go with --run FILE"),
        (["--run", "r.trec"], b"", "--run goes with --data FOLDER and --out-run FILE, without --query"),
        (
            ["--query", "red"],
            b"red\n\xff\xfe\n",
            "standard input, line 2: is not UTF-8 text; convert the file to UTF-8",
        ),
        (["--query", "r", "--passages", "no.txt"], b"", "no.txt: there is no such file; check the path"),
        (["--query", "r"], b'{"text": "a"}\n{"txt": 1}\n', "standard input, line 2: 'text' is missing; give it a text"),
    ],
)
def test_mistakes_are_one_sentence(command, folder: Path, arguments: list[str], stdin: bytes, sentence: str) -> None:  # type: ignore[no-untyped-def]
    code, out, err = command(folder, *arguments, stdin=stdin)
    assert code == 2
    assert out == ""
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_a_folder_that_is_not_there(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    code, _, err = command(tmp_path / "no", "--query", "red", stdin=b"red\n")
    assert code == 2
    assert "there is no folder" in err


def test_help_has_examples(command) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = command("--help")
    assert code == 0
    assert 'distilrank rank runs/student --query "why is the sky blue" --passages passages.txt --top-k 3\n' in out


def test_long_passages_by_their_best_window(command, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    exported = tmp_path / "student"
    save_model(tiny_model(), tiny_tokenizer(), exported)
    long = " ".join(["bread"] * 60 + ["red dog"] * 20)
    (tmp_path / "passages.txt").write_text(f"{long}\nbread\n")
    told = ("--query", "red dog", "--passages", tmp_path / "passages.txt", "--precision", "fp32", "--json")
    code, _, said = command(folder, *told, "--split-long", "--stride", 8)
    assert code == 2
    assert "windows of long passages are read by exported networks; run: distilrank export" in said
    tiny_export(exported)
    scores = []
    for options in ((), ("--split-long", "--stride", 8), ("--split-long", "--stride", 8, "--budget-tokens", 48)):
        code, out, _ = command(exported, *told, *options)
        assert code == 0
        scores.append({place["index"]: place["score"] for place in json.loads(out)["results"]})
    cut, split, first = scores
    assert cut[1] == pytest.approx(split[1], abs=1e-5)
    assert split[0] > cut[0] + 0.01
    assert first[0] == pytest.approx(cut[0], abs=1e-5)
