"""The sentences that docs/troubleshooting.md quotes are those that the code has."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTES = [
    " ".join(quote.replace("\n>", " ").split()) for quote in re.findall(r"^> (.*(?:\n> .*)*)", PAGE, re.MULTILINE)
]
QUOTES += re.findall(r"^\| \d+ \| `(.*?)` \|", PAGE, re.MULTILINE)  # what the server answers
GAP = "\0"


def literals() -> str:
    """All texts of the code, one a line, with a gap for what is filled in."""
    found = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


CODE = literals()


def test_there_are_quotes() -> None:
    assert len(QUOTES) >= 25


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quoted_sentence_is_in_the_code(quote: str) -> None:
    said = re.sub(r"^(alarm|error|note|refused): ", "", quote)
    pieces = [piece.strip(" ;,.:()'") for piece in said.split("...")]
    pieces = [piece for piece in pieces if len(piece) > 9]
    assert pieces, f"{quote!r} quotes nothing"
    for piece in pieces:
        assert piece in CODE, f"{piece!r} of {quote!r} is no longer said"
