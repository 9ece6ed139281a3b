"""Alarms where models are measured and where teachers' scores are read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import special

from distilrank.data.beir import write_qrels, write_queries
from distilrank.data.groups import write_groups
from distilrank.evaluation.diagnostics import Finding
from distilrank.evaluation.measures import measure
from distilrank.records import Example, Group, Qrels, Query, Run
from distilrank.workflows import alarms
from distilrank.workflows.alarms import example_leak, query_leak, ranker_alarms, say_alarms, teacher_alarms

RNG = np.random.default_rng(9)
QUERIES = {f"q{i}": Query(f"q{i}", f"query number {i}") for i in range(30)}
QRELS: Qrels = {query_id: {"d3": 1} for query_id in QUERIES}
CANDIDATES: Run = {query_id: {f"d{place}": -float(place) for place in range(10)} for query_id in QUERIES}


def found_in(run: Run) -> list[str]:
    measured, first = (measure(QRELS, each, ["nDCG@10"]) for each in (run, CANDIDATES))
    found = ranker_alarms(run, CANDIDATES, name="student", first_stage="BM25", measured=measured, first_measured=first)
    return [finding.check for finding in found]


def ranked(*, of_relevant: float) -> Run:
    """Random scores in an order of their own, the relevant passage's apart."""
    run = {}
    for query_id in QUERIES:
        scores = {f"d{place}": float(RNG.normal()) for place in RNG.permutation(10)}
        run[query_id] = {**scores, "d3": scores["d3"] + of_relevant}
    return run


def test_a_ranker_is_compared_with_what_it_was_given() -> None:
    assert found_in(ranked(of_relevant=4)) == []
    assert found_in(ranked(of_relevant=-4)) == ["no better than the first stage"]
    # The same order as the candidates', although the run holds its passages in another.
    copied = {q: {d: 2 * s for d, s in reversed(scores.items())} for q, scores in CANDIDATES.items()}
    assert found_in(copied) == ["input order", "no better than the first stage"]
    assert found_in({q: dict.fromkeys(scores, 1.0) for q, scores in CANDIDATES.items()})[0] == "constant scores"


def groups(*, count: int = 40, squash: bool = False) -> list[Group]:
    made = []
    for place in range(count):
        scores = np.sort(RNG.normal(-2, 2, size=8))[::-1]  # the positive first, the others as a teacher ranks them
        given = special.expit(scores) if squash else scores
        relevance = (1.0, *[0.0] * 7)
        passages = tuple(f"passage {place} {i}" for i in range(8))
        made.append(Group(query=f"query {place}", passages=passages, relevance=relevance, scores=tuple(given.tolist())))
    return made


def test_a_teachers_scores_and_the_objectives_that_read_them() -> None:
    every = {"mse": 1.0, "margin_mse": 1.0, "bce": 1.0, "kl": 1.0, "ranknet": 1.0, "info_nce": 1.0, "hidden": 1.0}
    assert teacher_alarms(groups(), every) == []
    found = teacher_alarms(groups(squash=True), every)
    assert [finding.check for finding in found] == ["scale of scores"] * 4
    named = [finding.message.split(", but ")[1].split()[0] for finding in found]
    assert named == ["mse", "margin_mse", "bce", "kl"]
    assert teacher_alarms(groups(squash=True), {"kl": 0.2, "ranknet": 1.0}) == []
    constant = [replace(group, scores=(0.5,) * 8) for group in groups()]
    assert teacher_alarms(constant, {})[0].check == "constant scores"


def test_scores_that_nobody_reads_raise_none() -> None:
    some = [*groups(squash=True), replace(groups(count=1)[0], scores=None)]
    assert teacher_alarms(some, {"mse": 1.0}) == []
    assert teacher_alarms([], {"mse": 1.0}) == []


def test_only_the_first_groups_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "GROUPS_LOOKED_AT", 10)
    mixed = [*groups(count=10), *groups(squash=True)]
    assert teacher_alarms(mixed, {"mse": 1.0}) == []
    assert "all 80 scores" in teacher_alarms(mixed[10:], {"mse": 1.0})[0].message


def model_trained_on(folder: Path, name: str, file: Path) -> str:
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"inputs": {name: {"path": str(file)}}}))
    return str(folder)


def test_a_ranker_that_was_trained_on_the_test_queries(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    write_queries(
        [Query("t1", "Query number 4!"), Query("t2", "another"), Query("t3", "query number 5")],
        prepared / "queries.jsonl",
    )
    write_qrels({"t1": {"d1": 1}, "t2": {"d1": 1}}, prepared / "qrels" / "train.tsv")
    write_qrels({"t3": {"d1": 1}}, prepared / "qrels" / "dev.tsv")
    write_groups(groups(count=1), prepared / "groups" / "train.jsonl")
    model = model_trained_on(tmp_path / "model", "groups", prepared / "groups" / "train.jsonl")
    (found,) = query_leak(model, name="student", queries=QUERIES, qrels=QRELS)
    assert (found.count, found.level) == (1, "problem")
    assert "1 of the 30 queries measured on" in found.message
    # Only what is measured on counts.
    assert query_leak(model, name="student", queries=QUERIES, qrels={"q7": {"d1": 1}}) == []


def test_a_bare_file_of_groups_is_read_unless_it_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "groups.jsonl"
    write_groups([replace(groups(count=1)[0], query="QUERY number 3")], file)
    model = model_trained_on(tmp_path / "model", "data", file)
    assert query_leak(model, name="x", queries=QUERIES, qrels=QRELS)[0].count == 1
    monkeypatch.setattr(alarms, "LARGEST_FILE", 10)
    assert query_leak(model, name="x", queries=QUERIES, qrels=QRELS) == []
    file.unlink()
    for unknown in (model, str(tmp_path), "owner/name", None):
        assert query_leak(unknown, name="x", queries=QUERIES, qrels=QRELS) == []


def test_a_classifier_that_was_trained_on_the_test_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "train.jsonl"
    lines = [{"text": "Red  wine", "text_pair": "is red", "label": "a"}, {"text": "x", "text_pair": "y", "label": "b"}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    model = model_trained_on(tmp_path / "model", "train", file)
    examples = [Example(text="red wine", text_pair="is red?", label=1), Example(text="x", text_pair="z", label=0)]
    (found,) = example_leak(model, name="student", examples=examples)
    assert "1 of the 2 examples measured on" in found.message
    assert found.examples[0].startswith("#1: ")
    assert example_leak(model, name="student", examples=examples[1:]) == []
    monkeypatch.setattr(alarms, "LARGEST_FILE", 10)
    assert example_leak(model, name="student", examples=examples) == []


def test_alarms_are_said_on_standard_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    say_alarms([Finding(check="a", level="problem", message="one"), Finding(check="b", level="note", message="two")])
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "alarm: one\nnote: two\n")
    monkeypatch.setenv("RANK", "1")
    say_alarms([Finding(check="a", level="problem", message="one")])
    assert capsys.readouterr().err == ""
