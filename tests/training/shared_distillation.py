"""Twenty plain SGD steps of Simplified TinyBERT for any number of processes: ``python shared_distillation.py FOLDER``.

How many there are, and which one this is, comes from the environment, as torchrun sets it. Leaves the gradients of the
first step and the last weights in the folder.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file, save_model

from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings, distil
from distilrank.training import loop
from distilrank.training.settings import TrainingSettings
from tests.procedures.networks import MAX_TOKENS, labelled_pairs, teacher_and_student
from tests.tiny import tiny_tokenizer

STEPS = 20


def main(folder: Path) -> None:
    process = os.environ.get("RANK", "0")
    torch.set_num_threads(1)

    def plain_sgd(parameters: Any, settings: TrainingSettings) -> torch.optim.Optimizer:
        optimiser = torch.optim.SGD(parameters, lr=settings.learning_rate)

        def keep(*_: object) -> None:
            path = folder / f"gradients-{process}.safetensors"
            if not path.exists():
                gradients = {str(number): p.grad for number, p in enumerate(parameters) if p.grad is not None}
                save_file({name: gradient.to_dense().contiguous() for name, gradient in gradients.items()}, path)

        optimiser.register_step_pre_hook(keep)
        return optimiser

    loop.build_optimiser = plain_sgd
    teacher, student = (network.float() for network in teacher_and_student())
    training = TrainingSettings(
        max_steps=STEPS, batch_size=12, learning_rate=0.05, dropout=0.0, max_grad_norm=None, trackers=(), threads=1
    )
    distil(
        student,
        teacher,
        tiny_tokenizer(),
        labelled_pairs(45),  # the last batch of an epoch is uneven
        settings=SimplifiedTinyBertSettings(max_tokens=MAX_TOKENS, training=training),
        folder=folder / "run",
        command={},
    )
    save_model(student, str(folder / f"weights-{process}.safetensors"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
