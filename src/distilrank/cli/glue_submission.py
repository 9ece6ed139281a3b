"""``distilrank glue-submission``: predictions on a GLUE test set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def glue_submission(
    model: Annotated[str, typer.Option(help="Classifier: a folder or a hub name.")],
    task: Annotated[str, typer.Option(help="CoLA, SST-2, MRPC, STS-B, QQP, MNLI-m, MNLI-mm, QNLI, RTE, WNLI or AX.")],
    data: Annotated[Path, typer.Option(help="The task's test file.")],
    out: Annotated[Path, typer.Option(help="Folder of the submission; the file in it is named after the task.")],
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Predict a GLUE test set in the form that the benchmark's server takes.

    \b
    Example:
      distilrank glue-submission --model runs/cola-student --task CoLA --data CoLA/test.tsv --out submission
    """
    from distilrank.data.lines import BadLines
    from distilrank.workflows.glue_submission import write_submission

    bad = BadLines(allowed=skip_bad)
    file = write_submission(model, data, out, task=task, offline=offline, bad=bad)
    for error in bad.skipped:
        print(f"skipped: {error}", file=sys.stderr)
    print(file)
