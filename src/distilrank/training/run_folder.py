"""The folder of a run: whose it is, its checkpoints, its best and its final weights.

::

    command.json               what the run is; another command is refused
    journal.jsonl              what happened
    checkpoints/step-000100/   model.safetensors, projections.safetensors, optimiser.pt, state.json
    best/step-000100/          model.safetensors, projections.safetensors
    final/                     the same, once the run is done; checkpoints and best are gone then
    done.json                  how it ended

Each of these appears whole or not at all: it is written under another name, flushed to disk and renamed. Weights and
state of a checkpoint name the best step they know, and the best weights of that step are kept until a newer
checkpoint names newer ones, so a kill at any moment leaves a consistent set.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from torch import nn
from torch.optim import Optimizer

from distilrank.data.differences import first_difference
from distilrank.data.files import write_json
from distilrank.errors import ResumeError


@dataclass(kw_only=True)
class TrainingState:
    """What a run has to remember besides weights and optimiser.

    Attributes:
        step: Optimiser steps done.
        best_step: The step of the best evaluation. None: none yet, or none is kept.
        best_value: Its value.
        stale_evaluations: Evaluations since then.
    """

    step: int = 0
    best_step: int | None = None
    best_value: float | None = None
    stale_evaluations: int = 0


class RunFolder:
    """Reads and writes the folder of a run.

    Args:
        path: The folder; made when absent.
        modules: What is trained, by name; each becomes one safetensors file.
    """

    def __init__(self, path: Path, modules: Mapping[str, nn.Module]) -> None:
        self.path = path
        self._modules = modules
        path.mkdir(parents=True, exist_ok=True)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.jsonl"

    def claim(self, command: Mapping[str, object], *, write: bool = True) -> None:
        """Make the folder this command's.

        Args:
            command: What the run is, as JSON values.
            write: False to check only, as all processes but the first do.

        Raises:
            ResumeError: If it is another's, naming the first difference.
        """
        file = self.path / "command.json"
        wanted = json.loads(json.dumps(command, default=str))
        if not file.exists():
            if write:
                write_json(file, wanted)
            return
        difference = first_difference(json.loads(file.read_text(encoding="utf-8")), wanted)
        if difference:
            raise ResumeError(
                f"{self.path} holds the run of another command: {difference}; give the same command to resume it, "
                "or another folder to start a new run"
            )

    def sweep(self) -> None:
        """Remove what a killed process left half-written or half-removed."""
        if (self.path / "done.json").exists():
            self._remove_what_resuming_needs()
        for folder in (self.path, self.path / "checkpoints", self.path / "best"):
            for leftover in [*folder.glob(".writing-*"), *folder.glob(".removing-*")]:
                _delete(leftover)
        for torn in self.path.glob(".*.json.*.tmp"):
            torn.unlink()

    def save_checkpoint(self, state: TrainingState, optimiser: Optimizer) -> None:
        """Write a checkpoint, then remove the older ones and the best weights that it does not name."""

        def write(folder: Path) -> None:
            self._save_weights(folder)
            torch.save(optimiser.state_dict(), folder / "optimiser.pt")
            (folder / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")

        newest = self.path / "checkpoints" / _step_name(state.step)
        _write_folder(newest, write)
        self._remove_all_but(newest)
        if state.best_step is not None:
            self._remove_all_but(self.path / "best" / _step_name(state.best_step))

    def load_checkpoint(self, optimiser: Optimizer) -> TrainingState | None:
        """Load the newest checkpoint into modules and optimiser; None when there is none."""
        checkpoints = sorted((self.path / "checkpoints").glob("step-*"))
        if not checkpoints:
            return None
        newest = checkpoints[-1]
        self._load_weights(newest)
        optimiser.load_state_dict(torch.load(newest / "optimiser.pt", map_location="cpu", weights_only=True))
        return TrainingState(**json.loads((newest / "state.json").read_text(encoding="utf-8")))

    def save_best(self, step: int) -> None:
        """Write the weights as those of the best evaluation, at ``step``."""
        _write_folder(self.path / "best" / _step_name(step), self._save_weights)

    def load_best(self, step: int) -> None:
        """Load the weights that were best at ``step``."""
        self._load_weights(self.path / "best" / _step_name(step))

    def finish(self, state: TrainingState) -> None:
        """Write the weights as the final ones, mark the run as done and remove what only a resume needs."""
        _write_folder(self.path / "final", self._save_weights)
        write_json(self.path / "done.json", asdict(state))
        self._remove_what_resuming_needs()

    def load_final(self) -> TrainingState | None:
        """Load the final weights of a finished run; None when the run is not done."""
        file = self.path / "done.json"
        if not file.exists():
            return None
        self._load_weights(self.path / "final")
        return TrainingState(**json.loads(file.read_text(encoding="utf-8")))

    def _remove_what_resuming_needs(self) -> None:
        _remove_folder(self.path / "checkpoints")
        _remove_folder(self.path / "best")

    def _save_weights(self, folder: Path) -> None:
        for name, module in self._modules.items():
            save_model(module, str(folder / f"{name}.safetensors"))

    def _load_weights(self, folder: Path) -> None:
        for name, module in self._modules.items():
            load_model(module, folder / f"{name}.safetensors")

    def _remove_all_but(self, kept: Path) -> None:
        for folder in kept.parent.glob("step-*"):
            if folder != kept:
                _remove_folder(folder)


def _step_name(step: int) -> str:
    return f"step-{step:09}"


def _write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    temporary = folder.with_name(f".writing-{folder.name}")
    _delete(temporary)
    temporary.mkdir(parents=True)
    write(temporary)
    for file in temporary.iterdir():
        _flush(file)
    _flush(temporary)
    _remove_folder(folder)
    os.replace(temporary, folder)
    _flush(folder.parent)


def _remove_folder(folder: Path) -> None:
    """Remove a folder so that no part of it is ever seen under its name."""
    if folder.exists():
        doomed = folder.with_name(f".removing-{folder.name}")
        _delete(doomed)
        os.replace(folder, doomed)
        _delete(doomed)


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
