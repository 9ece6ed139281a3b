"""``distilrank average``: one model out of several of the same start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def average(
    models: Annotated[list[Path], typer.Argument(help="Folders of rankers or classifiers of one start and shape.")],
    out: Annotated[Path, typer.Option(help="Folder of the result; it appears whole or not at all.")],
    weight: Annotated[
        list[float] | None, typer.Option(help="Of a model, once for each in their order; all the same by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the result of another average.")] = False,
) -> None:
    r"""Average the weights of models that started from the same checkpoint.

    Half-way between a fine-tuned ranker and the one it started from often keeps what was won on its own data and gets
    back what was lost elsewhere; the mean of several seeds is often better than each. Models that did not start alike
    give nonsense: evaluate the result.

    \b
    Examples:
      distilrank average runs/warm runs/tuned --out runs/half-way
      distilrank average runs/warm runs/tuned --weight 1 --weight 3 --out runs/nearer
      distilrank average runs/seed-1 runs/seed-2 runs/seed-3 --out runs/soup
    """
    from distilrank.workflows.average import average as run

    command = "distilrank " + " ".join(sys.argv[1:])
    if not run(models, out, weights=weight or (), command=command, overwrite=overwrite):
        print("done before")
    print(out)
