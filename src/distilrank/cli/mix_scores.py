"""``distilrank mix-scores``: several teachers as one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def mix_scores(
    teachers: Annotated[list[Path], typer.Argument(help="Scored groups (JSONL), or folders that teach made.")],
    out: Annotated[Path, typer.Option(help="Folder of the result; it appears whole or not at all.")],
    groups: Annotated[
        Path | None, typer.Option(help="The groups that were scored, where teachers are folders of scores.")
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="Of a teacher, once for each in their order; 0 leaves one out.")
    ] = None,
    scale: Annotated[
        Literal["z-score", "min-max", "rank", "none"], typer.Option(help="What is made of each teacher's scores first.")
    ] = "z-score",
    per: Annotated[
        Literal["query", "all"], typer.Option(help="... with each query's by themselves, or with all of a teacher's.")
    ] = "query",
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the result of another mix-scores.")] = False,
) -> None:
    r"""Mix the scores that several teachers gave to the same groups: one scale for all, then a weighted mean.

    OUT/groups.jsonl has the groups with the mixed scores, to be trained on with --groups. Printed is how far the
    teachers agree with each other and with the mix: the mean of Kendall's tau over queries, and the share of queries
    for which both find the same passage best.

    \b
    Examples:
      distilrank mix-scores runs/bi.jsonl runs/cross.jsonl --out runs/mix
      distilrank mix-scores runs/bi.jsonl runs/cross.jsonl --weight 1 --weight 3 --scale rank --out runs/mix
      distilrank mix-scores runs/bi runs/cross --groups runs/openqa/groups/train.jsonl --out runs/mix
      distilrank fine-tune --data runs/openqa --groups runs/mix/groups.jsonl --objective listwise --set gains=scores \
        --out runs/student
    """
    from distilrank.data.lines import BadLines
    from distilrank.teaching.mixing import MixSettings
    from distilrank.workflows.mix_scores import mix

    bad = BadLines(allowed=skip_bad)
    settings = MixSettings(scale=scale, per=per, weights=tuple(weight or ()))
    mixed = mix(teachers, out, settings=settings, groups=groups, overwrite=overwrite, bad=bad)
    for error in bad.skipped:
        print(f"skipped: {error}", file=sys.stderr)
    for (one, other), found in mixed.agreements.items():
        print(
            f"{one} and {other}: Kendall's tau {found.kendall_tau:.3f}, the same passage best {found.same_best:.1%} "
            f"({found.groups:,} groups)"
        )
    print(f"{mixed.groups}: {mixed.count:,} scored groups")
