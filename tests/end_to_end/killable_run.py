"""A small training run that says where it is and waits there: ``python killable_run.py FOLDER WEIGHTS``.

It prints a line at every place where a kill is interesting and goes on when it reads a line, or at once when
standard input is at its end. It is the same command whether it is killed, resumed or left alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from distilrank.training import run_folder
from distilrank.training.loop import train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.settings import TrainingSettings

Pair = tuple[Tensor, Tensor]


def pass_by(place: str) -> None:
    """Say where this process is, and wait for leave to go on."""
    print(place, flush=True)
    sys.stdin.readline()


def write_in_halves(write: Callable[[Any, Path], None]) -> Callable[[Any, Path], None]:
    """Wrap ``torch.save`` so that it stops when half of the file is on disk."""

    def write_half(content: Any, path: Path) -> None:
        write(content, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        pass_by("checkpoint")
        path.write_bytes(whole)

    return write_half


def main(folder: Path, weights: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.LayerNorm(32), nn.Dropout(0.3), nn.GELU(), nn.Linear(32, 1))
    inputs = torch.randn(75, 6)
    examples = list(zip(inputs, inputs.prod(dim=1) + inputs[:, 0], strict=True))

    def split(chosen: list[Pair]) -> list[MicroBatch[list[Pair]]]:
        return [
            MicroBatch(content=part, examples=len(part), pairs=len(part), tokens=6 * len(part))
            for part in (chosen[start : start + 3] for start in range(0, len(chosen), 3))
        ]

    def loss_terms(part: list[Pair]) -> Mapping[str, Tensor]:
        error = model(torch.stack([x for x, _ in part]))[:, 0] - torch.stack([y for _, y in part])
        if model[0].weight.grad is not None:
            pass_by("accumulation")
        return {"squared": (error**2).mean()}

    def evaluate() -> dict[str, float]:
        pass_by("evaluation")
        return {"negative error": -(model(inputs)[:, 0] - torch.stack([y for _, y in examples])).square().mean().item()}

    run_folder.torch.save = write_in_halves(torch.save)
    train(
        model=model,
        examples=examples,
        split=split,
        loss_terms=loss_terms,
        evaluate=evaluate,
        settings=TrainingSettings(
            batch_size=8,
            max_steps=64,
            learning_rate=0.01,
            evaluate_every=6,
            checkpoint_every=4,
            patience=9,
            trackers=(),
            threads=1,
        ),
        folder=folder,
        command={"data": "generated"},
    )
    save_model(model, str(weights))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
