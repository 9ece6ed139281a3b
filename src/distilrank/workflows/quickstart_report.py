"""Unseen queries re-ranked by all models of the quickstart: the table, the findings and the report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distilrank.data.files import file_hash, library_versions, read_json, write_json
from distilrank.data.folder import RankingFolder
from distilrank.data.trec import ranking, read_run, write_run
from distilrank.evaluation.diagnostics import Finding
from distilrank.evaluation.evaluate import Evaluation, evaluate_runs
from distilrank.evaluation.report import Report, Row, loss_curves, query_differences, worst_and_best, write_report
from distilrank.evaluation.rerank import rerank, shorten
from distilrank.records import Run
from distilrank.runtime.ranker import Ranker
from distilrank.training.journal import read_steps
from distilrank.workflows.alarms import ranker_alarms
from distilrank.workflows.finish import RUN
from distilrank.workflows.model_card import add_to_card
from distilrank.workflows.speed import ms_per_100

MEASURES = ("RR@10", "nDCG@10")
BM25, TEACHER, STUDENT, PLAIN = "BM25", "teacher", "student", "student, labels only"
SIGNIFICANT = 0.05


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What came of it.

    Attributes:
        rows: BM25, teacher, student, and the student that learned from labels only.
        findings: A sentence each.
        alarms: What is suspicious about the models' scores.
        example: A test query, and what the student ranks first for it.
    """

    rows: list[Row]
    findings: list[str]
    alarms: list[Finding]
    example: tuple[str, list[str]]


def judge(
    out: Path,
    prepared: Path,
    models: Mapping[str, Path],
    *,
    depth: int,
    facts: Mapping[str, str],
    seconds: Mapping[str, float],
) -> Judged:
    """Re-rank the test queries with every model and write ``results.json``, ``report.html`` and the runs.

    Args:
        out: Folder of the quickstart.
        prepared: What ``prepare`` made.
        models: Name in the table -> folder.
        depth: BM25 candidates re-ranked per query.
        facts: What was run, for the report.
        seconds: How long each stage took.
    """
    folder = RankingFolder(prepared)
    candidates = shorten(read_run(next(iter(folder.runs("test").values()))), depth=depth)
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
        qrels=folder.qrels("test"), runs=runs, system=STUDENT, first_stage=BM25, teacher=TEACHER, measures=MEASURES
    )
    milliseconds = _latencies(models, folder, candidates)
    rows = [_row(name, evaluation, models.get(name), milliseconds.get(name)) for name in runs]
    judged = Judged(
        rows=rows,
        findings=_findings(evaluation, rows),
        alarms=_alarms(evaluation, runs),
        example=_example(folder, runs[STUDENT]),
    )
    _add_to_cards(models, judged, f"{len(folder.qrels('test'))} unseen queries of the quickstart")
    _write_report(out, folder, evaluation, judged, runs, facts)
    record = {
        "facts": dict(facts),
        "rows": [row.as_dict() for row in rows],
        "findings": judged.findings,
        "alarms": [finding.as_dict() for finding in judged.alarms],
        "evaluation": evaluation.as_dict(),
        "seconds": dict(seconds),
        "versions": library_versions(),
        "data": file_hash(out / "data" / "corpus.jsonl"),
    }
    write_json(out / "results.json", record)
    return judged


def _alarms(evaluation: Evaluation, runs: Mapping[str, Run]) -> list[Finding]:
    return [
        finding
        for name in (TEACHER, STUDENT, PLAIN)
        for finding in ranker_alarms(
            runs[name],
            runs[BM25],
            name=name,
            first_stage=BM25,
            measured=evaluation.measured[name],
            first_measured=evaluation.measured[BM25],
        )
    ]


def _add_to_cards(models: Mapping[str, Path], judged: Judged, data: str) -> None:
    intervals = {row.name: row.measures for row in judged.rows}
    for row in judged.rows:
        if row.name in models:
            add_to_card(
                models[row.name],
                data,
                system=row.name,
                intervals=intervals,
                ms_per_100_passages=row.ms_per_100_passages,
                machine=f"onnxruntime, {os.cpu_count()} CPU cores",
            )


def _latencies(models: Mapping[str, Path], folder: RankingFolder, candidates: Run) -> dict[str, float]:
    """Time 100 passages of a query on every model."""
    passages = [passage.content for passage in folder.passages.get_many(_first_ids(candidates, 100)).values()]
    query = folder.queries[next(iter(candidates))].text
    pairs = [(query, passage) for passage in passages]
    return ms_per_100({name: partial(Ranker.load(model).score, pairs) for name, model in models.items()}, len(pairs))


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
            sure = "significant" if comparison.randomisation_holm < SIGNIFICANT else "not significant"
            findings.append(
                f"Against {comparison.baseline} it gains {comparison.difference.mean:+.3f} {measure} "
                f"(p = {comparison.randomisation_holm:.4f} after Holm, {sure})."
            )
    return findings


def _example(folder: RankingFolder, run: Run) -> tuple[str, list[str]]:
    query_id = next(iter(run))
    best = ranking(run[query_id])[:3]
    texts = [" ".join(folder.passages[doc_id].content.split())[:100] for doc_id in best]
    return folder.queries[query_id].text, [f"{doc_id}: {text}" for doc_id, text in zip(best, texts, strict=True)]


def _write_report(
    out: Path,
    folder: RankingFolder,
    evaluation: Evaluation,
    judged: Judged,
    runs: Mapping[str, Run],
    facts: Mapping[str, str],
) -> None:
    measure = MEASURES[0]
    student, teacher = (evaluation.measured[name].per_query[measure] for name in (STUDENT, TEACHER))
    cases = worst_and_best(
        student_values=student,
        teacher_values=teacher,
        queries=folder.queries,
        passages=folder.passages,
        qrels=folder.qrels("test"),
        runs={name: runs[name] for name in (STUDENT, TEACHER, BM25)},
    )
    curves = [
        curve
        for title, model in (("Teacher", TEACHER), ("Student", STUDENT))
        for curve in loss_curves(title, read_steps(out / model / RUN / "journal.jsonl"))
    ]
    report = Report(
        title="From the standard library to a small ranker",
        measure=measure,
        rows=judged.rows,
        findings=judged.findings,
        alarms=[finding.message for finding in judged.alarms],
        facts=facts,
        curves=curves,
        differences=query_differences(student, teacher),
        cases=cases,
    )
    write_report(out / "report.html", report)
