"""A real collection that every machine has: the docstrings of the running Python's standard library.

A passage is a docstring without its first sentence, titled by the dotted name's last part being left
out (a name would give the answer away); the first sentence becomes the query that the passage answers.
Docstrings of a single sentence are passages that answer no query. Near-duplicates (the same text
inherited or copied between modules) are merged before anything is split.
"""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "__pycache__"}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(*<\[])|\n\s*\n")
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring and where it stands, as in ``json.decoder.JSONDecoder.decode``."""

    name: str
    text: str


def standard_library() -> Path:
    """Return the folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def read_docstrings(folder: Path) -> Iterator[Docstring]:
    """Yield every docstring under ``folder``, in the order of file names and lines."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if _LEFT_OUT.intersection(parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue  # a few files of the library are broken on purpose
        module = ".".join(part for part in parts if part != "__init__")
        yield from _docstrings_of(tree, module)


def _docstrings_of(node: ast.AST, name: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=True)
        if text:
            yield Docstring(name, inspect.cleandoc(text).strip())
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings_of(child, f"{name}.{child.name}")
        elif isinstance(child, ast.If | ast.Try):
            yield from _docstrings_of(child, name)


def first_sentence(text: str) -> tuple[str, str]:
    """Split a docstring into its first sentence and the rest; the rest is "" when there is only one."""
    parts = _SENTENCE_END.split(text, maxsplit=1)
    return " ".join(parts[0].split()), parts[1].strip() if len(parts) > 1 else ""


def words(text: str) -> list[str]:
    """Return the lower-case words and numbers of a text."""
    return _WORD.findall(text.lower())
