"""The processes of a run, through accelerate: device, share of the work, sums over all of them, trackers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    InitProcessGroupKwargs,
    ProjectConfiguration,
    broadcast,
    broadcast_object_list,
    gather_object,
)
from torch import nn

from distilrank.training.trackers import usable_trackers

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=12)
"""The other processes wait this long for the first one to evaluate."""


def from_first(compute: Callable[[], T]) -> T:
    """Return what the first process of a run computes; the others wait. It has to be possible to pickle that."""
    state = PartialState()
    box: list[T | None] = [compute() if state.is_main_process else None]
    if state.num_processes > 1:
        broadcast_object_list(box)
    return box[0]  # type: ignore[return-value]


class Processes:
    """The processes that train one model together; mostly there is just this one.

    Gradients are summed explicitly after a step's accumulation instead of through a DDP wrapper: the model that is
    trained stays the model that is saved, and nothing is sent between micro-batches.

    Args:
        folder: The run folder, for the trackers' files.
        trackers: Names of accelerate's trackers.
    """

    def __init__(self, *, folder: Path, trackers: Sequence[str]) -> None:
        # Precision is the loop's own autocast: accelerate's is one setting per Python process, not per run.
        self._accelerator = Accelerator(
            mixed_precision="no",
            log_with=usable_trackers(trackers) or None,  # of an empty list it would warn
            project_config=ProjectConfiguration(logging_dir=str(folder / "trackers")),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
        )
        self.device: torch.device = self._accelerator.device
        self.count: int = self._accelerator.num_processes
        self.index: int = self._accelerator.process_index
        self.first: bool = self._accelerator.is_main_process

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process's part of the items: consecutive, and as even as can be."""
        return items[self.index * len(items) // self.count : (self.index + 1) * len(items) // self.count]

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Return the sum over all processes of the numbers of each name, in order of first appearance."""
        if self.count == 1:
            return dict(numbers)
        summed: Counter[str] = Counter()
        for part in gather_object([dict(numbers)]):
            for name, value in part.items():
                summed[name] += value
        return dict(summed)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; one that is None everywhere stays None."""
        if self.count == 1:
            return
        present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=self.device)
        flat = [(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters]
        summed = self._accelerator.reduce(torch.cat([present, *flat]), reduction="sum")
        start = len(parameters)
        for index, parameter in enumerate(parameters):
            part = summed[start : start + parameter.numel()]
            start += parameter.numel()
            parameter.grad = part.view_as(parameter).to(parameter.dtype, copy=True) if summed[index] > 0 else None

    def copy_from_first(self, modules: Iterable[nn.Module]) -> None:
        """Give all processes the first one's weights and buffers."""
        if self.count > 1:
            for module in modules:
                for tensor in [*module.parameters(), *module.buffers()]:
                    broadcast(tensor.data)

    def from_first(self, compute: Callable[[], T]) -> T:
        """Return what the first process computes; the others wait."""
        return from_first(compute)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._accelerator.wait_for_everyone()

    @contextmanager
    def tracking(self, stage: str, *, step: int, settings: Mapping[str, object]) -> Iterator[None]:
        """Have the trackers open; a resumed TensorBoard run forgets what it logged after ``step``."""
        names = [str(name) for name in self._accelerator.log_with]
        self._accelerator.init_trackers(
            stage if names == ["tensorboard"] else "distilrank",
            # TensorBoard would make a run of its own of the settings at every start.
            config=None if "tensorboard" in names else dict(settings),
            init_kwargs={"tensorboard": {"purge_step": step + 1}},
        )
        try:
            yield
        finally:
            # Not accelerate's end_training: it takes down the process group, which a later stage needs.
            for tracker in self._accelerator.trackers:
                if self.first:
                    tracker.finish()

    def track(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Log numbers to the trackers."""
        self._accelerator.log(dict(numbers), step=step)
