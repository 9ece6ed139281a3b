from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from distilrank.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
HOOK = runpy.run_path(str(ROOT / "tools" / "cli_reference.py"))
PAGE = (ROOT / "docs" / HOOK["PAGE"]).read_text(encoding="utf-8")


def filled(markdown: str, path: str = HOOK["PAGE"]) -> str:
    text: str = HOOK["on_page_markdown"](markdown, page=SimpleNamespace(file=SimpleNamespace(src_uri=path)), files=None)
    return text


def test_the_page_holds_the_help_of_every_verb() -> None:
    sections = filled(PAGE).split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == list(VERBS)
    for section in sections:
        verb = section.splitlines()[0]
        assert f"Usage: distilrank {verb} " in section
        assert "-h, --help" in section
        assert max(len(line) for line in section.splitlines()) <= 120
    assert "--layers <int>" in next(section for section in sections if section.startswith("distil\n"))


def test_other_pages_are_left_alone() -> None:
    assert filled("as it is", "index.md") == "as it is"


def test_a_page_without_the_mark_is_refused() -> None:
    with pytest.raises(ValueError, match=r"docs/reference/cli\.md lacks the line"):
        filled("# The command line")
