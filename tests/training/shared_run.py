"""A training run that may be shared by several processes: ``python shared_run.py FOLDER``.

How many there are, and which one this is, comes from the environment, as torchrun sets it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from distilrank.training.loop import TrainingResult, train
from distilrank.training.microbatch import MicroBatch
from distilrank.training.processes import Processes
from distilrank.training.settings import TrainingSettings

Pair = tuple[Tensor, Tensor]


class Model(nn.Module):
    """Has a part that only some examples use, so that a process may have no gradient for it, and one never used.

    One weight has more bits than the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self.always, self.sometimes, self.never = nn.Linear(6, 8), nn.Linear(8, 1), nn.Linear(1, 1)
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.tanh(self.always(inputs))
        return self.scale * (self.sometimes(hidden)[:, 0] if inputs[0, 0] > 0 else hidden.sum(dim=1))


def main(folder: Path, *, max_steps: int) -> TrainingResult:
    processes = Processes(folder=folder, trackers=())
    torch.manual_seed(0)
    inputs = torch.randn(33, 6)  # the last batch of an epoch has one example, so one of two processes has none
    examples = list(zip(inputs, inputs.prod(dim=1) + inputs[:, 0], strict=True))
    torch.manual_seed(processes.index)  # all are to have the first one's weights
    model = Model()
    evaluations = 0

    def split(chosen: list[Pair]) -> list[MicroBatch[Pair]]:
        return [MicroBatch(content=pair, examples=1, pairs=1, tokens=6) for pair in chosen]

    def loss_terms(pair: Pair) -> Mapping[str, Tensor]:
        error = model(pair[0][None]) - pair[1]
        name = "positive" if pair[0][0] > 0 else "negative"  # a process may not know all terms
        return {name: (error**2).mean()}

    def evaluate() -> dict[str, float]:
        nonlocal evaluations
        evaluations += 1
        return {"steps": float(evaluations)}

    result = train(
        model=model,
        examples=examples,
        split=split,
        loss_terms=loss_terms,
        evaluate=evaluate,
        settings=TrainingSettings(
            batch_size=8, max_steps=max_steps, learning_rate=0.01, evaluate_every=8, checkpoint_every=6, trackers=()
        ),
        folder=folder,
        command={},
    )
    save_model(model, str(folder / f"process-{processes.index}.safetensors"))
    (folder / f"evaluations-{processes.index}").write_text(str(evaluations), encoding="utf-8")
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1]), max_steps=20)
