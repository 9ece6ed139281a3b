from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from distilrank.benchmark.process import Answer
from distilrank.benchmark.results import Benchmark, Speed, System
from distilrank.benchmark.turns import Timed, take_turns
from distilrank.evaluation.intervals import Interval


def answer(ms: float, *, cpu_ms: float = 1.0, tokens: int = 0) -> Answer:
    return Answer(ms=ms, cpu_ms=cpu_ms, scores=np.zeros(1), computed_tokens=tokens)


def test_all_take_turns_and_who_begins_changes() -> None:
    asked: list[str] = []

    def system(name: str) -> Callable[[str], Answer]:
        def ask(query_id: str) -> Answer:
            asked.append(f"{name}{query_id}")
            return answer(float(len(asked)), cpu_ms=2.0, tokens=10 * int(query_id))

        return ask

    done: list[int] = []
    found = take_turns({name: system(name) for name in "ab"}, ["1", "2", "3"], rounds=2, advance=done.append)
    first, second = ["a1", "b1", "b2", "a2", "a3", "b3"], ["b1", "a1", "a2", "b2", "b3", "a3"]
    assert asked == ["a1", "b1", *first, *second]  # the first two to warm up
    assert sum(done) == 12
    assert found["a"].ms == [3.0, 6.0, 7.0, 10.0, 11.0, 14.0]
    assert found["b"].cpu_ms == [2.0] * 6
    assert found["b"].last["3"].ms == 13.0
    assert found["a"].computed_tokens == 60  # of every query once


def timed(*ms: float, queries: int = 2, tokens: int = 0) -> Timed:
    last = {str(query): answer(ms[0], tokens=tokens) for query in range(queries)}
    return Timed(ms=list(ms), cpu_ms=[2 * each for each in ms], last=last)


def test_a_speed_in_numbers() -> None:
    # Two queries asked twice: 400 pairs of 20,000 tokens in 1 s.
    speed = Speed(timed=timed(100.0, 200.0, 300.0, 400.0, tokens=15_000), pairs=200, tokens=10_000, multiply_adds=5e6)
    assert speed.percentile(50) == 250.0
    assert speed.percentile(95) == pytest.approx(385.0)
    assert speed.percentile(99) == pytest.approx(397.0)
    assert speed.pairs_per_second == pytest.approx(400.0)
    assert speed.tokens_per_second == pytest.approx(20_000.0)
    told = speed.as_dict()
    assert (told["p95_ms"], told["tokens"], told["computed_tokens"]) == (pytest.approx(385.0), 10_000, 30_000)
    assert told["ms"] == [100.0, 200.0, 300.0, 400.0]
    assert told["cpu_ms"] == [200.0, 400.0, 600.0, 800.0]
    assert told["quality"] is None


def test_processor_time_is_another_clock() -> None:
    speed = Speed(timed=timed(100.0, 300.0), clock="processor", pairs=10)
    assert speed.percentile(50) == 400.0
    assert speed.pairs_per_second == pytest.approx(12.5)
    assert speed.tokens_per_second is None


def test_one_that_searches_scores_no_pairs() -> None:
    speed = Speed(timed=timed(1.0, 3.0), quality=Interval(0.4, 0.3, 0.5))
    assert speed.pairs_per_second is None
    told = speed.as_dict()
    assert told["computed_tokens"] is None
    assert told["quality"] == {"mean": 0.4, "low": 0.3, "high": 0.5}


def test_all_are_compared_with_the_first_by_medians() -> None:
    speeds = {"teacher": Speed(timed=timed(80.0, 120.0)), "student": Speed(timed=timed(20.0, 30.0))}
    systems = {"teacher": System(runs="torch", cold_starts=[3.0, 1.0, 1.5]), "student": System(runs="onnxruntime")}
    found = Benchmark(systems=systems, workloads={"made": speeds})
    assert found.times_as_fast("made", "student") == 4.0
    told = found.as_dict()
    assert told["compared_with"] == "teacher"
    assert told["systems"]["teacher"]["cold_start_seconds"] == 1.5  # type: ignore[index]
    assert told["systems"]["student"]["cold_start_seconds"] is None  # type: ignore[index]
    assert told["workloads"]["made"]["student"]["times_as_fast"] == 4.0  # type: ignore[index]
