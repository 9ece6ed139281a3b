from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.errors import ModelError, ResumeError
from distilrank.models.scorer import TorchScorer
from distilrank.records import Example
from distilrank.teaching.logits import teacher_logits

EXAMPLES = [Example(text="x" * i) for i in range(10)]
EXPECTED = [[i, 0.0] for i in range(10)]


class Lengths:
    """Gives the lengths of the two texts for logits, until it has been asked often enough."""

    def __init__(self, *, most: int = 100) -> None:
        self.most = most
        self.calls: list[int] = []

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
        if len(self.calls) == self.most:
            raise KeyboardInterrupt
        self.calls.append(len(texts))
        pairs = text_pairs or [""] * len(texts)
        return np.array([[len(a), len(b)] for a, b in zip(texts, pairs, strict=True)], np.float32)


def logits_by(scorer: object, examples: Sequence[Example], folder: Path, **command: object) -> NDArray[np.float32]:
    return teacher_logits(cast(TorchScorer, scorer), examples, folder=folder, command=command, at_once=4)


def test_texts_and_pairs_are_scored_part_by_part_in_their_order(tmp_path: Path) -> None:
    scorer = Lengths()
    assert logits_by(scorer, EXAMPLES, tmp_path / "texts").tolist() == EXPECTED
    assert scorer.calls == [4, 4, 2]
    pairs = [Example(text="x" * i, text_pair="y" * (9 - i)) for i in range(10)]
    assert logits_by(scorer, pairs, tmp_path / "pairs").tolist() == [[i, 9 - i] for i in range(10)]


def test_what_was_scored_is_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        logits_by(Lengths(most=2), EXAMPLES, tmp_path)
    scorer = Lengths()
    assert logits_by(scorer, EXAMPLES, tmp_path).tolist() == EXPECTED
    assert scorer.calls == [2]  # the third part
    assert logits_by(scorer, EXAMPLES, tmp_path).tolist() == EXPECTED
    assert scorer.calls == [2]


def test_the_logits_of_another_command_are_refused(tmp_path: Path) -> None:
    logits_by(Lengths(), EXAMPLES, tmp_path, teacher="one")
    for examples, teacher in ((EXAMPLES, "another"), (EXAMPLES[:9], "one")):
        with pytest.raises(ResumeError, match="of another command"):
            logits_by(Lengths(), examples, tmp_path, teacher=teacher)


def test_a_logit_that_is_not_finite_is_refused_and_not_kept(tmp_path: Path) -> None:
    class Broken(Lengths):
        def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
            return np.where(super().logits(texts, text_pairs) == 7, np.nan, 0.0).astype(np.float32)

    with pytest.raises(ModelError, match="not finite"):
        logits_by(Broken(), EXAMPLES, tmp_path)
    assert [path.name for path in sorted(tmp_path.glob("*.npy"))] == ["part-00000.npy"]
