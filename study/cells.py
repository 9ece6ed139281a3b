"""A cell of the study: commands of distilrank that make one system with one seed, and where it is judged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is run as one piece.

    Attributes:
        name: Of its folder: the system, or ``system-seed``.
        commands: Arguments of distilrank, as one would type them; they are run in order and resume by themselves.
        needs: Cells whose folders the commands read.
        judged_on: Names of test sets. None: the cell makes something that others need.
        model: Cell whose folder is judged, where it is not the cell's own.
        precision: Of the file that is judged.
        minutes: Estimate for two cores at the ``cpu`` scale, judging included.
    """

    name: str
    commands: tuple[str, ...]
    needs: tuple[str, ...] = ()
    judged_on: tuple[str, ...] = ()
    model: str | None = None
    precision: Literal["fp32", "int8"] = "fp32"
    minutes: float


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the study asks.

    Attributes:
        name: A heading.
        asks: The question, in a sentence or two.
        published: What the papers say, with its source.
        systems: Rows of its table, in this order.
        against: Baselines: every other row is compared with each.
        sets: Test sets of its table.
        reading: What will count as an answer, said before there is one.
        margin: Differences whose interval lies within it cost nothing. None: it is asked who is better.
        kept_as_on: Test set whose share kept the shares on the others are held against. None: likewise.
    """

    name: str
    asks: str
    published: str
    systems: tuple[str, ...]
    against: tuple[str, ...]
    sets: tuple[str, ...]
    reading: str
    margin: float | None = None
    kept_as_on: str | None = None


def by_name(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Return the cells by their names, every one after those it needs.

    Raises:
        ValueError: Two have one name, one needs what is not there, or two need each other.
    """
    known = {cell.name: cell for cell in cells}
    if len(known) < len(cells):
        twice = sorted({cell.name for cell in cells if sum(other.name == cell.name for other in cells) > 1})
        raise ValueError(f"cells of one name: {', '.join(twice)}")
    ordered: dict[str, Cell] = {}

    def add(name: str, wanted_by: tuple[str, ...]) -> None:
        if name in wanted_by:
            raise ValueError(f"cells need each other: {' -> '.join((*wanted_by, name))}")
        if name not in known:
            raise ValueError(f"{wanted_by[-1]} needs {name}, which is not in the plan")
        for need in known[name].needs:
            add(need, (*wanted_by, name))
        ordered.setdefault(name, known[name])

    for cell in cells:
        add(cell.name, ())
    return ordered


def keys(cells: Mapping[str, Cell], test_sets: Mapping[str, str], *, start: str) -> dict[str, str]:
    """Return for each cell the hash of all that decides its numbers: commands, test sets, and the keys of its needs.

    Args:
        cells: In the order of ``by_name``.
        test_sets: Name -> arguments of ``evaluate``.
        start: Hash of what all cells share: the study teacher and the data.
    """
    found: dict[str, str] = {}
    for name, cell in cells.items():
        told = {
            "start": start,
            "commands": cell.commands,
            "judged_on": {each: test_sets[each] for each in cell.judged_on},
            "precision": cell.precision,
            "needs": {need: found[need] for need in cell.needs},
        }
        found[name] = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return found


def system_and_seed(name: str) -> tuple[str, str]:
    """Return ``system-seed`` as two; the seed is empty where a system has none."""
    system, dash, seed = name.rpartition("-")
    return (system, seed) if dash and seed.isdecimal() else (name, "")


def start_hash(teacher: Path, data: Path) -> str:
    """Return a hash of the study teacher's weights and of what the data folders say of themselves."""
    digest = hashlib.sha256()
    for file in [teacher / "model.safetensors", *sorted(data.glob("*/SOURCE.md"))]:
        digest.update(file.parent.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
