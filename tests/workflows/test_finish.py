from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from distilrank.errors import InputError, MissingExtraError, ResumeError
from distilrank.training.journal import Journal
from distilrank.workflows.finish import decisive, finished

COMMAND: dict[str, Any] = {
    "teacher": "abc",
    "layers": (1, 2),
    "settings": {"alpha": 0.5, "training": {"seed": 1, "threads": 2, "trackers": ("a",), "checkpoint_every": 9}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a finished command leaves behind, as far as it is looked at."""
    (tmp_path / "run").mkdir()
    done = {"step": 12, "best_step": 8, "best_value": 0.5, "stale_evaluations": 1}
    manifest = {"verb": "distil", "settings": COMMAND, "parameters": 345}
    for name, content in (("run/done.json", done), ("manifest.json", manifest), ("config.json", {})):
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def changed(**change: Any) -> dict[str, Any]:
    """The command with other settings of the training."""
    settings = {**COMMAND["settings"], "training": {**COMMAND["settings"]["training"], **change}}
    return {**COMMAND, "settings": settings}


def test_what_was_finished_is_found_again(folder: Path) -> None:
    found = finished(folder, verb="distil", command=COMMAND)
    assert found is not None
    assert (found.folder, found.parameters) == (folder, 345)
    assert (found.result.steps, found.result.best_step, found.result.best_value) == (12, 8, 0.5)
    assert found.result.history == folder / "run" / "journal.jsonl"


def test_how_a_run_logs_and_saves_makes_no_other_command(folder: Path) -> None:
    assert decisive(COMMAND) == {
        "teacher": "abc",
        "layers": [1, 2],
        "settings": {"alpha": 0.5, "training": {"seed": 1}},
    }
    assert finished(folder, verb="distil", command=changed(threads=1, trackers=(), checkpoint_every=1)) is not None
    # The command itself is only read.
    assert COMMAND["settings"]["training"]["threads"] == 2


@pytest.mark.parametrize("missing", ["manifest.json", "config.json", "run/done.json"])
def test_what_is_not_whole_is_done_again(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    assert finished(folder, verb="distil", command=COMMAND) is None


def test_other_commands_are_refused(folder: Path) -> None:
    with pytest.raises(ResumeError, match=r"settings.training.seed was 1 and is 2 now; give --out another folder"):
        finished(folder, verb="distil", command=changed(seed=2))
    with pytest.raises(ResumeError, match="teacher was 'abc' and is 'abd' now"):
        finished(folder, verb="distil", command={**COMMAND, "teacher": "abd"})
    with pytest.raises(InputError, match="was made by distilrank distil, not fine-tune"):
        finished(folder, verb="fine-tune", command=COMMAND)


def test_a_manifest_of_another_form_is_another_command(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"verb": "distil", "settings": {"old": 1}}', encoding="utf-8")
    with pytest.raises(ResumeError, match="old was 1 and is not given now"):
        finished(folder, verb="distil", command=COMMAND)


def test_libraries_of_the_export_are_missed_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"distilrank\[export\]"):
        finished(tmp_path, verb="distil", command=COMMAND)


def test_alarms_are_those_of_the_weights_that_were_kept(folder: Path) -> None:
    with Journal(folder / "run" / "journal.jsonl", stage="train") as journal:
        for step, message in ((4, "early"), (8, "kept"), (12, "late"), (0, "before"), (0, "before")):
            journal.write("alarm", step=step, check="a check", level="problem", message=message)
    found = finished(folder, verb="distil", command=COMMAND)
    assert found is not None
    assert [(each.check, each.level, each.message) for each in found.alarms] == [
        ("a check", "problem", "kept"),
        ("a check", "problem", "before"),
    ]
