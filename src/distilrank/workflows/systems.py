"""What a user names on the command line, a run or a model, told apart before anything is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilrank.data.files import open_text
from distilrank.data.folder import FIRST_STAGE
from distilrank.errors import InputError, nearest
from distilrank.workflows.scorers import weight_files

_PACKING = re.compile(r"\.(gz|xz|zst)$")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A run, or a model that re-ranks.

    Attributes:
        name: What it is called in tables; a name stands for one system.
        run: The file of a run; None for a model.
        model: Folder or hub name of a model; None for a run.
    """

    name: str
    run: Path | None = None
    model: str | None = None

    @property
    def files(self) -> list[Path]:
        """The files that decide its scores; none for a model of the hub and for a run that is yet to be made."""
        if self.run is not None:
            return [self.run]
        return [] if self.model is None else weight_files(self.model)


def find_run(given: str, runs: Mapping[str, Path]) -> System:
    """Find a run.

    Args:
        given: A TREC file, or the name of one of ``runs``.
        runs: Name -> file of the runs that the data brings.

    Raises:
        InputError: It is neither.
    """
    path = Path(given)
    if path.is_file():
        return System(name=_run_name(path), run=path)
    if given in runs:
        return System(name=title(given, runs[given]), run=runs[given])
    known = f", or one of the data's runs: {', '.join(runs)}" if runs else ""
    raise InputError(f"there is no run {given!r}; give a TREC file{known}{nearest(given, runs)}")


def find_model(given: str) -> System:
    """Find a model: a folder, or a name on the hub, which is looked up when it is loaded.

    Raises:
        InputError: It is a file, or could not be a name.
    """
    path = Path(given)
    if path.is_file():
        raise InputError("is a file where a model folder is expected; a run is given with --run", path=given)
    if not path.is_dir() and not _HUB_NAME.fullmatch(given):
        raise InputError(f"there is no model folder {given}; check the path, or give a name on the hub (OWNER/NAME)")
    return System(name=path.resolve().name if path.is_dir() else given, model=given)


def find_system(given: str, runs: Mapping[str, Path]) -> System:
    """Find a run or a model: a TREC file, a model folder, one of the data's runs, or a name on the hub.

    Raises:
        InputError: It is none of these.
    """
    path = Path(given)
    if path.is_file() or (given in runs and not path.is_dir()):
        return find_run(given, runs)
    if path.is_dir() or (_HUB_NAME.fullmatch(given) and not _looks_like_a_run(given)):
        return find_model(given)
    known = f", one of the data's runs ({', '.join(runs)})" if runs else ""
    problem = f"there is no run and no model {given!r}; give a TREC file, a model folder{known} or a name on the hub"
    raise InputError(f"{problem}{nearest(given, runs)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Who is compared with whom; the first three are keys of ``systems``.

    Attributes:
        first: The first stage, a run; without a file it is to be made.
        tested: The system under test; the first stage itself when no model is named.
        teacher: What the system was distilled from; None when none is named.
        systems: Name -> system, each once, the first stage first.
    """

    first: str
    tested: str
    teacher: str | None
    systems: Mapping[str, System]


def find_contest(
    *,
    first: System,
    model: str | None,
    teacher: str | None,
    baselines: Sequence[str],
    runs: Mapping[str, Path],
) -> Contest:
    """Find everyone that a user named. Where two share a name, the later one is called by its path.

    Raises:
        InputError: Something is neither a run nor a model.
    """
    tested = first if model is None else find_model(model)
    named: dict[str, System] = {}

    def find(given: str) -> System:
        # A first stage that is yet to be made has no file to find it by.
        return first if given == first.name and not Path(given).exists() else find_system(given, runs)

    def name_of(system: System) -> str:
        for name, other in named.items():
            if _same(system, other):
                return name
        name = system.name if system.name not in named else str(system.run or system.model)
        named[name] = system
        return name

    teaching = None if teacher is None else find(teacher)
    for system in (first, tested, *map(find, baselines)):
        name_of(system)
    taught_by = None if teaching is None else name_of(teaching)
    return Contest(first=name_of(first), tested=name_of(tested), teacher=taught_by, systems=named)


def _same(one: System, other: System) -> bool:
    if one.run is not None and other.run is not None:
        return one.run.resolve() == other.run.resolve()
    if one.model is not None and other.model is not None:
        return one.model == other.model or Path(one.model).resolve() == Path(other.model).resolve()
    return one == other


def title(name: str, path: Path) -> str:
    """Return what to call a run; one that is named after its split alone takes the tag of its first line."""
    if name != FIRST_STAGE:
        return name
    with open_text(path) as file:
        columns = file.readline().split()
    return columns[5] if len(columns) == 6 else name


def _run_name(path: Path) -> str:
    return re.sub(r"\.(trec|run|txt)$", "", _PACKING.sub("", path.name))


def _looks_like_a_run(given: str) -> bool:
    return _run_name(Path(given)) != Path(given).name
