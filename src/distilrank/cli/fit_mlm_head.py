"""``distilrank fit-mlm-head``: a masked-language model from a checkpoint that lost its head."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fit_mlm_head(
    text: Annotated[Path, typer.Option(help="Plain text, one sentence a line, or passages as .tsv or .jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder of the model; run again, a stopped run goes on from there.")],
    model: Annotated[str, typer.Option(help="BERT checkpoint: a folder, a hub name, or minilm-l6.")] = "minilm-l6",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Texts per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest text.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of masks, order and new weights.")] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any other setting; repeatable.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Fit a masked-language head to a BERT that has none, on plain text; the encoder's layers learn with it.

    For augment --mlm. What is printed at the end is how often a masked word of held-out text is among the head's 15
    most probable tokens.

    \b
    Examples:
      distilrank fit-mlm-head --model minilm-l6 --text passages.tsv.xz --out runs/minilm-mlm --steps 1000
      distilrank fit-mlm-head --model runs/bert --text plain.txt --set learned_layers=0 --out runs/bert-mlm
    """
    from distilrank.data.settings_files import read_settings
    from distilrank.procedures.masked_language_head import MaskedLanguageHeadSettings
    from distilrank.workflows.fit_mlm_head import fit_mlm_head as run

    given = {
        "max_tokens": max_tokens,
        "training.max_steps": steps,
        "training.batch_size": batch_size,
        "training.learning_rate": learning_rate,
        "training.seed": seed,
    }
    chosen = read_settings(MaskedLanguageHeadSettings, settings, given=given, changes=set_ or ())
    trained = run(model, text=text, out=out, settings=chosen, offline=offline)
    print(f"{trained.folder}: {trained.parameters:,} parameters; hit rate at 15 on held-out words", end=" ")
    print(f"{trained.result.best_value:.3f} after step {trained.result.best_step}")
    print(f"journal: {trained.result.history}")
