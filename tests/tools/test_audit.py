"""The audit of pinned versions, before a pip-audit that answers as told."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PINNED = {"name": "numpy", "version": "2.0.0", "vulns": []}
KNOWN = {**PINNED, "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0.1", "2.1"]}]}


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", Path(__file__).resolve().parents[2] / "tools" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "constraints.txt").write_text("numpy==2.0.0\n")
    (tmp_path / ".venv").mkdir()
    return tmp_path


def answering(
    audit: ModuleType, patch: pytest.MonkeyPatch, *dependencies: Any, stdout: str | None = None, error: str = ""
) -> list[list[str]]:
    """Have pip-audit installed, and answer; returns the commands that it was given."""
    asked: list[list[str]] = []
    answer = json.dumps({"dependencies": dependencies, "fixes": []}) if stdout is None else stdout

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        asked.append(command)
        return SimpleNamespace(returncode=int(not dependencies), stdout=answer, stderr=error)

    patch.setattr(audit, "_is_installed", lambda: True)
    patch.setattr(audit.subprocess, "run", run)
    return asked


def age(root: Path, seconds: float) -> None:
    stamp = root / ".venv" / ".audited"
    then = stamp.stat().st_mtime - seconds
    os.utime(stamp, (then, then))


def test_a_clean_answer_is_kept_for_a_day_and_for_these_versions(
    audit: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(audit, monkeypatch, PINNED, {"name": "x", "skip_reason": "not on PyPI"})
    line = "audit: 0 vulnerabilities known in 1 pinned versions; 1 others are not known to the advisory service"
    assert audit.main(root) == 0
    assert capsys.readouterr().out == f"{line}\n"
    assert str(root / "constraints.txt") in asked[0]
    age(root, 23 * 3600)
    assert audit.main(root) == 0
    assert (len(asked), capsys.readouterr().out) == (1, f"{line} (asked a while ago)\n")
    age(root, 2 * 3600)
    assert audit.main(root) == 0
    assert len(asked) == 2
    (root / "constraints.txt").write_text("numpy==2.0.1\n")
    assert audit.main(root) == 0
    assert len(asked) == 3


def test_what_is_known_fails_every_time(
    audit: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(audit, monkeypatch, PINNED, KNOWN)
    assert audit.main(root) == audit.main(root) == 1
    assert capsys.readouterr().out == 2 * (
        "audit: numpy 2.0.0: PYSEC-1, mended in 2.0.1, 2.1\naudit: 1 vulnerabilities known in 2 pinned versions\n"
    )
    monkeypatch.setattr(audit, "ACCEPTED", {"PYSEC-2": "we never call it"})
    audit.main(root)
    assert asked[-1][-2:] == ["--ignore-vuln", "PYSEC-2"]


def test_what_could_not_be_asked_is_said_and_does_not_fail(
    audit: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(audit, monkeypatch, stdout="", error="Traceback\nConnectionError: no route")
    assert audit.main(root) == audit.main(root) == 0
    line = "audit: NOT RUN, ConnectionError: no route"
    assert capsys.readouterr().out == f"{line}\n{line} (asked a while ago)\n"
    age(root, 3601)
    audit.main(root)
    assert len(asked) == 2

    def slow(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    age(root, 3601)
    monkeypatch.setattr(audit.subprocess, "run", slow)
    assert audit.main(root) == 0
    assert "did not answer within 20 s" in capsys.readouterr().out
    monkeypatch.setattr(audit, "_is_installed", lambda: False)
    assert audit.main(root) == 0
    assert capsys.readouterr().out.startswith("audit: NOT RUN, pip-audit is not installed")


@pytest.mark.parametrize("dependencies", [[], [{"name": "numpy", "skip_reason": "not found on PyPI"}]])
def test_an_answer_about_nothing_is_no_clean_answer(
    dependencies: list[Any],
    audit: ModuleType,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answering(audit, monkeypatch, *dependencies)
    assert audit.main(root) == 0
    assert capsys.readouterr().out == "audit: NOT RUN, the advisory service knows none of the pinned packages\n"
