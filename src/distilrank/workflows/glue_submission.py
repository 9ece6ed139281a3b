"""Predictions on a GLUE test set, as the benchmark's server takes them: ``index<TAB>prediction`` per line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilrank.data.classification import read_examples
from distilrank.data.files import atomic_write
from distilrank.data.lines import BadLines
from distilrank.errors import ModelError, SettingsError, nearest
from distilrank.models.load import stored_label_names
from distilrank.workflows.progress import tracked
from distilrank.workflows.scorers import load_network

_NUMBERED = ("0", "1")
_ENTAILMENT = ("entailment", "not_entailment")
_THREE_WAY = ("contradiction", "entailment", "neutral")
TASKS: dict[str, tuple[str, ...]] = {
    "AX": _THREE_WAY,
    "CoLA": _NUMBERED,
    "MNLI-m": _THREE_WAY,
    "MNLI-mm": _THREE_WAY,
    "MRPC": _NUMBERED,
    "QNLI": _ENTAILMENT,
    "QQP": _NUMBERED,
    "RTE": _ENTAILMENT,
    "SST-2": _NUMBERED,
    "STS-B": (),
    "WNLI": _NUMBERED,
}
"""Task, which names the file, and its predictions; none where they are numbers from 0 to 5."""
AT_ONCE = 1024


def write_submission(
    model: str | Path,
    data: Path,
    folder: Path,
    *,
    task: str,
    offline: bool = False,
    bad: BadLines | None = None,
    shown: bool = True,
) -> Path:
    """Predict the examples of a test file and write ``folder/<task>.tsv``.

    Args:
        model: A classifier, or a model of one number for STS-B: a folder or a name on the hub.
        data: The task's test file; labels in it are not looked at.
        folder: Made when missing.
        task: A key of ``TASKS``, in capitals or not, with hyphens or without.
        offline: Whether to use only what is on this machine.
        bad: How many bad lines may be skipped; the server refuses a file that lacks some.
        shown: Whether to show progress on standard error.

    Returns:
        The file.

    Raises:
        SettingsError: There is no such task.
        ModelError: The model's labels are not the task's.
    """
    task = _known(task)
    network = load_network(model, offline=offline)
    names = _names(stored_label_names(network.model.config), task, model)
    examples = read_examples(data, labelled=False, bad=bad).examples
    file = folder / f"{task}.tsv"
    starts = range(0, len(examples), AT_ONCE)
    with atomic_write(file) as out:
        out.write("index\tprediction\n")
        for start in tracked(starts, f"predicting {task}", total=len(starts), shown=shown):
            part = examples[start : start + AT_ONCE]
            pairs = None if part[0].text_pair is None else [example.text_pair or "" for example in part]
            predictions = _predictions(network.logits([example.text for example in part], pairs), names)
            for place, (example, prediction) in enumerate(zip(part, predictions, strict=True), start=start):
                out.write(f"{example.example_id or place}\t{prediction}\n")
    return file


def _known(task: str) -> str:
    """Return a task as GLUE writes it, from what may be the hub's name for it, such as sst2."""
    for name in TASKS:
        if task.lower().replace("-", "") == name.lower().replace("-", ""):
            return name
    raise SettingsError(f"task {task!r} is unknown{nearest(task, TASKS)}; there are {', '.join(TASKS)}")


def _names(stored: Sequence[str], task: str, model: str | Path) -> Sequence[str]:
    """Return what each logit predicts, in GLUE's words; nothing for numbers."""
    wanted = TASKS[task]
    if len(stored) == max(1, len(wanted)):
        if not wanted:
            return ()
        if set(stored) == set(wanted):
            return stored
        if wanted == _NUMBERED:  # other names for them, in their order
            return wanted
    kind = ", ".join(wanted) if wanted else "one number"
    raise ModelError(
        f"{model} predicts {', '.join(stored)}, but {task} wants {kind}; fine-tune it on the task's own data"
    )


def _predictions(logits: NDArray[np.float32], names: Sequence[str]) -> list[str]:
    """Return the predictions of a batch; logits are (batch, labels)."""
    if names:
        return [names[best] for best in logits.argmax(axis=1)]
    return [f"{number:.3f}" for number in np.clip(logits[:, 0], 0.0, 5.0)]
