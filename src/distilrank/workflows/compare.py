"""``distilrank compare``: several ways to distil, with several seeds each, trained, measured and compared.

::

    OUT/cells/<system>-<seed>/              what distil leaves, as by hand
                             commands.txt   the commands that make and measure it
                             measured/<test>.json, <test>.trec   what evaluate leaves
    OUT/teacher/<test>/teacher.json, teacher.trec
    OUT/comparison.json, comparison.md, <test>.svg
    OUT/failures/<system>-<seed>.txt        where an error came from

A cell is done when ``distil`` says so and its records are those of the same commands on the same files.
"""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from distilrank.data.files import atomic_write_bytes
from distilrank.errors import DistilrankError, SettingsError, nearest
from distilrank.evaluation.report.comparison import Comparison
from distilrank.workflows.compare_measuring import MeasuredOn, measure
from distilrank.workflows.compare_results import compare_cells

_NAME = re.compile(r"[\w.+=-]+")
RESERVED = ("teacher", "BM25")
"""What other rows of the table are called."""


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """What is compared.

    Attributes:
        teacher: Folder or hub name; of the share that is kept, and of every system that names no other.
        data: What is trained on: a folder that ``prepare`` made, or labelled texts.
        seeds: Of every system.
        against: The system that the others are compared with. None: the first.
        common: Options of ``distil`` for every system, by their names.
        systems: Name -> options of ``distil`` that make it, which replace common ones.
        tests: Name -> what is measured on it. Empty: the split called test of ``data``.
    """

    teacher: str = ""
    data: str = ""
    seeds: tuple[int, ...] = (1, 2, 3)
    against: str | None = None
    common: Mapping[str, object] = field(default_factory=dict)
    systems: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    tests: Mapping[str, MeasuredOn] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names that are no folders' names, and seeds that come twice."""
        for kind, names in (("system", self.systems), ("test", self.tests)):
            for name in names:
                if not _NAME.fullmatch(name) or name in RESERVED:
                    raise SettingsError(f"{kind} {name!r} cannot be called that; give it a name of letters and digits")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingsError(f"seeds are {list(self.seeds)}; give different ones, at least one")

    @property
    def baseline(self) -> str:
        """The system that the others are compared with."""
        return next(iter(self.systems)) if self.against is None else self.against

    def require_complete(self) -> None:
        """Refuse to start without a teacher, data, two systems and a baseline among them.

        Raises:
            SettingsError: Naming the first that is missing.
        """
        for name in ("teacher", "data"):
            if not getattr(self, name):
                raise SettingsError(f"{name} is missing; give --{name}")
        if len(self.systems) < 2:
            raise SettingsError(f"{len(self.systems)} system(s) are named; give --system at least twice")
        if self.baseline not in self.systems:
            known = ", ".join(self.systems)
            raise SettingsError(
                f"there is no system {self.baseline!r} to compare with{nearest(self.baseline, self.systems)}; "
                f"there are {known}"
            )


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One system with one seed.

    Attributes:
        system: Its name.
        seed: As it is told to ``distil``.
        folder: Of the model.
        arguments: Of ``distilrank``, the verb first.
    """

    system: str
    seed: int
    folder: Path
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its folder and records are called."""
        return self.folder.name


def cells_of(settings: CompareSettings, options: Mapping[str, Sequence[str]], out: Path) -> list[Cell]:
    """Return the cells, all systems of the first seed first, so that a table of all is there as soon as may be.

    Args:
        settings: See ``CompareSettings``.
        options: System -> its options as arguments.
        out: Folder of the comparison.
    """
    cells = []
    for seed in settings.seeds:
        for system, own in options.items():
            folder = out / "cells" / f"{system}-{seed}"
            usual = {"--teacher": settings.teacher, "--data": settings.data}
            named = [word for name, value in usual.items() if name not in own for word in (name, value)]
            arguments = ("distil", *named, *own, "--seed", str(seed), "--out", str(folder))
            cells.append(Cell(system=system, seed=seed, folder=folder, arguments=arguments))
    return cells


def compare(
    settings: CompareSettings,
    options: Mapping[str, Sequence[str]],
    *,
    out: Path,
    train: Callable[[Cell], None],
    threads: int | None = None,
    offline: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
) -> Comparison:
    """Make and measure every cell that is not there yet, then compare the systems.

    A cell that fails is said and left out; the same command tries it again.

    Args:
        settings: What is compared.
        options: System -> its options as arguments of ``distil``.
        out: Folder of the comparison.
        train: Makes the model of a cell, or returns at once where it is there.
        threads: Processor threads for measuring; None takes all cores.
        offline: Never use the network.
        command: The command line, for the record.
        say: Told what begins, and what failed.

    Raises:
        SettingsError: The settings are not complete.
        DistilrankError: The teacher cannot be measured.
    """
    settings.require_complete()
    tests = settings.tests or {"test": MeasuredOn()}
    tests = {name: test.on(settings.data) for name, test in tests.items()}
    for name, test in tests.items():
        say(f"measuring the teacher on {name}")
        measure(settings.teacher, test, out / "teacher" / name / "teacher", threads=threads, offline=offline)
    cells = cells_of(settings, options, out)
    failures: dict[str, str] = {}
    for place, cell in enumerate(cells, start=1):
        say(f"{place}/{len(cells)}  {cell.system}, seed {cell.seed}")
        error = make_cell(cell, tests, out, train, threads=threads, offline=offline)
        if error is not None:
            failures[cell.name] = error
            say(f"failed: {cell.name}: {error}")
    return compare_cells(
        settings.teacher,
        tests,
        {system: {str(c.seed): c.folder for c in cells if c.system == system} for system in options},
        out,
        baseline=settings.baseline,
        failures=failures,
        command=command,
        threads=threads,
        offline=offline,
    )


def make_cell(
    cell: Cell,
    tests: Mapping[str, MeasuredOn],
    out: Path,
    train: Callable[[Cell], None],
    *,
    threads: int | None,
    offline: bool,
) -> str | None:
    """Make and measure a cell; return what went wrong in one sentence, or None.

    Args:
        cell: See ``Cell``.
        tests: Test set -> what is measured on it.
        out: Folder in which ``teacher/<test>/teacher.trec`` lies, and a trace of what went wrong is left.
        train: Makes the model, or returns at once where it is there.
        threads: Processor threads for measuring; None takes all cores.
        offline: Never use the network.
    """
    trace = out / "failures" / f"{cell.name}.txt"
    try:
        train(cell)
        commands = [shlex.join(["distilrank", *cell.arguments])]
        for name, test in tests.items():
            teacher, own = out / "teacher" / name / "teacher.trec", cell.folder / "measured" / name
            commands.append(measure(str(cell.folder), test, own, teacher=teacher, threads=threads, offline=offline))
        atomic_write_bytes(cell.folder / "commands.txt", "".join(f"{each}\n" for each in commands).encode())
    except Exception as error:
        atomic_write_bytes(trace, traceback.format_exc().encode("utf-8", "replace"))
        sentence = str(error) if isinstance(error, DistilrankError) else f"{type(error).__name__}: {error}; see {trace}"
        return " ".join(sentence.split())
    trace.unlink(missing_ok=True)
    return None
