"""Which examples a step trains on: a pure function of seed and step, so that a resumed run needs no state for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

EpochOrder = Callable[[int], NDArray[np.int64]]
"""Epoch (from 0) -> the positions of all examples in the order in which they are trained on."""


def shuffled(count: int, *, seed: int) -> EpochOrder:
    """Return the order that shuffles all ``count`` examples anew in each epoch."""

    def order(epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([seed, epoch]).permutation(count)

    return order


def length_ordered(lengths: Sequence[int], *, batch_size: int, window: int, seed: int) -> EpochOrder:
    """Return an order whose batches hold examples of similar length, in random sequence.

    Examples are shuffled, each ``window`` batches of them are sorted by length and cut into batches, and the
    full batches are shuffled; a short batch stays last.

    Args:
        lengths: Length of each example, in tokens or anything that grows with them.
        batch_size: Examples per optimiser step, as in the settings.
        window: Batches that are sorted together; 1 is plain shuffling, and the larger the less is padded and
            the less random the batches are.
        seed: As in the settings.
    """
    by_position = np.asarray(lengths, dtype=np.int64)

    def order(epoch: int) -> NDArray[np.int64]:
        random = np.random.default_rng([seed, epoch])
        positions = random.permutation(len(by_position))
        for start in range(0, len(positions), window * batch_size):
            part = positions[start : start + window * batch_size]
            positions[start : start + window * batch_size] = part[np.argsort(by_position[part], kind="stable")]
        full = len(positions) // batch_size * batch_size
        batches = positions[:full].reshape(-1, batch_size)
        return np.concatenate([batches[random.permutation(len(batches))].reshape(-1), positions[full:]])

    return order


class Steps:
    """The positions of the examples of each step; the short batch that ends an epoch is trained on too.

    Args:
        order: The order of each epoch.
        count: How many examples there are.
        batch_size: Examples per step.
    """

    def __init__(self, order: EpochOrder, *, count: int, batch_size: int) -> None:
        self._order = lru_cache(maxsize=1)(order)
        self._batch_size = batch_size
        self._per_epoch = -(-count // batch_size)

    def positions(self, step: int) -> list[int]:
        """Return the positions of the examples of ``step`` (from 1)."""
        epoch, batch = divmod(step - 1, self._per_epoch)
        chosen = self._order(epoch)[batch * self._batch_size : (batch + 1) * self._batch_size]
        return [int(position) for position in chosen]
