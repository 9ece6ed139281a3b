"""``teach`` from the command line to a folder of scores, and from there into ``fine-tune`` and ``distil``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.passage_store import PassageStore
from distilrank.data.teacher_scores import TeacherScores
from distilrank.data.trec import read_run
from distilrank.models.load import load_model
from distilrank.models.scorer import TorchScorer
from distilrank.records import Group
from distilrank.training.journal import read_lines, read_steps
from distilrank.workflows.training_data import RankingData
from tests.end_to_end.verbs import distilrank, files_of, prepared_ranking, saved_ranker, without_export
from tests.teaching.servers import serving

SHORT = ("--max-tokens", 32, "--steps", 2, "--batch-size", 2, "--dev-queries", 2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder and two teachers."""
    world = tmp_path_factory.mktemp("teach")
    prepared_ranking(world / "data")
    saved_ranker(world / "teacher")
    saved_ranker(world / "other", seed=2)
    return world


def own_scores(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    model, tokenizer = load_model(folder)
    return TorchScorer(model, tokenizer.with_max_tokens(32)).score(pairs)


def contents(folder: Path) -> dict[str, bytes]:
    """The artefact: all but the journal."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "journal.jsonl"}


def test_groups_are_scored_and_the_same_command_has_nothing_left_to_do(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores"
    told = ("teach", "--data", world / "data", "--teacher", world / "teacher", "--out", out)
    told = (*told, "--max-tokens", 32, "--shard-pairs", 20, "--offline")
    assert distilrank(*told) == 0
    groups = GroupFile(world / "data" / "groups" / "train.jsonl")
    pairs = [(group.query, passage) for group in groups for passage in group.passages]
    assert capsys.readouterr().out == f"{out}: {len(pairs)} scores, {len(pairs)} of them made now\n"
    scores = TeacherScores(out)
    np.testing.assert_allclose([score for *_, score in scores.rows()], own_scores(world / "teacher", pairs), atol=1e-5)
    ids = [(group.query_id, doc_id) for group in groups for doc_id in group.doc_ids]
    assert [row[:2] for row in scores.rows()] == ids
    assert scores.meaning == "logit"
    assert scores.manifest["teacher"]["name"] == "teacher"
    before, files = contents(out), sorted(files_of(out))
    assert {name for name in before if name.startswith("scores")} == {
        f"scores-{i:05}.parquet" for i in range(-(-len(pairs) // 20))
    }
    events = [line["event"] for line in read_lines(out / "journal.jsonl")]
    assert (events[0], events[-1], events.count("end")) == ("start", "done", -(-len(pairs) // 20))
    # Neither times nor machines are in the artefact.
    assert not {"host", "time", "pid"} & set(json.dumps(scores.manifest).replace('"', " ").split())
    assert distilrank(*told) == 0
    assert capsys.readouterr().out == f"{out}: {len(pairs)} scores, 0 of them made now\n"
    assert sorted(files_of(out)) == files  # not even touched
    # Another command is refused.
    for change, difference in (
        (("--max-tokens", 31), "teacher.running.max_tokens was 32 and is 31 now"),
        (("--teacher", world / "other"), "several teachers another folder"),
        (("--precision", "bf16"), "teacher.running.precision was 'fp32' and is 'bf16' now"),
        (("--limit", 3), "input.limit was None and is 3 now"),
    ):
        assert distilrank(*told, *change) == 2
        assert difference in capsys.readouterr().err.replace("\n", " ")
    assert contents(out) == before


def test_several_teachers_have_a_folder_each(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    shutil.copytree(world / "teacher", tmp_path / "teacher")
    told = ("teach", "--data", world / "data", "--limit", 4, "--out", out, "--teacher", world / "teacher")
    told = (*told, "--teacher", world / "other", "--teacher", tmp_path / "teacher", "--bi-encoder", world / "other")
    assert distilrank(*told, "--max-tokens", 32) == 0
    assert sorted(path.name for path in out.iterdir()) == ["other", "other-2", "teacher", "teacher-2"]
    scores = {path.name: [score for *_, score in TeacherScores(path).rows()] for path in out.iterdir()}
    assert scores["teacher"] == scores["teacher-2"]
    assert scores["teacher"] != scores["other"] != scores["other-2"]
    assert {name: TeacherScores(out / name).meaning for name in scores} == {
        "teacher": "logit", "teacher-2": "logit", "other": "logit", "other-2": "cosine",
    }  # fmt: skip
    assert np.abs(scores["other-2"]).max() <= 1.0 + 1e-6


def test_the_candidates_of_a_run_become_groups_without_labels(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("teach", "--data", world / "data", "--teacher", world / "teacher", "--max-tokens", 32)
    told = (*told, "--depth", 3, "--split", "dev", "--run", "first-stage")
    out = ("--out", tmp_path / "scores", "--groups-out", tmp_path / "groups.jsonl")
    assert distilrank(*told, *out) == 0
    run = read_run(world / "data" / "runs" / "dev.trec.gz")
    expected = [(query_id, doc_id) for query_id, docs in run.items() for doc_id in list(docs)[:3]]
    scores = TeacherScores(tmp_path / "scores")
    assert [row[:2] for row in scores.rows()] == expected
    groups = GroupFile(tmp_path / "groups.jsonl")
    assert capsys.readouterr().out.endswith(f"groups.jsonl: {len(run)} scored groups\n")
    passages = PassageStore(world / "data" / "passages.sqlite")
    given = {row[:2]: row[2] for row in scores.rows()}
    for group in groups:
        assert len(group.passages) == 3
        assert group.passages == tuple(passages[doc_id].content for doc_id in group.doc_ids)
        assert group.scores == tuple(given[group.query_id, doc_id] for doc_id in group.doc_ids)
    assert any(sum(group.relevance) for group in groups)
    assert distilrank(*told, "--run", "bm52", "--out", tmp_path / "none") == 2
    assert "there is no run 'bm52'; give a TREC file, or one of the folder's runs of dev: first-stage" in (
        capsys.readouterr().err
    )


LINES = [f"q{i}\td{i}\twhere is dog {i % 3}\tthe old {'cat ' * (i % 7)}" for i in range(30)]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_two_workers_leave_the_bytes_of_one(world: Path, tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install 'distilrank[ray]'")
    (tmp_path / "pairs.tsv").write_text("\n".join(LINES), encoding="utf-8")
    local = ("teach", "--pairs", tmp_path / "pairs.tsv", "--shard-pairs", 8, "--teacher", world / "teacher")
    local = (*local, "--max-tokens", 32, "--threads", 1)
    assert distilrank(*local, "--out", tmp_path / "one") == 0
    assert distilrank(*local, "--out", tmp_path / "two", "--processes", 2, "--engine", engine) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    workers = {line["pid"] for line in read_lines(tmp_path / "two" / "journal.jsonl") if line["event"] == "end"}
    assert len(workers) == 2


def test_plain_pairs_by_an_endpoint(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("\n".join(LINES), encoding="utf-8")
    told = ("teach", "--pairs", tmp_path / "pairs.tsv", "--shard-pairs", 8)
    with serving() as server:
        assert distilrank(*told, "--endpoint", server.url, "--out", tmp_path / "asked") == 0
    scores = TeacherScores(tmp_path / "asked")
    assert [score for *_, score in scores.rows()] == [len(line.split("\t")[3]) / 8 for line in LINES]
    assert scores.manifest["teacher"]["kind"] == "endpoint"


def test_teacher_triples_become_scores_and_groups(world: Path, tmp_path: Path) -> None:
    (tmp_path / "triples.tsv").write_text("3.5\t-1\tq1\td1\td2\n0.25\t8\tq2\td2\td1\n", encoding="utf-8")
    told = ("teach", "--scores-from", tmp_path / "triples.tsv", "--data", world / "data", "--out", tmp_path / "scores")
    assert distilrank(*told, "--groups-out", tmp_path / "groups.jsonl") == 0
    assert list(TeacherScores(tmp_path / "scores").rows()) == [
        ("q1", "d1", 3.5), ("q1", "d2", -1.0), ("q2", "d2", 0.25), ("q2", "d1", 8.0),
    ]  # fmt: skip
    found = [
        (group.query_id, group.doc_ids, group.relevance, group.scores) for group in GroupFile(tmp_path / "groups.jsonl")
    ]
    assert found == [("q1", ("d1", "d2"), (1, 0), (3.5, -1)), ("q2", ("d2", "d1"), (1, 0), (0.25, 8))]


@pytest.fixture
def scored(world: Path, tmp_path: Path) -> Path:
    told = ("teach", "--data", world / "data", "--teacher", world / "teacher", "--max-tokens", 32, "--limit", 12)
    assert distilrank(*told, "--out", tmp_path / "scores") == 0
    return tmp_path / "scores"


def test_training_takes_scores_by_their_folder(
    world: Path, scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_export(monkeypatch)
    capsys.readouterr()
    told = ("fine-tune", "--data", world / "data", "--model", world / "other", "--scores", scored, *SHORT)
    told = (*told, "--objective", "listwise", "--set", "gains=scores", "--set", "calibration_groups=0")
    told = (*told, "--out", tmp_path / "ranker")
    assert distilrank(*told) == 0
    count = len(GroupFile(world / "data" / "groups" / "train.jsonl"))
    assert f"{count - 12} of {count} groups have no score in {scored} and are left out" in capsys.readouterr().err
    assert list(read_steps(tmp_path / "ranker" / "run" / "journal.jsonl")[0]["terms"]) == ["listwise"]
    manifest = json.loads((tmp_path / "ranker" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["scores"] == TeacherScores(scored).identity
    # The same groups without the scores are another command.
    assert distilrank(*(part for part in told if part not in ("--scores", scored))) == 2
    assert "scores was" in capsys.readouterr().err
    told = ("distil", "--data", world / "data", "--teacher", world / "teacher", "--layers", 2, "--scores", scored)
    assert distilrank(*told, *SHORT, "--out", tmp_path / "student") == 0
    ranking = RankingData.open(world / "data", scores=scored)
    assert len(ranking.groups) == 12
    assert ranking.groups[3].scores is not None


BROKEN: list[tuple[str, tuple[Any, ...], str]] = [
    ("nobody to score", ("--data", "data"), "there is nobody to score; name a --teacher"),
    ("nothing to score", ("--teacher", "teacher"), "there is nothing to score; name a prepared folder"),
    ("two things to score", ("--teacher", "teacher", "--run", "a", "--pairs", "b"), "--run and --pairs are both given"),
    ("no such folder", ("--teacher", "teacher", "--data", "none"), "none: there is no such folder"),
    ("a run without texts", ("--teacher", "teacher", "--run", "a"), "give the folder that has their texts with --data"),
    (
        "depth without a run",
        ("--teacher", "teacher", "--data", "data", "--depth", "2"),
        "--depth is for the candidates",
    ),
    ("no queries", ("--teacher", "teacher", "--data", "data", "--limit", "0"), "--limit is 0 but must be at least 1"),
    ("no processes", ("--teacher", "teacher", "--data", "data", "--processes", "0"), "processes is 0 but must be at"),
    ("an address of nothing", ("--teacher", "teacher", "--data", "data", "--address", "a"), "add --engine ray"),
    ("scores and a teacher", ("--teacher", "teacher", "--scores-from", "a"), "no teacher is asked; leave out one"),
    ("a weight for a folder", ("--teacher", "teacher", "--first-stage-weight", "1"), "leave out --first-stage-weight"),
    ("too long for the network", ("--teacher", "teacher", "--data", "data", "--max-tokens", "65"), "positions for 64"),
    ("no such teacher", ("--teacher", "no/such/teacher", "--data", "data"), "there is no folder no/such/teacher"),
    ("no key", ("--endpoint", "http://127.0.0.1:9", "--key-from", "NO_KEY", "--data", "data"), "NO_KEY holds no key"),
]


@pytest.mark.parametrize(("name", "options", "sentence"), BROKEN, ids=[name for name, *_ in BROKEN])
def test_one_sentence_exit_code_2_and_nothing_left(
    name: str, options: tuple[Any, ...], sentence: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [world / part if part in ("data", "teacher") else part for part in options]
    assert distilrank("teach", *told, "--out", tmp_path / "out") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert sentence in shown.err
    assert not (tmp_path / "out").exists()


def test_a_file_takes_no_other_teacher(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ("teach", "--data", world / "data", "--teacher", world / "teacher", "--out", tmp_path / "scored.jsonl")
    assert distilrank(*told) == 2
    assert "leave out --teacher, or give the other kind of --out" in capsys.readouterr().err


def test_groups_without_ids_are_found_by_position(world: Path, tmp_path: Path) -> None:
    groups = [Group(query=f"where is {w}", passages=(w, "dog", "cat"), relevance=(1, 0, 0)) for w in ("sea", "sky")]
    write_groups(groups, tmp_path / "groups.jsonl")
    told = ("teach", "--data", tmp_path / "groups.jsonl", "--teacher", world / "teacher", "--max-tokens", 32)
    assert distilrank(*told, "--out", tmp_path / "scores") == 0
    joined = RankingData.open(tmp_path / "groups.jsonl", scores=tmp_path / "scores").groups
    expected = own_scores(world / "teacher", [(group.query, text) for group in groups for text in group.passages])
    np.testing.assert_allclose([score for group in joined for score in group.scores or ()], expected, atol=1e-5)
