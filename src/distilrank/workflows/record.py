"""What ``evaluate`` leaves of a measurement: one JSON file that says what was run, on what, and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from distilrank.data.files import file_hash, library_versions, read_json, write_json
from distilrank.data.lines import BadLines
from distilrank.evaluation.diagnostics import Finding


def write_record(
    path: Path,
    *,
    command: str,
    data: str,
    settings: Mapping[str, object],
    hashes: Mapping[str, object],
    found: Mapping[str, object],
    alarms: Sequence[Finding] = (),
    bad: BadLines | None = None,
) -> None:
    """Write a record.

    Args:
        path: The file.
        command: The command line.
        data: The data, as it was named.
        settings: As they took effect.
        hashes: Name -> path and SHA-256 of a file that was read.
        found: What was measured; its entries follow at the end.
        alarms: What was suspicious about it.
        bad: Lines that were skipped.
    """
    record = {
        "command": command,
        "data": data,
        "settings": dict(settings),
        "versions": library_versions(),
        "inputs": dict(hashes),
        "skipped": [] if bad is None else [str(error) for error in bad.skipped],
        "alarms": [finding.as_dict() for finding in alarms],
    }
    write_json(path, {**record, **found})


def is_record_of(path: Path, command: str) -> bool:
    """Tell whether a file is the record of this command on files that are still what they were."""
    if not path.is_file():
        return False
    record = read_json(path)
    return record.get("command") == command and all(
        Path(each["path"]).is_file() and file_hash(each["path"]) == each["sha256"] for each in record["inputs"].values()
    )
