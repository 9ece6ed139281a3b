from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.serve.batching import Batcher, Job
from distilrank.serve.refusals import Refusal
from tests.serve.serving import FakeRanker

Make = Callable[..., Batcher]

HELD: list[FakeRanker] = []
"""Let go when a test ends, however it ends."""


@pytest.fixture
def make() -> Iterator[Make]:
    """Make batchers that end with the test."""
    made: list[Batcher] = []

    def build(**options: Any) -> Batcher:
        made.append(Batcher(**{"wait_seconds": 0.0, **options}))
        return made[-1]

    yield build
    while HELD:
        HELD.pop().may_score.set()
    for batcher in made:
        batcher.close()


def pairs_of(words: Sequence[int]) -> list[tuple[str, str | None]]:
    return [("q", "w " * count) for count in words]


def held_up(batcher: Batcher, ranker: FakeRanker) -> None:
    """Keep the worker busy with one pair until the ranker may score."""
    HELD.append(ranker)
    ranker.may_score.clear()
    ranker.entered.clear()
    batcher.submit(ranker, pairs_of([1]))
    assert ranker.entered.wait(30)
    ranker.batches.clear()


def test_requests_share_batches_and_each_gets_its_own_answers(make: Make) -> None:
    ranker = FakeRanker()
    batcher = make(batch_pairs=5)
    held_up(batcher, ranker)
    requests = [pairs_of([3, 1]), pairs_of([7]), pairs_of([2, 9, 4, 8]), pairs_of([6])]
    jobs = [batcher.submit(ranker, request) for request in requests]
    assert batcher.waiting == 8
    ranker.may_score.set()
    for job, request in zip(jobs, requests, strict=True):
        np.testing.assert_array_equal(job.answers.result(30), ranker.expected(request))
    # In the order they came; the third is spread over two batches.
    assert ranker.batches == [
        requests[0] + requests[1] + requests[2][:2],
        requests[2][2:] + requests[3],
    ]
    assert batcher.waiting == 0


def test_models_do_not_share_a_batch(make: Make) -> None:
    first, second = FakeRanker(), FakeRanker(factor=-1.0)
    batcher = make(batch_pairs=10)
    held_up(batcher, first)
    jobs = [batcher.submit(model, pairs_of([count])) for count, model in enumerate([first, second, first, second])]
    first.may_score.set()
    answers = [float(job.answers.result(30)[0]) for job in jobs]
    assert answers == [-10.0, 9.0, -8.0, 7.0]
    assert [len(batch) for batch in first.batches] == [2]
    assert [len(batch) for batch in second.batches] == [2]


def test_a_batch_waits_for_company(make: Make) -> None:
    ranker = FakeRanker()
    batcher = make(batch_pairs=3, wait_seconds=0.2)
    begun = time.perf_counter()
    batcher.submit(ranker, pairs_of([1])).answers.result(30)
    assert time.perf_counter() - begun >= 0.2


def test_a_full_batch_does_not_wait(make: Make) -> None:
    ranker = FakeRanker()
    batcher = make(batch_pairs=3, wait_seconds=600.0)
    jobs = [batcher.submit(ranker, pairs_of([count])) for count in (1, 2, 3)]
    for job in jobs:
        job.answers.result(30)
    assert [len(batch) for batch in ranker.batches] == [3]


def test_a_full_queue_says_when_to_come_back(make: Make) -> None:
    ranker = FakeRanker()
    batcher = make(queue_pairs=4)
    held_up(batcher, ranker)
    batcher.submit(ranker, pairs_of([1, 2, 3]))
    batcher.submit(ranker, pairs_of([1]))
    with pytest.raises(Refusal) as refused:
        batcher.submit(ranker, pairs_of([1]))
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    assert batcher.waiting == 4


def test_a_queue_that_would_take_too_long_is_full(make: Make) -> None:
    class Slow(FakeRanker):
        def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
            time.sleep(0.05 * len(pairs))
            return super().score(pairs)

    ranker = Slow()
    batcher = make(batch_pairs=2, queue_seconds=0.4)
    batcher.submit(ranker, pairs_of([1, 1])).answers.result(30)  # 0.05 s a pair is known now
    held_up(batcher, ranker)
    batcher.submit(ranker, pairs_of([1] * 100))  # nothing waits, so whatever fits is taken
    with pytest.raises(Refusal) as refused:
        batcher.submit(ranker, pairs_of([1]))
    assert refused.value.status == 429
    assert refused.value.retry_after is not None
    assert 5 <= refused.value.retry_after <= 60
    for job in list(batcher._jobs):
        batcher.withdraw(job)
    batcher.submit(ranker, pairs_of([1]))


def test_what_nobody_waits_for_is_not_scored(make: Make) -> None:
    ranker = FakeRanker()
    batcher = make(batch_pairs=2, queue_pairs=6)
    held_up(batcher, ranker)
    given_up, kept = batcher.submit(ranker, pairs_of([1, 2, 3, 4])), batcher.submit(ranker, pairs_of([5]))
    batcher.withdraw(given_up)
    assert batcher.waiting == 1
    batcher.submit(ranker, pairs_of([6, 7]))
    ranker.may_score.set()
    np.testing.assert_array_equal(kept.answers.result(30), [-5.0])
    assert given_up.answers.cancelled()
    batcher.close()
    assert ranker.batches == [pairs_of([5, 6]), pairs_of([7])]


def test_one_request_that_fails_is_nobody_elses_trouble(make: Make) -> None:
    class Picky(FakeRanker):
        def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
            scores = super().score(pairs)
            if any(query == "bad" for query, _ in pairs):
                raise RuntimeError("cannot")
            return np.where([query == "nan" for query, _ in pairs], np.nan, scores)

    ranker = Picky()
    batcher = make(batch_pairs=10)
    held_up(batcher, ranker)
    good, bad = batcher.submit(ranker, pairs_of([3])), batcher.submit(ranker, [("bad", "w")])
    no_number, also_good = batcher.submit(ranker, [("nan", "w")]), batcher.submit(ranker, pairs_of([4, 5]))
    ranker.may_score.set()
    assert good.answers.result(30).tolist() == [-7.0]
    assert also_good.answers.result(30).tolist() == [-6.0, -5.0]
    with pytest.raises(RuntimeError, match="cannot"):
        bad.answers.result(30)
    with pytest.raises(ValueError, match="not a number"):
        no_number.answers.result(30)
    assert batcher.is_alive


def test_a_scorer_that_leaves_out_answers_is_caught(make: Make) -> None:
    class Short(FakeRanker):
        def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
            return super().score(pairs)[:-1]

    job = make().submit(Short(), pairs_of([1, 2]))
    with pytest.raises(ValueError, match="1 answers to 2 pairs"):
        job.answers.result(30)


def test_parts_may_be_finished_in_any_order() -> None:
    job = Job(model=FakeRanker(), pairs=pairs_of([1, 2, 3, 4, 5]))
    job.fill(3, np.array([3, 4], np.float32))
    job.fill(1, np.array([1, 2], np.float32))
    assert not job.answers.done()
    job.fill(0, np.array([0], np.float32))
    assert job.answers.result(0).tolist() == [0, 1, 2, 3, 4]
    job.fail(RuntimeError("too late to matter"))
    assert job.answers.exception() is None


def test_closing_answers_what_was_taken_and_takes_no_more(make: Make) -> None:
    ranker = FakeRanker()
    batcher = make(batch_pairs=2)
    held_up(batcher, ranker)
    jobs = [batcher.submit(ranker, pairs_of([count, 1, 2])) for count in range(3)]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while not batcher._closing:
        time.sleep(0.001)
    with pytest.raises(Refusal) as refused:
        batcher.submit(ranker, pairs_of([1]))
    assert refused.value.status == 503
    ranker.may_score.set()
    closing.join(30)
    assert not closing.is_alive()
    assert [job.answers.result(0)[0] for job in jobs] == [-10.0, -9.0, -8.0]
    assert not batcher.is_alive


@pytest.mark.parametrize("workers", [1, 3])
def test_many_clients_at_once_get_their_own_answers(make: Make, workers: int) -> None:
    class Jittery(FakeRanker):
        def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
            time.sleep(random.random() / 2000)
            return super().score(pairs)

    models = [Jittery(), Jittery(factor=0.5)]
    seen: list[tuple[int, float]] = []
    batcher = make(
        workers=workers,
        batch_pairs=7,
        wait_seconds=0.001,
        queue_pairs=10_000,
        observe=lambda *batch: seen.append(batch),
    )
    wrong: list[object] = []

    def ask(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(20):
            model, pairs = draw.choice(models), pairs_of([draw.randrange(50) for _ in range(draw.randint(1, 15))])
            job = batcher.submit(model, pairs)
            if job.answers.result(30).tolist() != model.expected(pairs).tolist():
                wrong.append(pairs)
            if not job.submitted <= job.started <= job.finished:
                wrong.append(job)

    clients = [threading.Thread(target=ask, args=(seed,)) for seed in range(12)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    assert not wrong
    batcher.close()
    scored = sum(len(batch) for model in models for batch in model.batches)
    assert sum(pairs for pairs, _ in seen) == scored
    assert max(pairs for pairs, _ in seen) == 7
