"""The whole line on a collection that every machine has: from raw text to a small ranker and proof of what it kept.

Sized by steps, never by the clock, for under 15 minutes on two cores; run again, it goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from distilrank.data.files import file_hash, library_versions, read_json, write_json
from distilrank.data.folder import RankingFolder
from distilrank.data.trec import read_run, write_run
from distilrank.evaluation.evaluate import Evaluation, evaluate_runs
from distilrank.evaluation.report import Report, Row, loss_curves, query_differences, worst_and_best, write_report
from distilrank.evaluation.rerank import rerank, shorten
from distilrank.models.load import load_model
from distilrank.procedures.fine_tune import FineTuneSettings
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings
from distilrank.procedures.standard_distillation import StandardDistillationSettings
from distilrank.records import Run
from distilrank.runtime.ranker import Ranker
from distilrank.training.journal import read_steps
from distilrank.training.settings import Precision, TrainingSettings
from distilrank.workflows.distil import StudentSettings, distil
from distilrank.workflows.docstrings import write_collection
from distilrank.workflows.fine_tune import fine_tune_on_groups
from distilrank.workflows.finish import RUN
from distilrank.workflows.first_stage import FirstStageSettings
from distilrank.workflows.prepare import PrepareSettings, prepare_ranking
from distilrank.workflows.training_data import DevSettings
from distilrank.workflows.training_groups import GroupSettings

MEASURES = ("RR@10", "nDCG@10")
BM25, TEACHER, STUDENT, PLAIN = "BM25", "teacher", "student", "student, labels only"


@dataclass(frozen=True, kw_only=True)
class QuickstartSettings:
    """How large everything is.

    Attributes:
        checkpoint: What the teacher starts from.
        layers: Of the student, copied from the teacher.
        test_queries: Never trained on and never looked at before the end.
        dev_queries: Decide nothing here but are there for the user's own trials.
        depth: BM25 candidates that are re-ranked.
        negatives: Per training group of the teacher.
        teacher_steps: Optimiser steps of ``teacher_batch`` groups.
        teacher_batch: Groups per step.
        student_steps: Optimiser steps of ``student_batch`` pairs, the same for both students.
        student_batch: Pairs per step.
        max_tokens: Longest pair.
        precision: Of training. None: bf16 where the processor computes it, else fp32.
        seed: Of splits, draws, order, dropout and new weights.
    """

    checkpoint: str = "minilm-l6"
    layers: int = 3
    test_queries: int = 400
    dev_queries: int = 100
    depth: int = 30
    negatives: int = 5
    teacher_steps: int = 250
    teacher_batch: int = 8
    student_steps: int = 150
    student_batch: int = 64
    max_tokens: int = 128
    precision: Precision | None = None
    seed: int = 42
    teacher_learning_rate: float = 1e-4
    student_learning_rate: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class Quickstart:
    """What came of it.

    Attributes:
        folder: With ``teacher``, ``student``, ``data`` (BEIR form), ``report.html`` and ``results.json``.
        rows: BM25, teacher, student, and the student that learned from labels only.
        findings: A sentence each.
        example: A test query, and what the student ranks first for it.
        seconds: Stage -> how long it took; stages that were done before take none.
    """

    folder: Path
    rows: list[Row]
    findings: list[str]
    example: tuple[str, list[str]]
    seconds: Mapping[str, float] = field(default_factory=dict)


def quickstart(
    out: Path, settings: QuickstartSettings, *, say: Callable[[str], None] = print, command: str = ""
) -> Quickstart:
    """Run the line: collection, candidates, teacher, student, evaluation, report.

    Args:
        out: Folder to fill.
        settings: How large everything is.
        say: Told what begins.
        command: The command line, for the record.
    """
    seconds: dict[str, float] = {}
    data, prepared, plain = out / "data", out / "prepared", out / "labels-only"

    def stage(name: str, work: Callable[[], object]) -> None:
        say(name)
        began = time.perf_counter()
        work()
        seconds[name] = round(time.perf_counter() - began, 1)

    stage("1/6  Reading the docstrings of Python's standard library", lambda: _collection(data, settings))
    stage("2/6  Ranking candidates with BM25", lambda: _prepare(data, prepared, settings))
    stage("3/6  Fine-tuning the teacher", lambda: _teacher(prepared, out / TEACHER, settings, command))
    stage("4/6  Distilling the student (Simplified TinyBERT)", lambda: _student(prepared, out, settings, command))
    stage(
        "5/6  Training the same student on labels only, for comparison",
        lambda: _plain(prepared, out, plain, settings, command),
    )
    folders = {TEACHER: out / TEACHER, STUDENT: out / STUDENT, PLAIN: plain}
    say("6/6  Re-ranking unseen queries")
    began = time.perf_counter()
    result = _judge(out, RankingFolder(prepared), folders, settings, seconds, command)
    seconds["6/6  Re-ranking unseen queries"] = round(time.perf_counter() - began, 1)
    return result


def _collection(data: Path, settings: QuickstartSettings) -> None:
    if not (data / "collection.json").is_file():
        made = write_collection(data, test=settings.test_queries, dev=settings.dev_queries, seed=settings.seed)
        write_json(data / "collection.json", {"passages": made.passages, "queries": made.queries})


def _prepare(data: Path, prepared: Path, settings: QuickstartSettings) -> None:
    groups = GroupSettings(negatives=settings.negatives, seed=settings.seed)
    prepare = PrepareSettings(first_stage=FirstStageSettings(depth=100), groups=groups, max_tokens=settings.max_tokens)
    prepare_ranking(data, prepared, settings=prepare)


def _training(settings: QuickstartSettings, *, steps: int, batch: int, learning_rate: float) -> TrainingSettings:
    precision = settings.precision or ("bf16" if computes_bf16() else "fp32")
    return TrainingSettings(
        max_steps=steps,
        batch_size=batch,
        learning_rate=learning_rate,
        precision=precision,
        seed=settings.seed,
        trackers=(),
    )


def computes_bf16() -> bool:
    """Tell whether the processor multiplies bf16 matrices itself; elsewhere bf16 is slower than fp32."""
    capabilities = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in capabilities and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _teacher(prepared: Path, out: Path, settings: QuickstartSettings, command: str) -> None:
    if (out / "manifest.json").is_file():
        return
    training = _training(
        settings,
        steps=settings.teacher_steps,
        batch=settings.teacher_batch,
        learning_rate=settings.teacher_learning_rate,
    )
    model, tokenizer = load_model(settings.checkpoint, num_labels=1, head="classic", seed=settings.seed)
    fine_tune_on_groups(
        model,
        tokenizer,
        started_from=settings.checkpoint,
        data=prepared,
        out=out,
        settings=FineTuneSettings(max_tokens=settings.max_tokens, training=training),
        dev=DevSettings(split="none"),
        command=command,
    )


def _student(prepared: Path, out: Path, settings: QuickstartSettings, command: str) -> None:
    training = _student_training(settings)
    distilled = SimplifiedTinyBertSettings(max_tokens=settings.max_tokens, training=training)
    _distil("simplified_tinybert", prepared, out, out / STUDENT, distilled, settings, command)


def _plain(prepared: Path, out: Path, plain: Path, settings: QuickstartSettings, command: str) -> None:
    """Train the student on the same pairs for equal steps without its teacher: alpha 0 leaves only the labels."""
    labels = StandardDistillationSettings(
        alpha=0.0, max_tokens=settings.max_tokens, training=_student_training(settings)
    )
    _distil("standard", prepared, out, plain, labels, settings, command)


def _student_training(settings: QuickstartSettings) -> TrainingSettings:
    return _training(
        settings,
        steps=settings.student_steps,
        batch=settings.student_batch,
        learning_rate=settings.student_learning_rate,
    )


def _distil(
    procedure: str,
    prepared: Path,
    out: Path,
    folder: Path,
    chosen: SimplifiedTinyBertSettings | StandardDistillationSettings,
    settings: QuickstartSettings,
    command: str,
) -> None:
    if (folder / "manifest.json").is_file():
        return
    distil(
        procedure,
        teacher=str(out / TEACHER),
        data=prepared,
        out=folder,
        student=StudentSettings(layers=settings.layers),
        settings=chosen,
        dev=DevSettings(split="none"),
        triples=settings.student_steps * settings.student_batch // 2,
        command=command,
    )


def _judge(
    out: Path,
    folder: RankingFolder,
    models: Mapping[str, Path],
    settings: QuickstartSettings,
    seconds: Mapping[str, float],
    command: str,
) -> Quickstart:
    qrels = folder.qrels("test")
    candidates = shorten(read_run(next(iter(folder.runs("test").values()))), depth=settings.depth)
    runs: dict[str, Run] = {BM25: candidates}
    for name, model in models.items():
        runs[name] = rerank(
            Ranker.load(model),
            queries=folder.queries,
            passages=folder.passages,
            candidates=candidates,
            progress=True,
            description=f"     {name}",
        )
        write_run(runs[name], out / "runs" / f"{model.name}.trec", tag=model.name)
    evaluation = evaluate_runs(
        qrels=qrels, runs=runs, system=STUDENT, first_stage=BM25, teacher=TEACHER, measures=MEASURES
    )
    milliseconds = _latencies(models, folder, candidates)
    rows = [_row(name, evaluation, models.get(name), milliseconds.get(name)) for name in runs]
    findings = _findings(evaluation, rows)
    _write(out, folder, evaluation, rows, findings, runs, settings, seconds, command)
    return Quickstart(
        folder=out, rows=rows, findings=findings, example=_example(folder, runs[STUDENT]), seconds=seconds
    )


def _latencies(models: Mapping[str, Path], folder: RankingFolder, candidates: Run) -> dict[str, float]:
    """Time 100 passages of a query on every model in turn, so that a noisy machine hits all alike; medians."""
    passages = [passage.content for passage in folder.passages.get_many(_first_ids(candidates, 100)).values()]
    query = folder.queries[next(iter(candidates))].text
    rankers = {name: Ranker.load(model) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in rankers}
    for turn in range(6):
        for name, ranker in rankers.items():
            began = time.perf_counter()
            ranker.score([(query, passage) for passage in passages])
            if turn:  # the first is for warming up
                times[name].append(1000 * (time.perf_counter() - began) * 100 / len(passages))
    return {name: float(np.median(values)) for name, values in times.items()}


def _first_ids(candidates: Run, count: int) -> list[str]:
    return list(dict.fromkeys(doc_id for scores in candidates.values() for doc_id in scores))[:count]


def _row(name: str, evaluation: Evaluation, model: Path | None, milliseconds: float | None) -> Row:
    measures = {measure: evaluation.intervals[name][measure] for measure in MEASURES}
    if model is None:
        return Row(name=name, measures=measures)
    parameters = read_json(model / "manifest.json")["parameters"]
    kept = evaluation.share_kept[MEASURES[0]] if name == STUDENT else None
    return Row(
        name=name,
        measures=measures,
        parameters=parameters,
        megabytes=(model / "onnx" / "model.onnx").stat().st_size / 1e6,
        ms_per_100_passages=milliseconds,
        kept=kept,
    )


def _findings(evaluation: Evaluation, rows: list[Row]) -> list[str]:
    measure = MEASURES[0]
    kept = evaluation.share_kept[measure]
    by_name = {row.name: row for row in rows}
    findings = []
    if kept is not None:
        findings.append(
            f"The student keeps {kept.mean:.0%} of its teacher's {measure} "
            f"({kept.low:.0%} to {kept.high:.0%}, 95% interval)."
        )
    teacher, student = by_name[TEACHER].ms_per_100_passages, by_name[STUDENT].ms_per_100_passages
    if teacher and student:
        findings.append(f"It is {teacher / student:.1f} times as fast as its teacher on this machine.")
    for comparison in evaluation.comparisons:
        if comparison.measure == measure and comparison.baseline in (BM25, PLAIN):
            sure = "significant" if comparison.randomisation_holm < 0.05 else "not significant"
            findings.append(
                f"Against {comparison.baseline} it gains {comparison.difference.mean:+.3f} {measure} "
                f"(p = {comparison.randomisation_holm:.4f} after Holm, {sure})."
            )
    return findings


def _example(folder: RankingFolder, run: Run) -> tuple[str, list[str]]:
    query_id = next(iter(run))
    best = sorted(run[query_id], key=lambda doc_id: -run[query_id][doc_id])[:3]
    texts = [" ".join(folder.passages[doc_id].content.split())[:100] for doc_id in best]
    return folder.queries[query_id].text, [f"{doc_id}: {text}" for doc_id, text in zip(best, texts, strict=True)]


def _write(
    out: Path,
    folder: RankingFolder,
    evaluation: Evaluation,
    rows: list[Row],
    findings: list[str],
    runs: Mapping[str, Run],
    settings: QuickstartSettings,
    seconds: Mapping[str, float],
    command: str,
) -> None:
    measure = MEASURES[0]
    student = evaluation.measured[STUDENT].per_query[measure]
    teacher = evaluation.measured[TEACHER].per_query[measure]
    facts = {
        "Command": command,
        "Collection": f"docstrings of Python's standard library: {len(folder.passages):,} passages",
        "Test": f"{len(student)} unseen queries, the best {settings.depth} of BM25 re-ranked",
        "Seed": str(settings.seed),
        "Versions": ", ".join(f"{name} {version}" for name, version in library_versions().items()),
        "Time": ", ".join(f"{name.split('  ')[1]} {spent:.0f} s" for name, spent in seconds.items()),
    }
    cases = worst_and_best(
        student_values=student,
        teacher_values=teacher,
        queries=folder.queries,
        passages=folder.passages,
        qrels=folder.qrels("test"),
        runs={STUDENT: runs[STUDENT], TEACHER: runs[TEACHER], BM25: runs[BM25]},
    )
    curves = [
        curve
        for title, model in (("Teacher", TEACHER), ("Student", STUDENT))
        for curve in loss_curves(title, read_steps(out / model / RUN / "journal.jsonl"))
    ]
    report = Report(
        title="From the standard library to a small ranker",
        measure=measure,
        rows=rows,
        findings=findings,
        facts=facts,
        curves=curves,
        differences=query_differences(student, teacher),
        cases=cases,
    )
    write_report(out / "report.html", report)
    record = {
        "command": command,
        "rows": [row.as_dict() for row in rows],
        "findings": findings,
        "evaluation": evaluation.as_dict(),
        "seconds": dict(seconds),
        "versions": library_versions(),
        "data": file_hash(out / "data" / "corpus.jsonl"),
    }
    write_json(out / "results.json", record)
