"""``distilrank search``: the best student for a budget of time and size."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distilrank.errors import InputError

if TYPE_CHECKING:
    from distilrank.workflows.search_report import Found


def search(
    teacher: Annotated[str, typer.Option(help="Fine-tuned ranker: a folder or a hub name.")],
    data: Annotated[str, typer.Option(help="Folder that prepare made, with a dev split.")],
    budget: Annotated[str, typer.Option(help='Such as "20 ms per 100 passages, 25 MB"; one of them is enough.')],
    out: Annotated[Path, typer.Option(help="Folder to fill; run again, a stopped search goes on from there.")],
    shape: Annotated[
        list[str] | None,
        typer.Option(
            help="3 or 3/384 (layers of the teacher, 384 wide), 3/192 (new ones, narrower), or 3/192/768/12; "
            "repeatable. By default fractions of the teacher."
        ),
    ] = None,
    common: Annotated[
        str | None, typer.Option(help='Options of distil for every shape, such as "--procedure scores ...".')
    ] = None,
    steps: Annotated[int, typer.Option(help="Of the first rung.")] = 500,
    eta: Annotated[int, typer.Option(help="One shape in so many goes on, for so many times the steps.")] = 2,
    seed: Annotated[int, typer.Option(help="Of every training.")] = 1,
    max_tokens: Annotated[int, typer.Option(help="Longest pair, trained and deployed.")] = 256,
    split: Annotated[str, typer.Option(help="Whose queries decide, and are timed.")] = "dev",
    run: Annotated[str | None, typer.Option(help="Candidates, as evaluate's.")] = None,
    measure: Annotated[str, typer.Option(help="What decides.")] = "nDCG@10",
    depth: Annotated[int, typer.Option(help="Candidates per query.")] = 50,
    max_queries: Annotated[int, typer.Option(help="Most queries.")] = 200,
    int8: Annotated[bool, typer.Option("--int8/--no-int8", help="Try 8 bits, behind export's gate.")] = True,
    trim: Annotated[
        bool, typer.Option("--trim/--no-trim", help="Try a vocabulary trimmed to the data's text, if MB are limited.")
    ] = True,
    threads: Annotated[int | None, typer.Option(help="Processor threads of the runtime; all cores by default.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Find the best student that fits a budget, on this machine and with your passages.

    Shapes are first measured untrained, as they would be deployed, and those that cannot fit are dropped. The rest is
    distilled for a few steps and judged on dev; the better half is trained for twice as many, and so on until two are
    left. The best of them that fits, in fp32 or 8 bits, with the whole or a trimmed vocabulary, is left in OUT/winner.
    Every training is an ordinary run of distil in OUT/cells, and the same command goes on where it stopped.

    Milliseconds are those of Ranker for 100 pairs of the split. Megabytes are the files that Ranker reads: one network,
    tokenizer.json and tokenizer_config.json.

    \b
    Examples:
      distilrank search --budget "20 ms per 100 passages, 25 MB" --teacher runs/teacher --data runs/nfcorpus \
        --out runs/search
      distilrank search --budget "25 MB" --shape 3 --shape 2 --shape 3/192 --steps 1000 --teacher runs/teacher \
        --data runs/nfcorpus --out runs/search
      distilrank search --budget "50 ms per 100 passages" --common "--procedure scores --objective kl --scores \
        runs/scores" --no-int8 --threads 1 --teacher runs/teacher --data runs/nfcorpus --out runs/search
    """
    from distilrank.cli.distil_options import train
    from distilrank.workflows.compare_measuring import MeasuredOn
    from distilrank.workflows.search import SearchSettings
    from distilrank.workflows.search import search as work
    from distilrank.workflows.search_budget import Budget

    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}, give at least 1")
    found = work(
        teacher,
        data,
        SearchSettings(
            budget=Budget.parse(budget),
            shapes=tuple(shape or ()),
            steps=steps,
            eta=eta,
            seed=seed,
            max_tokens=max_tokens,
            int8=int8,
            trim=trim,
            test=MeasuredOn(split=split, run=run, measures=(measure,), depth=depth, max_queries=max_queries),
        ),
        out=out,
        common=_common(common),
        train=train,
        threads=threads,
        offline=offline,
        command=shlex.join(["distilrank", *sys.argv[1:]]),
    )
    show(found, out)
    if found.failures:
        raise typer.Exit(1)


def _common(text: str | None) -> list[str]:
    """Return the options of every shape as arguments; those that the search itself chooses are refused."""
    from distilrank.cli.distil_options import checked, merged, parse_options
    from distilrank.errors import SettingsError

    options = merged({}, parse_options(text or ""))
    ours = ("teacher", "data", "shape", "layers", "copy_layers", "student", "epochs", "steps", "max_tokens")
    for name in options:
        if name in (*ours, "seed", "out"):
            raise SettingsError(f"--common has the option {name!r}, which search itself chooses; leave it out")
    if options.get("procedure") == "bilstm":
        raise SettingsError("--common has the procedure bilstm, whose students have no such shapes; take compare")
    return checked(options, system="--common")


def show(found: Found, out: Path) -> None:
    """Print the front and why the winner won, and on standard error what was suspicious or failed."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=160)
    table = Table(
        title="Pareto front: nothing else is as good, as fast and as small; * wins",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for name in ("", "student", found.measure, "ms per 100", "MB", "steps", ""):
        table.add_column(name, justify="left" if name in ("", "student") else "right")
    for form in found.shown:
        costs = (f"{form.ms_per_100:.1f}", f"{form.megabytes:.1f}", f"{form.steps:,}")
        interval = form.interval
        quality = f"{interval.mean:.4f} ({interval.low:.3f} to {interval.high:.3f})"
        fits = "" if form.fits(found.budget) else "too large"
        table.add_row("*" if form is found.winner else "", escape(form.name), quality, *costs, fits)
    console.print(table, highlight=False)
    for sentence in found.why:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for alarm in found.alarms:
        print(f"alarm: {alarm}", file=sys.stderr)
    for cell, problem in found.failures.items():
        print(f"failed: {cell}: {problem}", file=sys.stderr)
    console.print(f"\n{out / 'winner'}\n{out / 'report.html'}", highlight=False, markup=False)
