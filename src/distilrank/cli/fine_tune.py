"""``distilrank fine-tune``: a teacher, or any ranker or classifier, from a checkpoint and labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def fine_tune(
    data: Annotated[Path, typer.Option(help="Folder that prepare made, JSONL groups, or a file of labelled texts.")],
    out: Annotated[Path, typer.Option(help="Folder of the model; run again, a stopped run goes on from there.")],
    model: Annotated[
        str, typer.Option(help="Checkpoint: a folder, a hub name, or minilm-l6 (from the package index).")
    ] = "minilm-l6",
    head: Annotated[
        Literal["classic", "cosine", "late_interaction"] | None,
        typer.Option(
            help="Rankers: the usual [CLS] head, or for bi-encoder checkpoints a warm one: cosine or late_interaction."
        ),
    ] = None,
    objective: Annotated[
        list[str] | None, typer.Option(help="info_nce, bce or listwise; give several to add them up.")
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Groups instead of the folder's own, such as scored ones.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Rankers: teacher scores of the groups, from teach.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the groups or examples.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; overrides --epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Groups (or examples) per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest pair.")] = None,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Of the forward pass.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of order, dropout and new weights.")] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between re-rankings of the dev queries.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many evaluations without a new best.")] = None,
    dev_queries: Annotated[int, typer.Option(help="Dev queries re-ranked each time.")] = 100,
    dev_depth: Annotated[int, typer.Option(help="Candidates of each.")] = 50,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any other setting; repeatable.")] = None,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Fine-tune a ranker with one logit, or a classifier, on labels.

    Rankers learn from groups: a query, its relevant passages and negatives. Classifiers learn from labelled texts or
    pairs; classes, several labels at once and numbers are told apart by the data. A killed run goes on when the same
    command is given again and ends in the same weights.

    \b
    Examples:
      distilrank fine-tune --data runs/nfcorpus --out runs/teacher --head cosine --objective info_nce --objective bce
      distilrank fine-tune --data runs/openqa --model bert-base-uncased --out runs/teacher --precision bf16
      distilrank fine-tune --data runs/mrpc --model bert-base-uncased --out runs/mrpc-teacher --epochs 3
    """
    from distilrank.cli.trained import show
    from distilrank.data.lines import BadLines
    from distilrank.data.settings_files import read_settings
    from distilrank.errors import SettingsError
    from distilrank.models.two_logits import load_ranker
    from distilrank.procedures.fine_tune import FineTuneSettings
    from distilrank.workflows.fine_tune import fine_tune_on_groups, fine_tune_on_labels
    from distilrank.workflows.training_data import DevSettings, is_labelled

    given = {
        "objectives": objective,
        "max_tokens": max_tokens,
        "training.epochs": epochs,
        "training.max_steps": steps,
        "training.batch_size": batch_size,
        "training.learning_rate": learning_rate,
        "training.precision": precision,
        "training.seed": seed,
        "training.evaluate_every": evaluate_every,
        "training.patience": patience,
    }
    chosen = read_settings(FineTuneSettings, settings, given=given, changes=set_ or ())
    bad = BadLines(allowed=skip_bad)
    command = "distilrank " + " ".join(sys.argv[1:])
    if is_labelled(data):
        if scores is not None:
            raise SettingsError("--scores is for groups of passages, not for labelled texts")
        trained = fine_tune_on_labels(
            model, data=data, out=out, settings=chosen, command=command, offline=offline, bad=bad
        )
    else:
        network, tokenizer = load_ranker(model, head=head, seed=chosen.training.seed, offline=offline)
        dev = DevSettings(queries=dev_queries, depth=dev_depth)
        trained = fine_tune_on_groups(
            network,
            tokenizer,
            started_from=model,
            data=data,
            out=out,
            settings=chosen,
            dev=dev,
            groups=groups,
            scores=scores,
            command=command,
            bad=bad,
        )
    show(trained, bad)
