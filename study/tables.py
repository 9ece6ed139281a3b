"""docs/results.md: a table for each question, from the results of its cells and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from distilrank.data.files import read_json
from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.over_seeds import (
    SeedComparison,
    SystemMean,
    classifier_mean,
    compare_by_query,
    compare_by_seed,
    ranker_mean,
)
from distilrank.evaluation.report.markdown import measure_markdown
from study.cells import Question, by_name, system_and_seed
from study.plan import TASKS, Plan
from study.questions import QUESTIONS
from study.run import FACTS, model_facts
from study.speed import BILSTM, COSTED, SPEED, published_speed_ups

MEASURES = {"cola": "Matthews", "stsb": "Spearman"}
"""Of tasks that are not judged by accuracy; rankers are judged by nDCG@10."""


def results_page(plan: Plan, results: Path) -> str:
    """Return the page: what was asked, what was published, and what was found so far."""
    lines = [
        "# Results of the study",
        "",
        f"Written by `python -m study tables --scale {plan.scale.name}` from the files in "
        f"`results/study/{plan.scale.name}`; no",
        "number is typed by hand. What was asked, and how an answer would be read, was [planned before](study.md).",
    ]
    if plan.scale.name == "smoke":
        lines += [
            "",
            "**This is the smoke scale: a few steps of everything, to see that it runs. Its numbers say nothing.**",
        ]
    for question in QUESTIONS:
        lines += ["", f"## {question.name}", "", question.asks, "", f"Published: {question.published}", ""]
        lines += [f"How it is read: {question.reading}"]
        tables = [table for each in question.sets if (table := _table(question, each, results))]
        lines += ["", *"\n\n".join(tables or ["Not measured yet."]).split("\n")]
    lines += ["", "## Published speed-ups", "", *_speed_ups(results)]
    lines += ["", "## Cost and size", "", *_costs(plan, results)]
    return "\n".join(lines) + "\n"


def _table(question: Question, test_set: str, results: Path) -> str:
    """Return the table of one test set; empty where nothing was measured."""
    rows: dict[str, SystemMean] = {}
    comparisons: list[SeedComparison] = []
    if test_set in TASKS:
        measure = MEASURES.get(test_set, "accuracy")
        found = {system: _classifier(results, test_set, system, measure) for system in question.systems}
        teacher = found.get("teacher", {}).get("")
        for system, seeds in found.items():
            if seeds:
                rows[system] = classifier_mean(seeds, teacher=teacher if "" not in seeds else None)
        means = {
            name: {seed: each.mean for seed, each in seeds.items()} for name, seeds in found.items() if len(seeds) > 1
        }
        comparisons = compare_by_seed(means, _pairs(question, means))
    else:
        measure = "nDCG@10"
        values = {name: by_seed for name in question.systems if (by_seed := _ranker(results, test_set, name, measure))}
        teacher_run = values.get("teacher")
        for name, by_seed in values.items():
            rows[name] = ranker_mean(by_seed, teacher=teacher_run if name != "teacher" else None)
        comparisons = compare_by_query(values, _pairs(question, values))
    return measure_markdown(f"{test_set}, {measure}", rows, comparisons) if rows else ""


def _pairs(question: Question, systems: Any) -> list[tuple[str, str]]:
    """Return who is compared with whom, each pair once."""
    pairs: list[tuple[str, str]] = []
    for baseline in question.against:
        for name in systems:
            if baseline in systems and name != baseline and (baseline, name) not in pairs:
                pairs.append((name, baseline))
    return pairs


def _files(results: Path, system: str, test_set: str) -> dict[str, Path]:
    """Return seed -> file of a system's results; the seed is empty where it has none."""
    files = [*results.glob(f"{system}.{test_set}.json"), *results.glob(f"{system}-*.{test_set}.json")]
    named = {system_and_seed(file.name.removesuffix(f".{test_set}.json")): file for file in sorted(files)}
    return {seed: file for (name, seed), file in named.items() if name == system}


def _ranker(results: Path, test_set: str, system: str, measure: str) -> dict[str, Any]:
    """Return seed -> one value per query, by query id."""
    found = {}
    for seed, file in _files(results, system, test_set).items():
        content = read_json(file)
        values = content["per_query"][measure][content["system"]]
        found[seed] = np.array([values[query] for query in sorted(values)])
    return found


def _classifier(results: Path, task: str, system: str, measure: str) -> dict[str, Interval]:
    """Return seed -> the measure with its interval over examples."""
    found = {}
    for seed, file in _files(results, f"{task}_{system}", task).items():
        content = read_json(file)
        measures = next(each["measures"] for each in content["systems"] if each["name"] == content["system"])
        found[seed] = Interval(**measures[measure])
    return found


def _costs(plan: Plan, results: Path) -> list[str]:
    """Return the table of size, operations, speed and training cost, a row for each system in the plan's order."""
    by_shape = _speed(results).get("workloads", {}).get(COSTED, {})
    systems: dict[str, list[dict[str, Any]]] = {}
    for cell in by_name(list(plan.cells())).values():
        file = results / f"{cell.name}{FACTS}"
        if file.is_file():
            facts = read_json(file)
            systems.setdefault(facts["system"], []).append(facts)
    if not systems:
        return ["Not measured yet."]
    lines = [
        "Shape: layers/hidden/feed-forward/heads. Weights are those outside of embeddings; MB are of the file that is "
        "run. Operations and times are those of a pair of 128 tokens with new weights; training is that of the cell "
        "alone, in minutes of one core: a general student or a teacher's scores that several share are not counted, "
        "nor is a cell that was stopped and went on.",
        "",
        "| system | shape | million weights | MB | million multiply-adds | ms for 100 passages | core-minutes |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for system, cells in systems.items():
        model = model_facts(plan.teacher) if system == "teacher" else cells[0]["model"]
        weights = None if model["parameters"] is None else (model["parameters"] - model["embeddings"]) / 1e6
        operations = None if model["multiply_adds"] is None else model["multiply_adds"]["128"] / 1e6
        timed = by_shape.get(f"{model['shape'] or BILSTM}{', int8' if 'int8' in system else ''}", {}).get("ms_per_100")
        whole = [each["training"]["core_minutes"] for each in cells if not each["training"].get("resumed")]
        minutes = float(np.mean(whole)) if any(whole) else None
        told = (weights, "2f"), (model["megabytes"], "1f"), (operations, "0f"), (timed, "0f"), (minutes, "1f")
        cells_of_row = ["" if value is None else f"{value:.{digits}}" for value, digits in told]
        lines.append(f"| {' | '.join([system, model['shape'] or 'BiLSTM', *cells_of_row])} |")
    return lines


def _speed(results: Path) -> dict[str, Any]:
    return read_json(results / SPEED) if (results / SPEED).is_file() else {}


def _speed_ups(results: Path) -> list[str]:
    found = _speed(results)
    return published_speed_ups(found) if found else ["Not measured yet."]
