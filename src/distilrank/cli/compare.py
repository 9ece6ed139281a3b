"""``distilrank compare``: which way to distil is best on the user's data, and how sure that is."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distilrank.errors import InputError

if TYPE_CHECKING:
    from distilrank.evaluation.report.comparison import Comparison
    from distilrank.workflows.compare import CompareSettings


def compare(
    out: Annotated[Path, typer.Option(help="Folder to fill; run again, a stopped comparison goes on from there.")],
    teacher: Annotated[str | None, typer.Option(help="Folder or hub name.")] = None,
    data: Annotated[str | None, typer.Option(help="What is trained on, as distil's.")] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help='NAME or "NAME: options of distil"; repeatable. NAME alone is a procedure.'),
    ] = None,
    common: Annotated[
        str | None, typer.Option(help='Options of distil for every system, such as "--layers 3".')
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Of every system; 1,2,3 by default.")] = None,
    against: Annotated[
        str | None, typer.Option(help="System the others are compared with; the first by default.")
    ] = None,
    test_data: Annotated[str | None, typer.Option(help="Measure on this instead of --data.")] = None,
    split: Annotated[str | None, typer.Option(help="Whose queries or examples; test by default.")] = None,
    run: Annotated[str | None, typer.Option(help="Candidates, as evaluate's.")] = None,
    measures: Annotated[str | None, typer.Option(help="As evaluate's.")] = None,
    depth: Annotated[int | None, typer.Option(help="Candidates per query.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries or examples.")] = None,
    aggregate: Annotated[
        Literal["MaxP", "FirstP", "SumP", "AvgP", "k-MaxAvgP"] | None, typer.Option(help="As evaluate's.")
    ] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of all this.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads for measuring.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Distil in several ways, with several seeds each, and compare what comes of it.

    A system is a name and options of distil: another procedure, objective or student. Each of its runs is an ordinary
    one in OUT/cells, with its record, its ranking and its commands; the same command goes on where it stopped and tries
    again what failed. Prints means over the seeds with intervals, paired tests against one system with Holm's
    correction, and cost; writes them as comparison.md, comparison.json and a drawing.

    A file has the same names, "systems" and "tests" as tables: name -> options of distil, name -> options of evaluate.

    \b
    Examples:
      distilrank compare --teacher runs/teacher --data runs/nfcorpus --common "--layers 3" --system standard \
        --system simplified_tinybert --system "margin: --procedure scores --objective margin_mse" --out runs/compare
      distilrank compare --teacher runs/teacher --data runs/nfcorpus --system "deep: --layers 4" \
        --system "flat: --layers 2" --seeds 1,2,3,4,5 --split dev --out runs/shapes
      distilrank compare --settings objectives.yaml --out runs/objectives
    """
    from distilrank.cli.distil_options import checked, merged, train
    from distilrank.workflows.compare import compare as work

    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}, give at least 1")
    asked = {
        "split": split,
        "data": test_data,
        "run": run,
        "measures": measures,
        "depth": depth,
        "max_queries": max_queries,
        "aggregate": aggregate,
    }
    chosen = _settings(settings, teacher, data, system or (), common, seeds, against, asked)
    options = {
        name: checked(merged(chosen.common, _with_procedure(name, own)), system=name)
        for name, own in chosen.systems.items()
    }
    found = work(
        chosen,
        options,
        out=out,
        train=train,
        threads=threads,
        offline=offline,
        command=shlex.join(["distilrank", *sys.argv[1:]]),
    )
    show(found, out)
    if found.failures:
        raise typer.Exit(1)


def _settings(
    file: Path | None,
    teacher: str | None,
    data: str | None,
    systems: Sequence[str],
    common: str | None,
    seeds: str | None,
    against: str | None,
    asked: Mapping[str, object],
) -> CompareSettings:
    """Return what the file says, and what the command line says instead of it or besides."""
    from distilrank.cli.distil_options import parse_options
    from distilrank.data.settings_files import fit_value, read_settings
    from distilrank.errors import SettingsError
    from distilrank.evaluation.measures import split_names
    from distilrank.workflows.compare import CompareSettings
    from distilrank.workflows.compare_measuring import MeasuredOn

    numbers = None if seeds is None else fit_value(f"[{seeds}]", tuple[int, ...], "--seeds")
    given = {"teacher": teacher, "data": data, "against": against, "seeds": numbers}
    chosen = read_settings(CompareSettings, file, given=given)
    named = dict(chosen.systems)
    for text in systems:
        name, _, own = text.partition(":")
        if name.strip() in named:
            raise SettingsError(f"system {name.strip()!r} is named twice; give each a name of its own")
        named[name.strip()] = parse_options(own)
    changed = {name: value for name, value in asked.items() if value is not None}
    if isinstance(names := changed.get("measures"), str):
        changed["measures"] = tuple(split_names(names))
    tests = dict(chosen.tests)
    if changed and tests:
        raise SettingsError(f"{file} has its own tests; leave out --{next(iter(changed)).replace('_', '-')}")
    if changed:
        tests[str(changed.get("split", "test"))] = MeasuredOn(**changed)  # type: ignore[arg-type]
    own_common = chosen.common if common is None else parse_options(common)
    return dataclasses.replace(chosen, systems=named, common=own_common, tests=tests)


def _with_procedure(name: str, options: Mapping[str, object]) -> Mapping[str, object]:
    """Take a name that is a procedure's for the procedure, unless another is given."""
    from distilrank.workflows.distil import PROCEDURES

    return {"procedure": name, **options} if name in (*PROCEDURES, "bilstm") else options


def show(found: Comparison, out: Path) -> None:
    """Print a table for each test set, and on standard error what was suspicious or failed."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from distilrank.evaluation.report.comparison import cells, header
    from distilrank.evaluation.report.markdown import comparison_line

    console = Console() if sys.stdout.isatty() else Console(width=240)
    for test, tables in found.tests.items():
        table = Table(title=escape(test), title_justify="left", box=SIMPLE_HEAD)
        for place, name in enumerate(header(found, test)):
            table.add_column(escape(name), justify="right" if place > 1 else "left")
        for row in cells(found, test):
            table.add_row(*("\n".join(map(escape, texts)) for texts in row))
        console.print(table, highlight=False)
        for measure, each in ((name, each) for name, of in tables.items() for each in of.comparisons):
            console.print(f"{measure}: {comparison_line(each)}", highlight=False, markup=False)
    for alarm in found.alarms:
        print(f"alarm: {alarm}", file=sys.stderr)
    for cell, problem in found.failures.items():
        print(f"failed: {cell}: {problem}", file=sys.stderr)
    console.print(f"\n{out / 'comparison.md'}", highlight=False, markup=False)
