from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.training.journal import Journal, read_events, read_lines, read_steps, seconds_spent


def write(path: Path, *events: tuple[str, int], stage: str = "train") -> None:
    with Journal(path, stage=stage) as journal:
        for event, step in events:
            journal.write(event, step=step)


def test_after_a_resume_each_step_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, ("start", 0), ("step", 1), ("step", 2), ("checkpoint", 2), ("step", 3), ("evaluate", 3))
    write(path, ("resume", 2), ("step", 3), ("evaluate", 3), ("step", 4), ("stop", 4))
    write(path, ("resume", 4), ("stop", 4), ("done", 4))
    assert [line["step"] for line in read_steps(path)] == [1, 2, 3, 4]
    assert [line["step"] for line in read_events(path, "evaluate")] == [3]
    assert [line["step"] for line in read_events(path, "stop")] == [4]
    assert len([line for line in read_lines(path) if line["event"] == "step"]) == 5  # the evidence stays


def test_a_start_from_nothing_forgets_what_was_before_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, ("start", 0), ("step", 1))
    write(path, ("start", 0), ("step", 1), ("step", 2))
    assert [line["step"] for line in read_steps(path)] == [1, 2]
    assert len(read_events(path, "start")) == 1


def test_stages_are_apart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, ("start", 0), ("step", 1), ("step", 2), stage="layers")
    write(path, ("start", 0), ("step", 1), stage="answers")
    assert [line["step"] for line in read_steps(path, stage="layers")] == [1, 2]
    assert [line["step"] for line in read_steps(path, stage="answers")] == [1]


def test_a_line_torn_by_a_kill_is_left_out_and_the_next_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    write(path, ("start", 0), ("step", 1), ("step", 2))
    path.write_bytes(path.read_bytes()[:-20])
    write(path, ("resume", 1), ("step", 2))
    assert [(line["event"], line["step"]) for line in read_lines(path)] == [
        ("start", 0),
        ("step", 1),
        ("resume", 1),
        ("step", 2),
    ]


def test_what_json_does_not_know_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl", stage="train") as journal, pytest.raises(ValueError, match="JSON"):
        journal.write("step", step=1, loss=float("nan"))


def test_no_path_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Journal(None, stage="train") as journal:
        journal.write("step", step=1)
        journal.sync()
    assert not list(tmp_path.iterdir())


def test_seconds_are_those_of_the_processes_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    clock = iter([10.0, 11.0, 13.5, 100.0, 101.0, 102.25, 500.0, 500.5])
    monkeypatch.setattr("distilrank.training.journal.time.time", lambda: next(clock))
    write(path, ("start", 0), ("step", 1), ("step", 2))
    write(path, ("resume", 1), ("step", 2), ("done", 2))
    write(path, ("start", 0), ("step", 1), stage="answers")
    assert seconds_spent(path) == pytest.approx(3.5 + 2.25 + 0.5)
