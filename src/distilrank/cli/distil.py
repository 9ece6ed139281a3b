"""``distilrank distil``: a small ranker or classifier from a big one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer


def distil(
    teacher: Annotated[str, typer.Option(help="Fine-tuned ranker or classifier: a folder or a hub name.")],
    data: Annotated[Path, typer.Option(help="Folder that prepare made, JSONL groups, or a file of labelled texts.")],
    out: Annotated[Path, typer.Option(help="Folder of the student; run again, a stopped run goes on from there.")],
    procedure: Annotated[
        str,
        typer.Option(
            help="simplified_tinybert (one step), tinybert (two stages), bert_rankers, bilstm, standard, or scores (a "
            "list of objectives)."
        ),
    ] = "simplified_tinybert",
    shape: Annotated[
        str | None, typer.Option(help="Student of layers/hidden/feed-forward/heads, such as 3/384/1536/12.")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Student of so many layers copied from the teacher ...")] = None,
    copy: Annotated[Literal["uniform", "first", "last"], typer.Option(help="... and which ones.")] = "uniform",
    copy_layers: Annotated[str | None, typer.Option(help="The teacher's layers themselves, such as 2,4,6.")] = None,
    student: Annotated[str | None, typer.Option(help="Student from a checkpoint: a folder or a hub name.")] = None,
    vectors: Annotated[
        str | None, typer.Option(help="bilstm: file of word vectors, teacher (its own embeddings, reduced) or random.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="scores: name[:weight[:temperature]]; repeatable. Of scores: mse, bce, margin_mse, ranknet, kl, "
            "adr_mse, lambda_loss, list_mle, p_list_mle. Of labels: info_nce, hard_bce. Of layers: embedding, hidden, "
            "attention, relations, pkd."
        ),
    ] = None,
    augmented: Annotated[
        list[Path] | None, typer.Option(help="Examples that augment made, for the teacher to judge; repeatable.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="tinybert: epochs and length of a GLUE task, such as cola, as published.")
    ] = None,
    triples: Annotated[int | None, typer.Option(help="Rankers: triples drawn; two for each group by default.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Groups instead of the folder's own, such as scored ones.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Rankers: teacher scores of the groups, from teach.")] = None,
    filter_positives: Annotated[
        float | None,
        typer.Option(help="Train on passages of relevant documents from this probability by the teacher, such as 0.5."),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the pairs or examples.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; overrides --epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs (or examples, or groups) per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest pair.")] = None,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Of the forward passes.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of draws, order, dropout and new weights.")] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between re-rankings of the dev queries.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many evaluations without a new best.")] = None,
    dev_queries: Annotated[int, typer.Option(help="Dev queries re-ranked each time.")] = 100,
    dev_depth: Annotated[int, typer.Option(help="Candidates of each.")] = 50,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any other setting; repeatable.")] = None,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Distil a fine-tuned teacher into a student that is smaller and faster.

    The student's size is said in one of four ways: --shape, --layers (with --copy), --copy-layers or --student. A
    killed run goes on when the same command is given again and ends in the same weights.

    \b
    Examples:
      distilrank distil --teacher runs/teacher --data runs/nfcorpus --layers 3 --out runs/student
      distilrank distil --teacher runs/teacher --data runs/nfcorpus --shape 3/384/1536/12 --out runs/small
      distilrank distil --procedure standard --teacher runs/teacher --data runs/nfcorpus --layers 3 --out runs/kd
      distilrank distil --teacher runs/teacher --data runs/nfcorpus --layers 3 --set attention=0 --out runs/no-attention
      distilrank distil --procedure tinybert --student runs/general --teacher runs/cola-teacher --data runs/cola \
        --task cola --augmented augmented.jsonl --out runs/cola-student
      distilrank distil --procedure bilstm --teacher runs/sst2-teacher --data runs/sst2 --vectors vectors.txt \
        --augmented augmented.jsonl --shape 150/200 --out runs/bilstm
      distilrank distil --procedure scores --objective margin_mse --objective kl:0.5:2 --groups scored.jsonl \
        --teacher runs/teacher --data runs/nfcorpus --layers 3 --out runs/from-scores
      distilrank distil --procedure scores --objective kl --objective info_nce:0.3 --objective hidden:0.1 \
        --teacher runs/teacher --data runs/nfcorpus --layers 3 --out runs/mixed
      distilrank distil --teacher runs/teacher --data runs/cut --filter-positives 0.5 --layers 3 --out runs/documents
    """
    from distilrank.cli.command_line import command_line
    from distilrank.cli.trained import show
    from distilrank.data.lines import BadLines
    from distilrank.data.settings_files import read_settings
    from distilrank.errors import SettingsError
    from distilrank.procedures.bilstm import BiLstmPairSettings, BiLstmSettings
    from distilrank.procedures.score_distillation import Objective
    from distilrank.workflows.distil import distil as run
    from distilrank.workflows.distil import procedure_named, settings_for
    from distilrank.workflows.distil_bilstm import distil_bilstm as run_bilstm
    from distilrank.workflows.student import StudentSettings
    from distilrank.workflows.training_data import DevSettings

    given: dict[str, object] = {
        "max_tokens": max_tokens,
        "epochs": epochs,
        "max_steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "precision": precision,
        "seed": seed,
        "evaluate_every": evaluate_every,
        "patience": patience,
    }
    try:
        chosen_layers = None if copy_layers is None else tuple(int(layer) for layer in copy_layers.split(","))
    except ValueError:
        raise SettingsError(f"--copy-layers is {copy_layers!r} but must be numbers, such as 2,4,6") from None
    bad = BadLines(allowed=skip_bad)
    if procedure == "scores":
        given["objectives"] = [Objective.parse(text) for text in objective or ()] or None
    else:
        refuse(procedure, {"--objective": objective or None})
    if procedure == "bilstm":
        foreign = {"--layers": layers, "--copy-layers": copy_layers, "--student": student}
        refuse("bilstm", {**foreign, "--scores": scores, "--filter-positives": filter_positives, "--task": task})
        trained = run_bilstm(
            teacher=teacher,
            data=data,
            out=out,
            settings_for=lambda pairs: read_settings(
                BiLstmPairSettings if pairs else BiLstmSettings,
                settings,
                given={**given, **bilstm_shape(shape)},
                changes=set_ or (),
            ),
            dev=DevSettings(queries=dev_queries, depth=dev_depth),
            vectors=vectors or "teacher",
            augmented=augmented or (),
            triples=triples,
            groups=groups,
            command=command_line(),
            offline=offline,
            bad=bad,
        )
        show(trained, bad)
        return
    chosen = procedure_named(procedure)  # before anything that is said of the student
    refuse(procedure, {"--vectors": vectors})
    trained = run(
        procedure,
        teacher=teacher,
        data=data,
        out=out,
        student=StudentSettings(shape=shape, layers=layers, copy=copy, copy_layers=chosen_layers, start=student),
        settings=read_settings(
            chosen.settings,
            settings,
            given=given,
            changes=set_ or (),
            start=settings_for(task, procedure),
        ),
        dev=DevSettings(queries=dev_queries, depth=dev_depth),
        triples=triples,
        groups=groups,
        scores=scores,
        augmented=augmented or (),
        filter_positives=filter_positives,
        command=command_line(),
        offline=offline,
        bad=bad,
    )
    show(trained, bad)


def refuse(procedure: str, given: Mapping[str, object]) -> None:
    """Refuse options that a procedure has no use for."""
    from distilrank.errors import SettingsError

    foreign = [name for name, value in given.items() if value is not None]
    if foreign:
        raise SettingsError(f"the procedure {procedure} has no {' and no '.join(foreign)}")


def bilstm_shape(text: str | None) -> dict[str, int]:
    """Read ``hidden/fully connected``, such as 150/200; None: the procedure's own."""
    from distilrank.errors import SettingsError

    if text is None:
        return {}
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise SettingsError(f"--shape is {text!r}, but a BiLSTM has hidden/fully-connected, such as 150/200")
    return {"student.hidden": int(parts[0]), "student.fully_connected": int(parts[1])}
