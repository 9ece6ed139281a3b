"""``distilrank calibrate``: make a ranker's displayed scores probabilities."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from distilrank.errors import InputError


def calibrate(
    model: Annotated[Path, typer.Argument(help="Folder of an exported ranker.")],
    data: Annotated[str, typer.Option(help="Folder with queries and judgements, or a public collection.")],
    split: Annotated[str, typer.Option(help="Whose queries and judgements; not those it was trained on.")] = "dev",
    method: Annotated[
        Literal["temperature", "isotonic"],
        typer.Option(help="Scale and shift of the logit, or any rising curve, which needs more judgements."),
    ] = "temperature",
    precision_wanted: Annotated[
        float, typer.Option(help="Look for the threshold at which so large a share of what is kept is relevant.")
    ] = 0.9,
    rel: Annotated[int, typer.Option(help="Grade from which a judgement counts as relevant.")] = 1,
    unjudged: Annotated[
        Literal["left-out", "not-relevant"], typer.Option(help="What becomes of candidates that nobody judged.")
    ] = "left-out",
    run: Annotated[str | None, typer.Option(help="Candidates, as for evaluate.")] = None,
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "int8"], typer.Option(help="File that is run, as for rank and serve.")
    ] = "auto",
    depth: Annotated[int | None, typer.Option(help="Candidates per query that are scored.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries, the first ones.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads; all cores by default.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Learn from judged queries what a ranker's scores mean, and write calibration.json into its folder.

    From then on serve answers probabilities instead of sigmoids of the logit, and rank --probabilities shows them.
    Rankings stay as they are, by logit, and so do the weights. Prints how far probabilities are from what was judged,
    before and after, each query by a fit to other queries, and a threshold for the precision wanted. To take it back,
    remove the file.

    \b
    Examples:
      distilrank calibrate runs/student --data runs/data --split dev
      distilrank calibrate runs/student --data data/trec_dl19 --split test --rel 2 --precision-wanted 0.8
      distilrank rank runs/student --query "why is the sky blue" --passages passages.txt --probabilities
    """
    from rich.console import Console

    from distilrank.evaluation.tables import calibration_tables
    from distilrank.workflows.calibrate import CalibrateSettings
    from distilrank.workflows.calibrate import calibrate as learn

    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}, give at least 1")
    settings = CalibrateSettings(
        split=split,
        method=method,
        rel=rel,
        unjudged=unjudged,
        precision_wanted=precision_wanted,
        precision=precision,
        depth=depth,
        max_queries=max_queries,
    )
    made = learn(model, data=data, settings=settings, run=run, collection=collection, threads=threads, offline=offline)
    print(f"{made.path}\t{made.sentence()}")
    console = Console() if sys.stdout.isatty() else Console(width=240)
    for table in calibration_tables(made.before, made.after):
        console.print(table, highlight=False)
    found = made.threshold
    if found is None:
        print(f"no threshold reaches a precision of {precision_wanted:g} on these candidates")
        return
    print(
        f"threshold {found.probability:.3f}: precision {found.precision.mean:.3f} ({found.precision.low:.3f} to "
        f"{found.precision.high:.3f}), recall {found.recall:.3f}, {found.pairs:,} of {made.pairs:,} candidates kept"
    )
