"""A teacher's logits for a transfer set that is too long to be scored anew in every epoch."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from distilrank.data.files import atomic_path, read_json, write_json
from distilrank.errors import ModelError, ResumeError
from distilrank.models.scorer import TorchScorer
from distilrank.records import Example

EXAMPLES_AT_ONCE = 4096
"""What one file holds, and what a killed run loses at most."""


def teacher_logits(
    scorer: TorchScorer,
    examples: Sequence[Example],
    *,
    folder: Path,
    command: Mapping[str, object],
    at_once: int = EXAMPLES_AT_ONCE,
) -> NDArray[np.float32]:
    """Return the teacher's raw logits, (examples, labels), scoring only what the folder does not hold yet.

    Args:
        scorer: The teacher.
        examples: Texts or pairs, all of one kind.
        folder: Where the parts are kept, ``part-00000.npy`` and so on.
        command: What decides the logits (teacher and data), as JSON values.
        at_once: Examples of a part.

    Raises:
        ResumeError: The folder holds the logits of another command.
        ModelError: A logit is not finite.
    """
    wanted = json.loads(json.dumps({**command, "examples": len(examples), "at_once": at_once}))
    identity = folder / "logits.json"
    if identity.is_file() and read_json(identity) != wanted:
        raise ResumeError(f"{folder} holds the teacher's logits of another command; give --out another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(identity, wanted)
    parts = []
    starts = range(0, len(examples), at_once)
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    for number, start in enumerate(track(starts, description="the teacher's logits", console=console)):
        path = folder / f"part-{number:05}.npy"
        if not path.is_file():
            logits = _score(scorer, examples[start : start + at_once])
            with atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, logits)
        parts.append(np.load(path))
    return np.concatenate(parts)


def _score(scorer: TorchScorer, examples: Sequence[Example]) -> NDArray[np.float32]:
    texts = [example.text for example in examples]
    pairs = None if examples[0].text_pair is None else [str(example.text_pair) for example in examples]
    logits = scorer.logits(texts, pairs)
    if not np.isfinite(logits).all():
        raise ModelError("the teacher gave a logit that is not finite; its weights are broken or overflow")
    return logits
