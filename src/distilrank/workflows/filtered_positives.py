"""Groups whose positives a teacher filtered, kept in the run folder so that a resumed run does not filter again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from distilrank.data.differences import first_difference
from distilrank.data.document_triples import filter_positives, positives_of
from distilrank.data.files import read_json, write_json
from distilrank.data.groups import GroupFile, write_groups
from distilrank.errors import ResumeError
from distilrank.records import Group
from distilrank.scorer import Scorer
from distilrank.workflows.progress import tracked


def filtered_groups(
    groups: Sequence[Group],
    teacher: Scorer,
    *,
    threshold: float,
    folder: Path,
    command: Mapping[str, object],
    shown: bool = True,
) -> GroupFile:
    """Filter the positives of groups into ``folder/filtered.jsonl``, or open what was filtered there before.

    Args:
        groups: With the ids of passages cut from documents.
        teacher: Scores the positives.
        threshold: Least probability of a positive; see ``filter_positives``.
        folder: The run folder.
        command: What identifies the filtering: groups, teacher and threshold. It is kept in ``filtered.json``.
        shown: Whether to show progress on standard error.

    Raises:
        ResumeError: The folder holds what another command filtered.
        InputError: A group has positives and no ``doc_ids``.
    """
    file, record = folder / "filtered.jsonl", folder / "filtered.json"
    wanted = json.loads(json.dumps({**command, "threshold": threshold}))
    if file.is_file() and record.is_file():
        difference = first_difference(read_json(record)["command"], wanted)
        if difference:
            raise ResumeError(
                f"{folder} holds positives that another command filtered: {difference}; give the same command to "
                "resume it, or another folder to start a new run"
            )
        return GroupFile(file)
    before = _positives(groups)  # refuses groups without identifiers before anything is written
    seen = tracked(groups, "filtering positives", total=len(groups), shown=shown)
    write_groups(filter_positives(seen, teacher, threshold=threshold), file)
    filtered = GroupFile(file)
    counts = {"groups": len(filtered), "positives_before": before, "positives": _positives(filtered)}
    write_json(record, {"command": wanted, **counts})
    return filtered


def _positives(groups: Sequence[Group]) -> int:
    return sum(len(positives_of(group)) for group in groups)
