"""``distilrank evaluate``: what a model or a run is worth, beside its first stage, baselines and teacher."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from distilrank.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from distilrank.data.lines import BadLines
    from distilrank.evaluation.diagnostics import Finding
    from distilrank.workflows.evaluate import Evaluated
    from distilrank.workflows.evaluate_classification import EvaluatedClassifier


def evaluate(
    data: Annotated[
        str, typer.Option(help="Folder with queries and judgements, ir_datasets:ID, hf:OWNER/NAME, or labelled texts.")
    ],
    model: Annotated[
        str | None, typer.Argument(help="Model folder or hub name; without it the run is measured.")
    ] = None,
    split: Annotated[str, typer.Option(help="Whose queries and judgements.")] = "test",
    run: Annotated[
        str | None,
        typer.Option(help="Candidates: a TREC file or the name of a run in --data. Otherwise its own run, or BM25."),
    ] = None,
    measures: Annotated[
        str | None, typer.Option(help='As ir_measures writes them; "nDCG@10 RR@10 AP" by default.')
    ] = None,
    baseline: Annotated[list[str] | None, typer.Option(help="A run or model to compare with; repeatable.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Run or model it was distilled from: share kept, fidelity.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Candidates per query to re-rank; all of a run, 100 of BM25.")
    ] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries (or examples), the first ones.")] = None,
    aggregate: Annotated[
        Literal["MaxP", "FirstP", "SumP", "AvgP", "k-MaxAvgP"] | None,
        typer.Option(help="Judge documents by their passages; MaxP where prepare cut documents."),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Passages that k-MaxAvgP averages.")] = 3,
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything found, per query too.")] = None,
    out_run: Annotated[Path | None, typer.Option(help="Write the ranking as a TREC run.")] = None,
    card: Annotated[bool, typer.Option("--card", help="Add the measures to the model's card.")] = False,
    passage_vectors: Annotated[
        Path | None, typer.Option(help="Vectors that encode made; those in the model's folder by default.")
    ] = None,
    precision: Annotated[
        Literal["fp32", "int8", "auto"], typer.Option(help="Of the model: the float file, or the 8-bit one of export.")
    ] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Processor threads; all cores by default.")] = None,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Measure a ranker, a classifier or a run, and compare it with others on the same queries.

    Prints means with 95% bootstrap intervals; paired t-test and randomisation test against each of the others, with
    Holm's correction; and, with --teacher, the share of its quality that was kept and how alike the rankings are. The
    first stage is always shown. With --aggregate, models (and a run under test) are aggregated as told, and the first
    stage and other runs by their best passage.

    A classifier is measured on labelled texts, by accuracy, F1, Matthews, Pearson or Spearman as the labels ask.

    \b
    Examples:
      distilrank evaluate runs/student --data runs/nfcorpus --teacher runs/teacher --json student.json
      distilrank evaluate --data data/trec_dl19 --run BM25 --measures "nDCG@10 RR(rel=2)@10 AP(rel=2)"
      distilrank evaluate runs/student --data data/nfcorpus --run bm25.trec --depth 50 --out-run reranked.trec
      distilrank evaluate runs/student --data runs/docs --aggregate MaxP --baseline runs/teacher
      distilrank evaluate runs/student --data runs/nfcorpus --precision int8 --baseline float.trec
      distilrank evaluate runs/sst2-student --data runs/sst2 --split dev --teacher runs/sst2-teacher
    """
    from distilrank.data.lines import BadLines
    from distilrank.evaluation.measures import DEFAULT_MEASURES, split_names
    from distilrank.workflows.evaluate import EvaluateSettings, evaluate_ranking
    from distilrank.workflows.evaluate_classification import is_classification_data

    if card and (model is None or not Path(model).is_dir()):
        raise InputError("--card goes with the folder of a model")
    if passage_vectors is not None and model is None:
        raise InputError("--passage-vectors goes with a model")
    if precision != "fp32" and model is None:
        raise InputError("--precision goes with a model")
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}, give at least 1")
    bad = BadLines(allowed=skip_bad)
    compared: dict[str, Any] = {"baselines": baseline or (), "teacher": teacher}
    machine: dict[str, Any] = {"threads": threads, "offline": offline}
    if is_classification_data(data):
        given = {"--run": run, "--measures": measures, "--depth": depth, "--aggregate": aggregate}
        given["--precision"] = None if precision == "fp32" else precision
        _refuse(data, {**given, "--collection": collection, "--out-run": out_run, "--passage-vectors": passage_vectors})
        _classify(model, Path(data), split, max_queries, json_file, bad, **compared, **machine)
        return
    settings = EvaluateSettings(
        split=split,
        measures=DEFAULT_MEASURES if measures is None else tuple(split_names(measures)),
        depth=depth,
        max_queries=max_queries,
        aggregate=aggregate,
        k=k,
        precision=precision,
    )
    machine["passage_vectors"] = passage_vectors
    evaluated = evaluate_ranking(
        model, data=data, settings=settings, run=run, collection=collection, bad=bad, **compared, **machine
    )
    _show_ranking(evaluated, bad)
    if card:
        from distilrank.workflows.model_card import add_to_card

        found = evaluated.evaluation
        add_to_card(model or "", f"{Path(data).name}, {split}", system=found.system, intervals=found.intervals)
    if out_run is not None:
        from distilrank.data.trec import write_run

        write_run(evaluated.run, out_run, tag="-".join(Path(evaluated.evaluation.system).name.split()))
    if json_file is not None:
        _write(json_file, data, asdict(evaluated.settings), evaluated, bad)


def _refuse(data: str, given: Mapping[str, object]) -> None:
    """Refuse options that classification has no use for."""
    foreign = [name for name, value in given.items() if value is not None]
    if foreign:
        raise InputError(f"is classification data, which has no {' and no '.join(foreign)}", path=data)


def _classify(
    model: str | None,
    data: Path,
    split: str,
    max_examples: int | None,
    json_file: Path | None,
    bad: BadLines,
    **options: Any,
) -> None:
    """Measure a classifier."""
    from distilrank.evaluation.tables import classification_tables
    from distilrank.workflows.evaluate_classification import evaluate_classification

    if model is None:
        raise InputError("is classification data; name the classifier to measure", path=data)
    evaluated = evaluate_classification(model, data=data, split=split, max_examples=max_examples, bad=bad, **options)
    measured = next(iter(evaluated.inputs.values()))
    _print(classification_tables(evaluated.evaluation), [f"measured on {measured}"], evaluated.alarms, bad)
    if json_file is not None:
        settings = {"split": split, "max_queries": max_examples}
        _write(json_file, str(data), settings, evaluated, bad)


def _show_ranking(evaluated: Evaluated, bad: BadLines) -> None:
    from distilrank.evaluation.tables import ranking_tables, remarks

    _print(ranking_tables(evaluated.evaluation), remarks(evaluated.evaluation), evaluated.alarms, bad)


def _print(tables: Sequence[Table], remarks: Sequence[str], alarms: Sequence[Finding], bad: BadLines) -> None:
    """Print tables, and on standard error what else there is to know."""
    from rich.console import Console

    from distilrank.workflows.alarms import say_alarms

    # A file or a pipe has no width to keep to.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    for table in tables:
        console.print(table, highlight=False)
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    say_alarms(alarms)
    if bad.skipped:
        print(bad.listing(), file=sys.stderr)


def _write(
    path: Path, data: str, settings: Mapping[str, object], evaluated: Evaluated | EvaluatedClassifier, bad: BadLines
) -> None:
    """Write what was run, on what, with which versions, and what was found."""
    from distilrank.workflows.record import write_record

    write_record(
        path,
        command=shlex.join(["distilrank", *sys.argv[1:]]),
        data=data,
        settings=settings,
        hashes=evaluated.hashes(),
        found=evaluated.evaluation.as_dict(),
        alarms=evaluated.alarms,
        bad=bad,
    )
