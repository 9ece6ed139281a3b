"""The runner of deliberate breaks, on a tiny repository of its own."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

RUNNER = Path(__file__).resolve().parents[2] / "tools" / "mutants.py"
SUM = "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return a * 2\n"
TESTS = "from distilrank import add\n\n\ndef test_add():\n    assert add(2, 2) == 4\n"


def mutant(name: str, old: str, new: str) -> str:
    lines = {"name": name, "file": "src/distilrank/__init__.py", "old": old, "new": new}
    return "\n".join(["[[mutant]]", *(f'{key} = "{text}"' for key, text in lines.items()), 'tests = ["tests"]\n'])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, text in {
        "src/distilrank/__init__.py": SUM,
        "tests/test_add.py": TESTS,
        ".gitignore": "__pycache__\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def run(repository: Path, listed: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (repository / "tests" / "mutants").mkdir(exist_ok=True)
    (repository / "tests" / "mutants" / "sums.toml").write_text(listed, encoding="utf-8")
    command = [sys.executable, str(RUNNER), "--root", str(repository), *arguments]
    # The plugins at hand are not needed, and take longer to load than these tests to run.
    variables = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)


def test_a_break_that_a_test_notices_passes_and_the_tree_stays_whole(repository: Path) -> None:
    result = run(repository, mutant("minus", "a + b", "a - b"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("caught")
    assert "by tests/test_add.py::test_add" in result.stdout
    assert "1 of 1 caught" in result.stdout
    assert (repository / "src/distilrank/__init__.py").read_text(encoding="utf-8") == SUM


def test_breaks_that_prove_nothing_fail_the_run_and_are_named(repository: Path) -> None:
    listed = {
        "survivor": mutant("survivor", "a + b", "a * b"),  # 2 * 2 is 4 too
        "gone": mutant("gone", "a / b", "a - b"),
        "ambiguous": mutant("ambiguous", "return a", "return b"),
        "syntax": mutant("syntax", "a + b", "a +"),
    }
    result = run(repository, "\n".join(listed.values()) + "\n" + mutant("minus", "a + b", "a - b"))
    assert result.returncode == 1
    lines = dict(zip(listed, result.stdout.splitlines(), strict=False))
    assert all(line.startswith("NOT CAUGHT") for line in lines.values())
    assert "survived: all tests pass" in lines["survivor"]
    assert "occurs 0 times" in lines["gone"]
    assert "occurs 2 times" in lines["ambiguous"]
    assert "pytest could not run the tests" in lines["syntax"]
    assert "1 of 5 caught" in result.stdout


def test_breaks_are_chosen_by_name(repository: Path) -> None:
    listed = mutant("minus", "a + b", "a - b") + mutant("survivor", "a + b", "a * b")
    assert run(repository, listed, "--list").stdout.split() == ["minus", "survivor"]
    assert run(repository, listed, "--list", "minu").stdout.split() == ["minus"]
    assert run(repository, listed, "--list", "sums").stdout.split() == ["minus", "survivor"]
    result = run(repository, listed, "nothing")
    assert (result.returncode, result.stderr) == (1, "error: no break has such a name\n")


def test_tests_that_fail_anyway_catch_nothing(repository: Path) -> None:
    (repository / "tests/test_add.py").write_text(TESTS.replace("== 4", "== 5"), encoding="utf-8")
    result = run(repository, mutant("minus", "a + b", "a - b"))
    assert result.returncode == 1
    assert "do not pass on the unbroken tree: by tests/test_add.py::test_add" in result.stderr


@pytest.mark.slow
def test_endless_breaks_are_stopped(repository: Path) -> None:
    result = run(repository, mutant("endless", "return a + b", "exec('while True: pass')"), "--timeout-s", "20")
    assert result.returncode == 1
    assert "did not end within 20 s" in result.stdout


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        (mutant("same", "a + b", "a + b"), "same needs"),
        ('[[mutant]]\nname = "short"\n', "short needs"),
        (mutant("minus", "a + b", "a - b") * 2, "names come twice: minus"),
        ("", "there are no breaks in tests/mutants"),
    ],
)
def test_a_wrong_list_is_refused(repository: Path, listed: str, problem: str) -> None:
    result = run(repository, listed)
    assert result.returncode == 1
    assert problem in result.stderr


def test_every_break_of_this_repository_can_be_made() -> None:
    root = RUNNER.parents[1]
    for path in sorted((root / "tests" / "mutants").glob("*.toml")):
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]:
            text = (root / entry["file"]).read_text(encoding="utf-8")
            assert text.count(entry["old"]) == 1, f"{path.name}: {entry['name']} is not up to date with {entry['file']}"
            if entry["file"].endswith(".py"):
                ast.parse(text.replace(entry["old"], entry["new"]), entry["file"])  # a syntax error proves nothing
            for test in entry["tests"]:
                assert (root / test.split("::")[0]).exists(), f"{path.name}: {entry['name']} names {test}: gone"
