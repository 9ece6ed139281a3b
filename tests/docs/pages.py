"""What stands in the pages: blocks of code, the commands in them, and commands inside sentences."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
SHELL = ("bash", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path from the root of the repository.
        line: Where it begins.
        language: What stands behind the fence; "" for nothing.
        text: What is between the fences.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[str]:
        """The commands of a shell block, each in one line; of a console's what stands behind its prompt."""
        lines = [line.strip() for line in self.text.replace("\\\n", " ").splitlines()]
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line and not line.startswith("#")]


def name_of(page: Path) -> str:
    """A page's path from the root of the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(name_of(page), text.count("\n", 0, found.start()) + 2, found[2], found[3])
        for found in BLOCK.finditer(text)
    ]


def outside_blocks(page: Path) -> str:
    """A page without its fenced blocks."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def words(command: str) -> list[str]:
    """A command as its arguments, without comments."""
    return shlex.split(command, comments=True)


def our_arguments(command: str) -> list[str] | None:
    """What a command says to ``distilrank``; None when it runs something else."""
    told = words(command)
    for before in (["distilrank"], ["-m", "distilrank"]):
        for i in range(len(told) - len(before) + 1):
            if told[i : i + len(before)] == before and (len(before) == 2 or i == 0):
                return told[i + len(before) :]
    return None
