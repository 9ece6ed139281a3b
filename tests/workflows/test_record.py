from __future__ import annotations

import json
from pathlib import Path

from distilrank.data.files import file_hash
from distilrank.data.lines import BadLines
from distilrank.errors import InputError
from distilrank.evaluation.diagnostics import Finding
from distilrank.workflows.record import is_record_of, write_record


def written(folder: Path) -> tuple[Path, Path]:
    """A record and the file it was made from."""
    data, record = folder / "data.txt", folder / "record.json"
    data.write_text("content")
    write_record(
        record,
        command="distilrank evaluate x",
        data="data",
        settings={"split": "test"},
        hashes={"data": {"path": str(data), "sha256": file_hash(data)}},
        found={"measure": 0.5},
        alarms=[Finding(check="odd", level="note", message="it is odd", count=3, examples=("a",))],
        bad=BadLines(allowed=1, skipped=[InputError("is bad", path="f", line=2)]),
    )
    return record, data


def test_a_record_says_what_was_run_and_found(tmp_path: Path) -> None:
    record = json.loads(written(tmp_path)[0].read_text())
    assert list(record) == ["command", "data", "settings", "versions", "inputs", "skipped", "alarms", "measure"]
    assert record["alarms"] == [
        {"check": "odd", "level": "note", "message": "it is odd", "count": 3, "examples": ["a"]}
    ]
    assert record["skipped"] == ["f, line 2: is bad"]
    assert (record["measure"], record["settings"]) == (0.5, {"split": "test"})


def test_a_record_is_of_one_command_on_unchanged_files(tmp_path: Path) -> None:
    record, data = written(tmp_path)
    assert is_record_of(record, "distilrank evaluate x")
    assert not is_record_of(record, "distilrank evaluate y")
    assert not is_record_of(tmp_path / "none.json", "distilrank evaluate x")
    data.write_text("changed")
    assert not is_record_of(record, "distilrank evaluate x")
    data.unlink()
    assert not is_record_of(record, "distilrank evaluate x")
