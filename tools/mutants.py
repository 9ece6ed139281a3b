"""Break the code on purpose, one break at a time, and see that a test notices.

Usage::

    python tools/mutants.py                  # all of tests/mutants/*.toml
    python tools/mutants.py losses soft      # those with one of these words in their name or their list's name
    python tools/mutants.py --list
    python tools/mutants.py --preload torch,transformers     # imported once, not by the tests of every break

Each break is one table in a list, ``tests/mutants/<part of the house>.toml``::

    [[mutant]]
    name = "attention-counts-padded-rows"                 # unique
    file = "src/distilrank/losses/attention.py"           # from the root of the repository
    old = "a piece of the file that occurs exactly once"
    new = "what stands there instead"
    tests = ["tests/losses/test_attention.py"]            # files or test ids, as pytest takes them

The break is made in a temporary copy of the tree, never in place. A break is *caught* when pytest runs and a
test fails. It *survived* when all pass; the list itself is wrong when the old text is not found exactly once,
or when pytest cannot collect the tests (a syntax error proves nothing). Either fails the run, exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"name", "file", "old", "new", "tests"}


class ListError(Exception):
    """The list of breaks is wrong, or the tests fail before anything is broken."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One deliberate break and the tests that should notice it; ``part`` is the name of its list."""

    part: str
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one break: ``caught`` or not, by or because of ``detail``."""

    name: str
    caught: bool
    detail: str
    seconds: float

    def __str__(self) -> str:
        return f"{'caught' if self.caught else 'NOT CAUGHT':10}  {self.name}  ({self.seconds:.1f} s)  {self.detail}"


def read_mutants(folder: Path) -> list[Mutant]:
    """Read the lists of breaks in a folder.

    Raises:
        ListError: A table has other keys than it should, or a name comes twice.
    """
    mutants = []
    for path in sorted(folder.glob("*.toml")):
        for table in tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", []):
            if set(table) != KEYS or not table["tests"] or table["old"] == table["new"]:
                raise ListError(f"{path.name}: {table.get('name', table)} needs {sorted(KEYS)}, tests, and a change")
            mutants.append(Mutant(part=path.stem, **{**table, "tests": tuple(table["tests"])}))
    names = [mutant.name for mutant in mutants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ListError(f"names come twice: {', '.join(twice)}")
    return mutants


@contextmanager
def snapshot(root: Path) -> Iterator[Path]:
    """Copy what git tracks or would track to a temporary folder, for as long as the context lasts.

    All breaks start from this one copy, so that editing the tree meanwhile does not matter.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder).resolve() / "tree"
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).is_file():  # a file deleted but still in the index is listed too
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / name, tree / name)
        yield tree


def environment(tree: Path) -> Mapping[str, str]:
    """The variables under which the tests import the package from ``tree`` and from nowhere else."""
    return {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": str(tree / "src"),
        # A break within the same second and of the same length would else run from a stale .pyc.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run_pytest(tree: Path, tests: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run the named tests of a tree up to the first failure, in a process that starts with ``--preload`` imported.

    Raises:
        ListError: They take too long.
    """
    told = ["-q", "-x", "--tb=no", "-rf", "-p", "no:cacheprovider", *tests]
    output = tree.parent / f"{tree.name}.output"
    child = multiprocessing.get_context("forkserver").Process(target=_pytest, args=(tree, told, output))
    child.start()
    child.join(timeout_s)
    if child.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid or 0, signal.SIGKILL)  # what the tests started too
        child.join()
        raise ListError(f"the tests did not end within {timeout_s:g} s")
    return subprocess.CompletedProcess(told, child.exitcode, output.read_text(encoding="utf-8", errors="replace"), "")


def _pytest(tree: Path, told: Sequence[str], output: Path) -> None:
    """Be the process that runs the tests of a tree, and leave with pytest's exit code."""
    os.setpgrp()
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment(tree))
    os.chdir(tree)
    sys.path[:0] = [str(tree / "src"), str(tree)]
    sys.dont_write_bytecode = True
    code = importlib.import_module("pytest").main(list(told))
    sys.stdout.flush()
    os._exit(int(code))  # without waiting for threads that a broken test left behind


def try_mutant(mutant: Mutant, whole: Path, timeout_s: float) -> Verdict:
    """Make one break in a copy of the ``whole`` tree and run its tests there."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-", dir=whole.parent) as folder:
        tree = shutil.copytree(whole, Path(folder) / "tree")
        try:
            break_file(mutant, tree)
            result = run_pytest(tree, mutant.tests, timeout_s)
            caught, detail = result.returncode == 1, explain(result)
        except ListError as error:
            caught, detail = False, str(error)
    return Verdict(name=mutant.name, caught=caught, detail=detail, seconds=time.monotonic() - start)


def break_file(mutant: Mutant, tree: Path) -> None:
    """Put the new text in the place of the old.

    Raises:
        ListError: There is no such file, or the old text does not occur exactly once in it.
    """
    path = tree / mutant.file
    if not path.is_file():
        raise ListError(f"there is no file {mutant.file}")
    text = path.read_text(encoding="utf-8")
    if (count := text.count(mutant.old)) != 1:
        raise ListError(f"the old text occurs {count} times in {mutant.file}, not once; bring it up to date")
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8", newline="\n")


def explain(result: subprocess.CompletedProcess[str]) -> str:
    """Say which test noticed, or why none did."""
    if result.returncode == 0:
        return "survived: all tests pass"
    if result.returncode == 1:
        failed = re.search(r"^FAILED (\S+)", result.stdout, flags=re.MULTILINE)
        return f"by {failed[1]}" if failed else "by a failing test"
    last = (result.stdout + result.stderr).strip().splitlines()[-1:]
    return f"pytest could not run the tests (exit code {result.returncode}): {' '.join(last)}"


def require_passing(mutants: Sequence[Mutant], tree: Path, timeout_s: float) -> None:
    """Run all the named tests on the unbroken tree: tests that fail anyway would catch everything.

    Raises:
        ListError: They fail, or they import the package from elsewhere.
    """
    command = [sys.executable, "-c", "import distilrank; print(distilrank.__path__[0])"]
    asked = subprocess.run(command, cwd=tree, env=environment(tree), capture_output=True, text=True, check=True)
    if not Path(asked.stdout.strip()).is_relative_to(tree):
        raise ListError(f"the tests would import distilrank from {asked.stdout.strip()}, not from the copy")
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    result = run_pytest(tree, tests, timeout_s * len(tests))
    if result.returncode != 0:
        raise ListError(f"the tests do not pass on the unbroken tree: {explain(result)}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Break the code on purpose and see that a test notices.")
    parser.add_argument("words", nargs="*", help="only breaks with one of these in their name or their list's")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="how many to run at once (default 2)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--timeout-s", type=float, default=120.0, help="for the tests of one break (default 120)")
    parser.add_argument("--preload", default="", metavar="MODULES", help="imported once, with commas between them")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the chosen breaks and print a line for each; return 1 when one is not caught, else 0."""
    options = parse(arguments)
    try:
        mutants = read_mutants(options.root / "tests" / "mutants")
        if options.words:
            mutants = [m for m in mutants if any(word in m.name or word in m.part for word in options.words)]
        if not mutants:
            raise ListError("no break has such a name" if options.words else "there are no breaks in tests/mutants")
        if options.list:
            print("\n".join(mutant.name for mutant in mutants))
            return 0
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
        multiprocessing.get_context("forkserver").set_forkserver_preload([*filter(None, options.preload.split(","))])
        with snapshot(options.root) as tree, ThreadPoolExecutor(options.jobs) as pool:
            require_passing(mutants, tree, options.timeout_s)
            verdicts = []
            for verdict in pool.map(lambda mutant: try_mutant(mutant, tree, options.timeout_s), mutants):
                print(verdict, flush=True)
                verdicts.append(verdict)
    except ListError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    caught = sum(verdict.caught for verdict in verdicts)
    print(f"{caught} of {len(verdicts)} caught")
    return 0 if caught == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
