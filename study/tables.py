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
from study.cells import Question, system_and_seed
from study.plan import TASKS, Plan
from study.questions import QUESTIONS
from study.run import FACTS

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
    lines += ["", "## Cost and size", "", *_costs(results)]
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


def _costs(results: Path) -> list[str]:
    """Return the table of parameters, size and training cost, a row for each system."""
    systems: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(results.glob(f"*{FACTS}")):
        facts = read_json(file)
        systems.setdefault(facts["system"], []).append(facts)
    if not systems:
        return ["Not measured yet."]
    lines = ["| system | parameters | MB of ONNX | core-minutes of training |", "| --- | ---: | ---: | ---: |"]
    for system, cells in systems.items():
        model = cells[0]["model"]
        parameters = "" if model["parameters"] is None else f"{model['parameters']:,}"
        megabytes = "" if model["onnx_megabytes"] is None else f"{model['onnx_megabytes']:.1f}"
        minutes = np.mean([each["training"]["core_minutes"] for each in cells])
        lines.append(f"| {system} | {parameters} | {megabytes} | {minutes:.1f} |")
    return lines
