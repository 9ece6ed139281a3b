"""``distilrank general-distil``: a general student of a language model, on plain text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def general_distil(
    text: Annotated[
        list[Path],
        typer.Option(help="Plain text (a sentence a line, blank lines between documents) or passages; repeatable."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the student; run again, a stopped run goes on from there.")],
    teacher: Annotated[
        str, typer.Option(help="Language model, not fine-tuned: a folder, a hub name, or minilm-l6.")
    ] = "minilm-l6",
    shape: Annotated[
        str | None, typer.Option(help="Student of layers/hidden/feed-forward/heads, such as 3/384/1536/12.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Student of so many layers copied from the teacher ...")] = None,
    copy: Annotated[Literal["uniform", "first", "last"], typer.Option(help="... and which ones.")] = "uniform",
    student: Annotated[str | None, typer.Option(help="Student from a checkpoint: a folder or a hub name.")] = None,
    chunks: Annotated[
        Path | None, typer.Option(help="Folder of tokenised text, made once and shared by several runs.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the text.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; overrides --epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Chunks of text per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest chunk.")] = None,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Of the forward passes.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of chunks, order, dropout and new weights.")] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any other setting; repeatable.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Distil a language model into a small one on plain text: TinyBERT's first phase.

    The result has no head: distil and fine-tune start from it (--student, --model). Text is read as a stream, packed
    or not: plain text, or passages as .tsv (id, article id, title, text) or .jsonl. A killed run goes on when the same
    command is given again and ends in the same weights.

    \b
    Examples:
      distilrank general-distil --text wikipedia.txt.xz --teacher bert-base-uncased --shape 4/312/1200/12 --out runs/gd
      distilrank general-distil --text passages.tsv.xz --layers 3 --steps 2000 --batch-size 32 --out runs/minilm-3
    """
    from distilrank.cli.trained import show
    from distilrank.data.chunks import ChunkSettings
    from distilrank.data.lines import BadLines
    from distilrank.data.settings_files import read_settings
    from distilrank.procedures.tinybert import GeneralDistillationSettings
    from distilrank.workflows.general_distillation import distil_generally
    from distilrank.workflows.student import StudentSettings

    given = {
        "max_tokens": max_tokens,
        "epochs": epochs,
        "max_steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
    }
    chosen = read_settings(GeneralDistillationSettings, settings, given=given, changes=set_ or ())
    trained = distil_generally(
        text,
        teacher=teacher,
        out=out,
        student=StudentSettings(shape=shape, layers=layers, copy=copy, start=student),
        settings=chosen,
        chunking=ChunkSettings(seed=chosen.training.seed),
        chunks=chunks,
        command="distilrank " + " ".join(sys.argv[1:]),
        offline=offline,
    )
    show(trained, BadLines())
