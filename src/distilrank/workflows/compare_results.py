"""What came of a comparison: records over seeds, costs, and the files that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.classification import read_examples
from distilrank.data.files import atomic_write_bytes, file_hash, library_versions, read_json, write_json
from distilrank.data.named import open_ranking
from distilrank.data.trec import ranking, read_run
from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.over_seeds import classifier_mean, compare_by_query, compare_by_seed, ranker_mean
from distilrank.evaluation.report.comparison import Comparison, Cost, MeasureTable, comparison_markdown
from distilrank.evaluation.report.comparison_plot import means_and_seeds
from distilrank.evaluation.report.plots import quality_against_latency
from distilrank.evaluation.report.svg import standalone
from distilrank.models.facts import count_parameters, weight_megabytes
from distilrank.training.journal import seconds_spent
from distilrank.workflows.compare_measuring import MeasuredOn
from distilrank.workflows.evaluate_classification import examples_file, is_classification_data
from distilrank.workflows.finish import RUN
from distilrank.workflows.first_stage import as_passages
from distilrank.workflows.scorers import load_network, load_scorer, weight_files
from distilrank.workflows.speed import ms_per_100

TEACHER = "teacher"
TIMED = 100
"""Passages or texts that the time is taken on."""

Cells = Mapping[str, Mapping[str, Path]]
"""System -> seed -> folder of the model."""


def compare_cells(
    teacher: str,
    tests: Mapping[str, MeasuredOn],
    cells: Cells,
    out: Path,
    *,
    baseline: str,
    failures: Mapping[str, str],
    command: str = "",
    threads: int | None = None,
    offline: bool = False,
) -> Comparison:
    """Read the records of all cells that did not fail, and write ``comparison.json``, ``comparison.md`` and drawings.

    Args:
        teacher: Folder or hub name.
        tests: Test set -> what was measured.
        cells: Those that were to be made.
        out: Folder of the comparison.
        baseline: The system that the others are compared with.
        failures: Name of a cell -> what went wrong.
        command: The command line, for the record.
        threads: Processor threads while the time is taken; None takes all cores.
        offline: Never use the network.
    """
    done = {
        system: {seed: folder for seed, folder in seeds.items() if folder.name not in failures}
        for system, seeds in cells.items()
    }
    done = {system: seeds for system, seeds in done.items() if seeds}
    records = {test: _records(test, done, out) for test in tests}
    first = next(iter(tests))
    comparison = Comparison(
        baseline=baseline,
        trained=list(done),
        tests={test: _tables(found, list(done), baseline) for test, found in records.items()},
        costs=_costs(teacher, done, tests[first], out / TEACHER / first, out, threads=threads, offline=offline),
        alarms=_alarms(records),
        failures=failures,
    )
    _write(comparison, out, tests, command)
    return comparison


def _records(test: str, cells: Cells, out: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return system -> seed -> record; the teacher's only seed is called ""."""
    found = {TEACHER: {"": read_json(out / TEACHER / test / f"{TEACHER}.json")}}
    for system, seeds in cells.items():
        found[system] = {seed: read_json(folder / "measured" / f"{test}.json") for seed, folder in seeds.items()}
    return found


def _tables(
    records: Mapping[str, Mapping[str, dict[str, Any]]], trained: Sequence[str], baseline: str
) -> dict[str, MeasureTable]:
    """Return measure -> table."""
    one = records[TEACHER][""]
    pairs = [(system, baseline) for system in trained if baseline in trained and system != baseline]
    ranked = "per_query" in one
    names = list(one["per_query"]) if ranked else list(_own(one)["measures"])
    make = _ranker_table if ranked else _classifier_table
    return {measure: make(records, measure, pairs) for measure in names}


def _ranker_table(
    records: Mapping[str, Mapping[str, dict[str, Any]]], measure: str, pairs: Sequence[tuple[str, str]]
) -> MeasureTable:
    first_stage = records[TEACHER][""]["first_stage"]
    values = {first_stage: {"": _values(records[TEACHER][""], measure, first_stage)}}
    for system, seeds in records.items():
        values[system] = {seed: _values(record, measure, record["system"]) for seed, record in seeds.items()}
    known = {name: None if name in (first_stage, TEACHER) else values[TEACHER] for name in values}
    return MeasureTable(
        systems={name: ranker_mean(seeds, teacher=known[name]) for name, seeds in values.items()},
        comparisons=compare_by_query(values, pairs),
    )


def _classifier_table(
    records: Mapping[str, Mapping[str, dict[str, Any]]], measure: str, pairs: Sequence[tuple[str, str]]
) -> MeasureTable:
    values = {
        system: {seed: Interval(**_own(record)["measures"][measure]) for seed, record in seeds.items()}
        for system, seeds in records.items()
    }
    teacher = values[TEACHER][""]
    means = {system: {seed: each.mean for seed, each in seeds.items()} for system, seeds in values.items()}
    return MeasureTable(
        systems={
            name: classifier_mean(seeds, teacher=None if name == TEACHER else teacher) for name, seeds in values.items()
        },
        comparisons=compare_by_seed(means, pairs),
    )


def _values(record: Mapping[str, Any], measure: str, system: str) -> NDArray[np.float64]:
    """Return one value per query, by query id."""
    found = record["per_query"][measure][system]
    return np.array([found[query_id] for query_id in sorted(found)])


def _own(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record has of the system under test."""
    return next(each for each in record["systems"] if each["name"] == record["system"])


def _alarms(records: Mapping[str, Mapping[str, Mapping[str, dict[str, Any]]]]) -> list[str]:
    """Return every alarm once, with the test set it was raised on."""
    found = {
        f"{test}: {alarm['message']}": None
        for test, systems in records.items()
        for seeds in systems.values()
        for record in seeds.values()
        for alarm in record["alarms"]
    }
    return list(found)


def _costs(
    teacher: str, cells: Cells, test: MeasuredOn, taught: Path, out: Path, *, threads: int | None, offline: bool
) -> dict[str, Cost]:
    """Return what each system costs; time is taken of one seed, since all have the same network."""
    folders = {system: next(iter(seeds.values())) for system, seeds in cells.items()}
    models = {TEACHER: teacher, **{system: str(folder) for system, folder in folders.items()}}
    times = _times(models, test, taught, out / "speed.json", threads=threads, offline=offline)
    costs = {TEACHER: _size(teacher, times[TEACHER], offline=offline)}
    for system, seeds in cells.items():
        manifest = read_json(folders[system] / "manifest.json")
        costs[system] = Cost(
            training_seconds=float(np.mean([_training_seconds(folder) for folder in seeds.values()])),
            ms_per_100=times[system],
            megabytes=manifest["card"]["megabytes"],
            parameters=manifest["parameters"],
        )
    return costs


def _training_seconds(folder: Path) -> float:
    """Return the seconds that the journals of all stages tell of."""
    return sum(seconds_spent(journal) for journal in (folder / RUN).rglob("journal.jsonl"))


def _size(teacher: str, milliseconds: float, *, offline: bool) -> Cost:
    model = load_network(teacher, offline=offline).model
    megabytes = weight_megabytes(teacher) if Path(teacher).is_dir() else None
    return Cost(ms_per_100=milliseconds, megabytes=megabytes, parameters=count_parameters(model).total)


def _times(
    models: Mapping[str, str], test: MeasuredOn, taught: Path, file: Path, *, threads: int | None, offline: bool
) -> dict[str, float]:
    """Return milliseconds per 100 passages or texts, as they were measured together before if nothing has changed."""
    weights = {name: [file_hash(path) for path in weight_files(model)] or model for name, model in models.items()}
    told = {"weights": weights, "threads": threads, "data": str(test.data), "split": test.split}
    if file.is_file() and (before := read_json(file))["of"] == told:
        return dict(before["ms_per_100"])
    work: dict[str, Callable[[], object]]
    if is_classification_data(str(test.data)):
        examples = read_examples(examples_file(Path(str(test.data)), test.split), labelled=False).examples[:TIMED]
        texts = [example.text for example in examples]
        seconds = None if examples[0].text_pair is None else [str(example.text_pair) for example in examples]
        work = {
            name: partial(load_network(model, threads=threads, offline=offline).logits, texts, seconds)
            for name, model in models.items()
        }
        count = len(texts)
    else:
        pairs = _pairs(test, taught / f"{TEACHER}.trec", offline=offline)
        work = {
            name: partial(load_scorer(model, threads=threads, offline=offline).score, pairs)
            for name, model in models.items()
        }
        count = len(pairs)
    times = ms_per_100(work, count)
    write_json(file, {"of": told, "ms_per_100": times})
    return times


def _pairs(test: MeasuredOn, run: Path, *, offline: bool) -> list[tuple[str, str]]:
    """Return the first query that was ranked with passages that were, those of its own first."""
    source = open_ranking(str(test.data), offline=offline)
    ranked = read_run(run)
    query_id = next(iter(ranked))
    best = dict.fromkeys(doc_id for scores in ranked.values() for doc_id in ranking(scores))
    passages = as_passages({query_id: dict.fromkeys(list(best)[:TIMED], 0.0)}, source.passages)[query_id]
    contents = source.passages.get_many(list(passages)[:TIMED]).values()
    return [(source.queries[query_id].text, passage.content) for passage in contents]


def _write(comparison: Comparison, out: Path, tests: Mapping[str, MeasuredOn], command: str) -> None:
    """Write the record, the page and the drawings."""
    figures = {}
    for test, tables in comparison.tests.items():
        figures[test] = f"{test}.svg"
        drawn = means_and_seeds(tables, trained=comparison.trained)
        atomic_write_bytes(out / figures[test], standalone(drawn).encode())
        sizes = {comparison.costs[system].parameters for system in comparison.trained}
        if len(sizes) > 1:  # else all lie on one line
            latency = quality_against_latency(comparison.rows(test), measure=next(iter(tables)))
            if latency is not None:
                atomic_write_bytes(out / f"{test}-latency.svg", standalone(latency).encode())
    record = {"command": command, "versions": library_versions(), **comparison.as_dict()}
    write_json(out / "comparison.json", record)
    heading = [f"`{command}`"] if command else []
    page = comparison_markdown(comparison, heading=heading, figures=figures)
    atomic_write_bytes(out / "comparison.md", page.encode("utf-8", "replace"))
