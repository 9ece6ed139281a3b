"""What was measured, question by question: rows and comparisons of one test set, from the files of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from study.cells import Question, system_and_seed
from study.plan import TASKS

RANKING_MEASURE = "nDCG@10"
MEASURES = {"cola": "Matthews", "stsb": "Spearman"}
"""Of tasks that are not judged by accuracy."""
FIRST_STAGE = "BM25"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One test set of a question.

    Attributes:
        test_set: Its name.
        measure: Its name.
        rows: System -> its mean, in the question's order; the first stage comes first.
        comparisons: Of the systems with the question's baselines.
    """

    test_set: str
    measure: str
    rows: Mapping[str, SystemMean]
    comparisons: list[SeedComparison]


def measured(question: Question, results: Path) -> list[Table]:
    """Return a table for each test set on which any of the question's systems but the teacher was measured."""
    found = [
        _classified(question, each, results) if each in TASKS else _ranked(question, each, results)
        for each in question.sets
    ]
    return [table for table in found if set(table.rows) - {"teacher", FIRST_STAGE}]


def _ranked(question: Question, test_set: str, results: Path) -> Table:
    values = {name: by_seed for name in question.systems if (by_seed := _ranker(results, test_set, name))}
    teacher = _ranker(results, test_set, "teacher")
    rows = {
        name: ranker_mean(by_seed, teacher=None if name == "teacher" else teacher or None)
        for name, by_seed in {**_first_stage(results, test_set), **values}.items()
    }
    comparisons = compare_by_query(values, _pairs(question, values))
    return Table(test_set=test_set, measure=RANKING_MEASURE, rows=rows, comparisons=comparisons)


def _classified(question: Question, task: str, results: Path) -> Table:
    measure = MEASURES.get(task, "accuracy")
    found = {name: seeds for name in question.systems if (seeds := _classifier(results, task, name, measure))}
    teacher = found.get("teacher", {}).get("")
    rows = {name: classifier_mean(seeds, teacher=None if "" in seeds else teacher) for name, seeds in found.items()}
    means = {name: {seed: each.mean for seed, each in seeds.items()} for name, seeds in found.items() if len(seeds) > 1}
    comparisons = compare_by_seed(means, _pairs(question, means))
    return Table(test_set=task, measure=measure, rows=rows, comparisons=comparisons)


def _pairs(question: Question, systems: Mapping[str, object]) -> list[tuple[str, str]]:
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


def _ranker(results: Path, test_set: str, system: str) -> dict[str, Any]:
    """Return seed -> one value per query, by query id."""
    found = {}
    for seed, file in _files(results, system, test_set).items():
        content = read_json(file)
        found[seed] = _by_query(content, content["system"])
    return found


def _first_stage(results: Path, test_set: str) -> dict[str, dict[str, Any]]:
    """Return the candidates in their own order, as the teacher's file has them."""
    file = results / f"teacher.{test_set}.json"
    content = read_json(file) if file.is_file() else {}
    return {FIRST_STAGE: {"": _by_query(content, content["first_stage"])}} if content.get("first_stage") else {}


def _by_query(content: Mapping[str, Any], name: str) -> Any:
    values = content["per_query"][RANKING_MEASURE][name]
    return np.array([values[query] for query in sorted(values)])


def _classifier(results: Path, task: str, system: str, measure: str) -> dict[str, Interval]:
    """Return seed -> the measure with its interval over examples."""
    found = {}
    for seed, file in _files(results, f"{task}_{system}", task).items():
        content = read_json(file)
        measures = next(each["measures"] for each in content["systems"] if each["name"] == content["system"])
        found[seed] = Interval(**measures[measure])
    return found
