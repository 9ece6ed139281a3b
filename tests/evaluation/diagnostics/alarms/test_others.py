"""Alarms about quality, leaks and scales."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from distilrank.evaluation.diagnostics.alarms import Compares, leaked_texts, no_better_than_first_stage, scale_alarm
from distilrank.evaluation.intervals import Interval

RNG = np.random.default_rng(4)
LOGITS = {f"q{i}": np.sort(RNG.normal(-3, 3, size=8))[::-1].tolist() for i in range(40)}
SIGMOID = {query_id: special.expit(values).tolist() for query_id, values in LOGITS.items()}
COSINES = {query_id: (0.6 + 0.02 * np.asarray(values)).tolist() for query_id, values in LOGITS.items()}
CENTRED = {query_id: (0.02 * np.asarray(values)).tolist() for query_id, values in LOGITS.items()}


def told(interval: Interval, queries: int = 43) -> tuple[str, str] | None:
    found = no_better_than_first_stage(interval, name="student", first_stage="BM25", measure="RR@10", queries=queries)
    return None if found is None else (found.level, found.message)


def test_no_better_than_the_first_stage() -> None:
    worse, even = told(Interval(-0.05, -0.09, -0.01)), told(Interval(-0.01, -0.05, 0.04))
    assert worse is not None
    assert worse[0] == "problem"
    assert "student is worse than BM25" in worse[1]
    assert "RR@10 -0.0500 (-0.0900 to -0.0100) on 43 queries" in worse[1]
    assert even is not None
    assert even[0] == "note"
    assert "student is no better than BM25" in even[1]
    assert told(Interval(0.0, 0.0, 0.0)) is not None
    assert told(Interval(0.01, -0.05, 0.07)) is None  # better, if not surely
    assert told(Interval(-0.05, -0.09, -0.01), queries=19) is None
    assert told(Interval(-0.05, -0.09, -0.01), queries=20) is not None


def test_leaked_texts() -> None:
    trained = {"t1": "What is BM25?", "t2": "how old is Rome", "t3": "red wine"}
    tested = {**{f"q{i}": f"something else {i}" for i in range(38)}, "a": "what is bm25", "b": "How old is Rome?!"}
    found = leaked_texts(trained, tested, name="the teacher")
    assert found is not None
    assert found.level == "problem"
    assert "2 of the 40 queries measured on (5.0%)" in found.message
    assert "the teacher was trained on" in found.message
    assert found.count == 2
    assert found.examples == ("a: 'what is bm25'", "b: 'How old is Rome?!'")
    assert leaked_texts({"t": "nothing of the kind"}, tested, name="x") is None
    many = {**tested, **{f"m{i}": f"yet another {i}" for i in range(400)}}
    rare = leaked_texts(trained, many, name="x", what="examples")
    assert rare is not None
    assert rare.level == "note"
    assert "of the 440 examples" in rare.message


def test_a_text_that_was_trained_on_twice_counts_once() -> None:
    found = leaked_texts({"t1": "red wine", "t2": "Red wine"}, {"q": "red wine", "r": "white wine"}, name="x")
    assert found is not None
    assert found.count == 1


def alarm(scores: dict[str, list[float]], compares: Compares, temperature: float = 1.0) -> str | None:
    found = scale_alarm(scores, objective="the objective", compares=compares, temperature=temperature)
    return None if found is None else found.message


@pytest.mark.parametrize("compares", ["values", "margins", "probabilities", "softmax", "order"])
def test_raw_logits_suit_every_objective(compares: Compares) -> None:
    assert alarm(LOGITS, compares) is None
    assert alarm({}, compares) is None


@pytest.mark.parametrize("compares", ["values", "margins", "probabilities", "softmax"])
def test_squashed_scores_do_not(compares: Compares) -> None:
    message = alarm(SIGMOID, compares)
    assert message is not None
    every = np.concatenate(list(SIGMOID.values()))
    assert f"all 320 scores of the teacher lie between {every.min():.4f} and {every.max():.4f}" in message
    assert "the objective takes raw logits" in message


def test_what_looks_at_the_order_takes_any_scale() -> None:
    assert alarm(SIGMOID, "order") is None
    assert alarm(COSINES, "order") is None


def test_a_low_temperature_brings_out_probabilities_and_cosines() -> None:
    assert alarm(SIGMOID, "softmax", 0.25) is None
    assert alarm(COSINES, "softmax", 0.02) is None
    assert alarm(SIGMOID, "softmax", 0.5) is not None
    assert alarm(SIGMOID, "values", 0.25) is not None


def test_squared_errors_want_scores_of_the_size_of_logits() -> None:
    spread = np.median([np.std(values) for values in LOGITS.values()])
    for factor in (0.02, 20.0):
        scaled = {query_id: (factor * np.asarray(values)).tolist() for query_id, values in LOGITS.items()}
        for compares in ("values", "margins"):
            message = alarm(scaled, compares)  # type: ignore[arg-type]
            assert message is not None
            assert f"standard deviation of {factor * spread:.3g} within a query" in message
        assert alarm(scaled, "probabilities") is None


def test_a_flat_softmax_teaches_nothing() -> None:
    message = alarm(CENTRED, "softmax")
    assert message is not None
    share = [special.entr(special.softmax(values)).sum() / np.log(8) for values in CENTRED.values()]
    assert f"entropy {np.mean(share):.1%} of the most possible" in message
    assert "temperature 1 " in message
    assert alarm(CENTRED, "softmax", 0.05) is None
    assert alarm(LOGITS, "softmax", 30.0) is not None
