"""``distilrank choose-negatives``: which negatives to train on, by a teacher's scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def choose_negatives(
    data: Annotated[Path, typer.Option(help="Folder that prepare made, or JSONL groups.")],
    out: Annotated[Path, typer.Option(help="Folder of the result; it appears whole or not at all.")],
    groups: Annotated[
        Path | None, typer.Option(help="Groups instead of the folder's own, such as scored ones.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Teacher scores of the groups, from teach.")] = None,
    by: Annotated[
        Literal["first-stage", "teacher", "mixed"],
        typer.Option(help="The first stage's best, the teacher's best, or half of each."),
    ] = "teacher",
    negatives: Annotated[int, typer.Option(help="Most negatives of a group.")] = 7,
    margin: Annotated[float | None, typer.Option(help="Remove negatives above the positive's score less this.")] = None,
    share: Annotated[
        float | None, typer.Option(help="Remove negatives above this share of the positive's score, such as 0.95.")
    ] = None,
    highest: Annotated[float | None, typer.Option(help="Remove negatives above this score.")] = None,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the result of another choose-negatives.")
    ] = False,
) -> None:
    r"""Choose hard negatives by a teacher's scores, and remove those that are likely relevant.

    Make groups with many negatives first (prepare --negatives 50) and have them scored. A negative that scores like
    the positive is often one that nobody judged: it is removed by a margin or a share below the positive's score
    (NV-Retriever, arXiv 2407.15831), or above a score of its own. How many were removed is printed. Of several
    positives the lowest counts. OUT/groups.jsonl is trained on with --groups.

    \b
    Examples:
      distilrank choose-negatives --data runs/openqa --scores runs/openqa/scores --margin 1 --out runs/hard
      distilrank choose-negatives --data scored.jsonl --by mixed --negatives 15 --share 0.95 --out runs/hard
      distilrank fine-tune --data runs/openqa --groups runs/hard/groups.jsonl --out runs/ranker
    """
    from distilrank.data.hard_negatives import NegativeSettings
    from distilrank.data.lines import BadLines
    from distilrank.workflows.choose_negatives import GROUPS, choose

    bad = BadLines(allowed=skip_bad)
    settings = NegativeSettings(by=by, negatives=negatives, margin=margin, share=share, highest=highest)
    counts = choose(data, out, settings=settings, groups=groups, scores=scores, overwrite=overwrite, bad=bad)
    for error in bad.skipped:
        print(f"skipped: {error}", file=sys.stderr)
    print(f"{counts.removed:,} negatives removed as likely relevant, from {counts.touched:,} groups")
    lost = counts.without_positives + counts.without_negatives
    if lost:
        print(
            f"{lost:,} groups left out: {counts.without_positives:,} without a relevant passage, "
            f"{counts.without_negatives:,} without a negative that is left"
        )
    print(f"{out / GROUPS}: {counts.groups:,} groups with {counts.negatives:,} negatives")
