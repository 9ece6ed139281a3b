"""Who and what ``distilrank bench`` measures, from what a user names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from distilrank.benchmark.entry import PEERS, Entry, Runner
from distilrank.benchmark.results import Clock
from distilrank.errors import InputError, SettingsError, nearest
from distilrank.runtime.folder import network_file, require_folder, usable_cores

TEACHER = "teacher"


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """What is measured.

    Attributes:
        passages: Of a query, all scored at once.
        tokens: Lengths of made pairs. None: the usual ones, or none where there is data.
        rounds: How many times every query is asked; of a length there are ten.
        starts: Fresh processes that each system is started in.
        threads: Of every system; None takes all cores.
        batch_tokens: Limit on the padded tokens of a batch of distilrank's; None takes what it would take by itself.
        precision: ``auto``: what would be run, ``both``: the float file and the 8-bit one.
        clock: Which time is shown.
    """

    passages: int = 100
    tokens: tuple[int, ...] | None = None
    rounds: int = 3
    starts: int = 3
    threads: int | None = None
    batch_tokens: int | None = None
    precision: Literal["auto", "fp32", "int8", "both"] = "auto"
    clock: Clock = "wall"

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("passages", "rounds", "starts", "threads", "batch_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}, give at least 1")
        if self.tokens is not None and any(tokens < 1 for tokens in self.tokens):
            raise SettingsError(f"tokens are {', '.join(map(str, self.tokens))}; give at least 1")


def find_entries(
    folders: Sequence[Path], *, teacher: Path | None, peers: Sequence[str], settings: BenchSettings
) -> list[Entry]:
    """Return who takes part: the teacher first, the folders, then other packages with the first folder.

    Args:
        folders: Of models, at least one.
        teacher: Folder of the model that they were distilled from.
        peers: ``NAME`` of a package that is installed here, or ``NAME=PYTHON`` with an interpreter that has it.
        settings: See ``BenchSettings``.

    Raises:
        ModelError: A folder is none, or lacks the precision asked for.
        InputError: A package is not known.
    """
    found: list[Entry] = []

    def add(name: str, folder: Path, runner: Runner, python: str = sys.executable) -> None:
        for entry in _by_precision(name, folder, runner, python, settings):
            taken = {other.name for other in found}
            found.append(replace(entry, name=f"{entry.name} ({folder})") if entry.name in taken else entry)

    if teacher is not None:
        add(TEACHER, require_folder(teacher), _own_runner(teacher))
    for folder in folders:
        add(folder.resolve().name, require_folder(folder), _own_runner(folder))
    known: dict[str, Runner] = {peer: peer for peer in PEERS}
    for peer in peers:
        name, _, python = peer.partition("=")
        if name not in known:
            raise InputError(f"{name!r} is no package that is run here ({', '.join(known)}){nearest(name, known)}")
        add(name, folders[0], known[name], python or sys.executable)
    return found


def _own_runner(folder: Path) -> Runner:
    # An 8-bit file may have been handed over without the float one, and without weights.
    exported = (folder / "onnx" / "model.onnx").is_file() or not any(folder.glob("*.safetensors"))
    return "distilrank" if exported else "torch"


def _by_precision(name: str, folder: Path, runner: Runner, python: str, settings: BenchSettings) -> list[Entry]:
    """Return an entry for each file that is to be run."""
    entry = Entry(
        name=name,
        folder=folder,
        runner=runner,
        threads=settings.threads or usable_cores(),
        batch_tokens=settings.batch_tokens,
        python=python,
    )
    if runner in ("torch", "sentence-transformers"):
        return [entry]
    if settings.precision != "both":
        return [replace(entry, precision=settings.precision)]
    floating, small = network_file(folder, "fp32"), network_file(folder, "auto")
    entries = [replace(entry, name=f"{name}, fp32")]
    return entries if small == floating else [*entries, replace(entry, name=f"{name}, int8", precision="int8")]
