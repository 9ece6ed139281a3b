from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.errors import InputError
from distilrank.workflows.systems import System, find_contest, find_model, find_run, find_system


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two runs and two model folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("a.trec.gz", "b.run", "plain"):
        (tmp_path / "runs" / name).write_text("q Q0 d 1 2.0 tag\n")
    for name in ("models/student", "models/teacher", "BM25"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "model.safetensors").write_text(name)
    return tmp_path


RUNS = {"splade": Path("runs/splade.trec.gz"), "BM25": Path("runs/BM25.trec.gz")}


@pytest.mark.parametrize(("given", "name"), [("runs/a.trec.gz", "a"), ("runs/b.run", "b"), ("runs/plain", "plain")])
def test_a_run_is_called_by_its_file(here: Path, given: str, name: str) -> None:
    found = find_run(given, RUNS)
    assert found == System(name=name, run=Path(given))
    assert found == find_system(given, RUNS)
    assert found.files == [Path(given)]


def test_a_run_of_the_data(here: Path) -> None:
    assert find_run("splade", RUNS) == find_system("splade", RUNS) == System(name="splade", run=RUNS["splade"])


def test_a_run_named_after_its_split_is_called_by_its_tag(here: Path) -> None:
    assert find_run("first-stage", {"first-stage": Path("runs/b.run")}).name == "tag"
    Path("runs/b.run").write_text("")
    assert find_run("first-stage", {"first-stage": Path("runs/b.run")}).name == "first-stage"


def test_a_model_folder(here: Path) -> None:
    found = find_model("models/student/")
    assert (found.name, found.run, found.model) == ("student", None, "models/student/")
    assert found.files == [Path("models/student/model.safetensors")]
    Path("models/student/onnx").mkdir()
    Path("models/student/onnx/model.onnx").write_text("")
    assert found.files == [Path("models/student/onnx/model.onnx")]
    # A folder is a model, even where a run of the data has its name.
    assert find_system("BM25", RUNS).model == "BM25"


def test_a_model_of_the_hub_is_looked_up_later(here: Path) -> None:
    name = "cross-encoder/ms-marco-MiniLM-L6-v2"
    assert find_model(name) == find_system(name, RUNS) == System(name=name, model=name)
    assert find_model(name).files == []


def test_a_run_that_is_yet_to_be_made_has_no_files(here: Path) -> None:
    Path("model.safetensors").write_text("in the working folder")
    assert System(name="BM25").files == []


@pytest.mark.parametrize("given", ["BM52", "runs/lost.trec.gz", "lost.run", "a/b/c", "odd name"])
def test_what_is_nothing(here: Path, given: str) -> None:
    with pytest.raises(InputError, match=f"there is no run and no model '{given}'"):
        find_system(given, RUNS)


def test_the_nearest_name_is_offered(here: Path) -> None:
    with pytest.raises(InputError, match=r"one of the data's runs: splade, BM25; did you mean 'BM25'\?"):
        find_run("BM52", RUNS)
    with pytest.raises(InputError, match=r"give a TREC file$"):
        find_run("BM52", {})


def test_everybody_once(here: Path) -> None:
    first = find_run("runs/a.trec.gz", RUNS)
    contest = find_contest(
        first=first,
        model="models/student",
        teacher="models/teacher",
        baselines=["splade", "models/../models/student", "runs/../runs/a.trec.gz", "models/teacher", "splade"],
        runs=RUNS,
    )
    assert (contest.first, contest.tested, contest.teacher) == ("a", "student", "teacher")
    assert list(contest.systems) == ["a", "student", "splade", "teacher"]


def test_a_first_stage_that_is_yet_to_be_made_may_be_named(here: Path) -> None:
    first = System(name="bm25")
    contest = find_contest(first=first, model="models/student", teacher="bm25", baselines=["bm25"], runs={})
    assert (contest.teacher, list(contest.systems)) == ("bm25", ["bm25", "student"])
    with pytest.raises(InputError):
        find_contest(first=first, model="models/student", teacher=None, baselines=["bm26"], runs={})


def test_two_of_one_name(here: Path) -> None:
    Path("other/student").mkdir(parents=True)
    contest = find_contest(
        first=System(name="student"), model="models/student", teacher="other/student", baselines=[], runs={}
    )
    assert (contest.first, contest.tested, contest.teacher) == ("student", "models/student", "other/student")
    assert contest.systems["models/student"].model == "models/student"


def test_without_a_model_the_first_stage_is_tested(here: Path) -> None:
    contest = find_contest(first=System(name="BM25"), model=None, teacher=None, baselines=[], runs={})
    assert (contest.first, contest.tested, contest.teacher) == ("BM25", "BM25", None)
