from __future__ import annotations

import numpy as np
import pytest

from distilrank.training.order import EpochOrder, Steps, length_ordered, shuffled

LENGTHS = [int(length) for length in np.random.default_rng(0).integers(10, 200, size=103)]
ORDERS = {
    "shuffled": lambda seed: shuffled(len(LENGTHS), seed=seed),
    "length_ordered": lambda seed: length_ordered(LENGTHS, batch_size=10, window=4, seed=seed),
}


@pytest.mark.parametrize("make", ORDERS.values(), ids=ORDERS.keys())
class TestEveryOrder:
    def test_holds_every_example_once(self, make: type[EpochOrder]) -> None:
        assert sorted(make(1)(0)) == list(range(len(LENGTHS)))

    def test_is_a_function_of_seed_and_epoch(self, make: type[EpochOrder]) -> None:
        assert make(1)(3).tolist() == make(1)(3).tolist()
        assert make(1)(3).tolist() != make(1)(4).tolist()
        assert make(1)(3).tolist() != make(2)(3).tolist()


def test_length_ordered_batches_are_alike_and_in_random_sequence() -> None:
    def spread(order: EpochOrder) -> float:
        batches = [[LENGTHS[i] for i in order(0)[start : start + 10]] for start in range(0, 100, 10)]
        return float(np.mean([max(batch) - min(batch) for batch in batches]))

    order = length_ordered(LENGTHS, batch_size=10, window=10, seed=1)
    assert spread(order) < 0.3 * spread(shuffled(len(LENGTHS), seed=1))
    longest = [max(LENGTHS[i] for i in order(0)[start : start + 10]) for start in range(0, 100, 10)]
    assert longest != sorted(longest)


def test_steps_walk_through_the_epochs_and_keep_the_short_batch() -> None:
    steps = Steps(lambda epoch: np.arange(5) + 10 * epoch, count=5, batch_size=2)
    assert [steps.positions(step) for step in range(1, 7)] == [[0, 1], [2, 3], [4], [10, 11], [12, 13], [14]]


def test_steps_may_be_asked_in_any_order() -> None:
    forward = Steps(shuffled(23, seed=5), count=23, batch_size=4)
    backward = Steps(shuffled(23, seed=5), count=23, batch_size=4)
    asked = {step: backward.positions(step) for step in reversed(range(1, 20))}
    assert all(forward.positions(step) == asked[step] for step in range(1, 20))
