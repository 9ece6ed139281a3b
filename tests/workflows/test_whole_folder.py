from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilrank.errors import InputError, ResumeError
from distilrank.workflows.whole_folder import is_done, whole_folder


def manifest(folder: Path, **content: object) -> Path:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_the_folder_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with whole_folder(target) as partial:
        (partial / "file").write_text("x", encoding="utf-8")
        assert not target.exists()
    assert (target / "file").read_text(encoding="utf-8") == "x"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "out") as partial:
            (partial / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    def fail() -> None:
        with whole_folder(tmp_path / "out"):
            raise InputError("wrong")

    with pytest.raises(InputError):
        fail()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]


def test_what_is_there_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with whole_folder(tmp_path / "out") as partial:
        (partial / "new").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "out"]


def test_the_rest_of_a_killed_command_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half").touch()
    with whole_folder(tmp_path / "out"):
        pass
    assert list((tmp_path / "out").iterdir()) == []


SETTINGS = {"depth": 100, "groups": {"negatives": 7, "names": ("a", "b")}, "cut": None}
STORED = {
    "verb": "prepare",
    "settings": {"depth": 100, "groups": {"negatives": 7, "names": ["a", "b"]}, "cut": None},
    "inputs": {"queries": {"path": "q", "sha256": "1"}},
}


def test_the_same_command_is_done(tmp_path: Path) -> None:
    folder = manifest(tmp_path / "out", **STORED)
    assert is_done(folder, verb="prepare", settings=SETTINGS, inputs={"queries": "1"})
    assert is_done(folder, verb="prepare", settings=SETTINGS, inputs={"queries": "1"}, overwrite=True)


def test_an_empty_or_missing_folder_is_to_be_made(tmp_path: Path) -> None:
    assert not is_done(tmp_path / "out", verb="prepare", settings={}, inputs={})
    (tmp_path / "out").mkdir()
    assert not is_done(tmp_path / "out", verb="prepare", settings={}, inputs={})


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        ({**SETTINGS, "depth": 50}, {"queries": "1"}, "depth was 100 and is now 50"),
        ({**SETTINGS, "groups": {"negatives": 3, "names": ("a", "b")}}, {"queries": "1"}, "groups.negatives was 7 and"),
        ({**SETTINGS, "cut": {"window": 150}}, {"queries": "1"}, "cut.window was None and is now 150"),
        (SETTINGS, {"queries": "2"}, "input queries is another file"),
        (SETTINGS, {"queries": "1", "run": "3"}, "input run is another file"),
    ],
)
def test_another_command_is_refused_and_the_difference_named(
    tmp_path: Path, settings: dict[str, object], inputs: dict[str, str], message: str
) -> None:
    folder = manifest(tmp_path / "out", **STORED)
    with pytest.raises(ResumeError, match=message):
        is_done(folder, verb="prepare", settings=settings, inputs=inputs)
    assert not is_done(folder, verb="prepare", settings=settings, inputs=inputs, overwrite=True)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_of_somebody_else_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(InputError, match="not made by distilrank prepare"):
        is_done(tmp_path / "out", verb="prepare", settings={}, inputs={}, overwrite=overwrite)
    other = manifest(tmp_path / "other", verb="distil", settings={}, inputs={})
    with pytest.raises(InputError, match="made by distilrank distil"):
        is_done(other, verb="prepare", settings={}, inputs={}, overwrite=overwrite)


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="not made by"):
        is_done(tmp_path / "out", verb="prepare", settings={}, inputs={}, overwrite=True)
