"""Put the help of every verb into docs/reference/cli.md while the documentation is built.

mkdocs loads this file as a hook (``hooks`` in mkdocs.yml). The page in the repository says where the help belongs; the
help itself is that of the installed command line, so it cannot grow old.
"""

from __future__ import annotations

from typing import Any

import click
import typer.main

from distilrank.cli.app import build_app
from distilrank.cli.verbs import VERBS

PAGE = "reference/cli.md"
MARK = "<!-- the help of every verb -->"
WIDTH = 100


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:
    """Return the page's text, with the help in the place of the mark (mkdocs calls this for each page)."""
    if page.file.src_uri != PAGE:
        return markdown
    if MARK not in markdown:
        raise ValueError(f"docs/{PAGE} lacks the line {MARK!r}, where the help of the verbs belongs")
    return markdown.replace(MARK, reference())


def reference() -> str:
    """Return one section per verb: its name and its help, as ``distilrank VERB -h`` prints it."""
    group = typer.main.get_command(build_app(VERBS))
    above = click.Context(group, info_name="distilrank", terminal_width=WIDTH, **group.context_settings)
    sections = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        context = click.Context(command, info_name=name, parent=above, terminal_width=WIDTH)
        sections.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(sections)
