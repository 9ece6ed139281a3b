"""``distilrank check``: does a model folder load where it is to be used, and score the same?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def check(model: Annotated[Path, typer.Argument(help="Model folder.")]) -> None:
    r"""Load a model folder consumer by consumer, and compare scores.

    transformers, sentence-transformers, onnxruntime, fastembed and FlashRank are run where they are installed; the
    others, and text-embeddings-inference, vLLM and Transformers.js, are checked by their written rules, and the line
    says so. Exit code 1, and a line on standard error for everything that is wrong.

    \b
    Example:
      distilrank check runs/student
    """
    from distilrank.export.consumers import check_consumers, open_folder

    failed = False
    for checked in check_consumers(open_folder(model)):
        for problem in checked.problems:
            print(f"{checked.consumer} ({checked.how}): {problem}", file=sys.stderr)
        if checked.passed:
            note = f"\t{checked.note}" if checked.note else ""
            print(f"{'-' if checked.how == 'not for it' else 'ok'}\t{checked.consumer}\t{checked.how}{note}")
        failed = failed or not checked.passed
    if failed:
        raise typer.Exit(1)
