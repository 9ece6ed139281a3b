"""``distilrank quickstart``: the whole line at once, on a collection that every machine has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from distilrank.workflows.quickstart_report import Judged


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder to fill; run again, a stopped run goes on from there.")] = Path(
        "quickstart"
    ),
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE; repeatable.")] = None,
) -> None:
    r"""Build a collection, fine-tune a teacher, distil a student and prove what it kept; in minutes, offline.

    The collection is made of the docstrings of the running Python's standard library. OUT gets teacher, student, data
    (BEIR form), report.html and results.json.

    \b
    Examples:
      distilrank quickstart
      distilrank quickstart --out /tmp/trial --set student_steps=300 --set seed=7
    """
    from distilrank.data.settings_files import read_settings
    from distilrank.workflows.quickstart import QuickstartSettings
    from distilrank.workflows.quickstart import quickstart as run

    settings = read_settings(QuickstartSettings, changes=set_ or ())
    show(out, run(out, settings, command="distilrank " + " ".join(sys.argv[1:])))


def show(out: Path, result: Judged) -> None:
    """Print the table, the findings, one re-ranked query and where everything lies."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from distilrank.workflows.alarms import say_alarms

    console = Console()
    table = Table(title="Unseen queries: mean and 95% interval", box=SIMPLE_HEAD)
    table.add_column("")
    for name in (*result.rows[0].measures, "parameters", "MB", "ms per 100\npassages"):
        table.add_column(name, justify="right")
    for row in result.rows:  # the interval stands below its mean: a terminal has 80 columns
        measures = [f"{m.mean:.3f}\n{m.low:.3f}-{m.high:.3f}" for m in row.measures.values()]
        size = ("", "", "")
        if row.parameters and row.megabytes and row.ms_per_100_passages:
            size = (f"{row.parameters:,}", f"{row.megabytes:.1f}", f"{row.ms_per_100_passages:.0f}")
        table.add_row(row.name, *measures, *size)
    console.print(table)
    for finding in result.findings:
        console.print(finding, highlight=False)
    say_alarms(result.alarms)
    query, best = result.example
    console.print(f'\nThe student on "{query}"', highlight=False)
    for rank, text in enumerate(best, start=1):
        console.print(f"  {rank}. {text}", highlight=False, markup=False, overflow="ellipsis", no_wrap=True)
    console.print(f"\nReport: {out / 'report.html'}   Numbers: {out / 'results.json'}")
