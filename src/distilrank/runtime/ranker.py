"""Ranking from an exported model folder with onnxruntime, tokenizers and numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError, SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPassage:
    """One passage in a ranking.

    Attributes:
        rank: Place in the ranking, from 1.
        index: Position in the passages given, from 0.
        score: Raw logit.
        passage: Its text.
    """

    rank: int
    index: int
    score: float
    passage: str


class Ranker:
    """A distilled ranker; implements ``Scorer``. Made by ``Ranker.load``."""

    def __init__(self, session: Any, tokenizer: PairTokenizer, *, folder: Path, batch_tokens: int) -> None:
        self._session = session
        self._inputs = [item.name for item in session.get_inputs()]
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self.folder = folder

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        threads: int | None = None,
        batch_tokens: int = 1024,
        max_tokens: int | None = None,
    ) -> Ranker:
        """Load ``onnx/model.onnx`` and the tokeniser of a model folder.

        Args:
            folder: As ``distilrank export`` leaves it.
            threads: Threads of one forward pass; None takes one per core.
            batch_tokens: Limit on the padded tokens of a batch; much larger ones overflow the caches and take longer.
            max_tokens: Longest pair. None: what the folder says.

        Raises:
            ModelError: No such folder, no export in it, a broken one, or a classifier.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ModelError(f"there is no model folder {folder}")
        path = folder / "onnx" / "model.onnx"
        if not path.is_file():
            raise ModelError(f"{folder} holds no onnx/model.onnx; run: distilrank export {folder}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no public base
            raise ModelError(f"{path} cannot be loaded; run: distilrank export {folder}") from error
        labels = session.get_outputs()[0].shape[-1]
        if labels != 1:
            hint = "; fold them into one with: distilrank convert" if labels == 2 else ""
            raise ModelError(f"a ranker has one logit, the model in {folder} has {labels}{hint}")
        tokenizer = PairTokenizer.from_folder(folder, max_tokens)
        return cls(session, tokenizer, folder=folder, batch_tokens=batch_tokens)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw logit per (query, passage) pair, shape (pairs,); higher ranks first."""
        scores = np.empty(len(pairs), np.float32)
        queries, passages = [query for query, _ in pairs], [passage for _, passage in pairs]
        for indices, arrays in self._tokenizer.batches(queries, passages, batch_tokens=self._batch_tokens):
            inputs = {
                "input_ids": arrays.input_ids,
                "attention_mask": arrays.attention_mask,
                "token_type_ids": arrays.token_type_ids,
            }
            (logits,) = self._session.run(["logits"], {name: inputs[name] for name in self._inputs})
            scores[indices] = logits[:, 0]
        return scores

    def rank(self, query: str, passages: Sequence[str], *, top_k: int | None = None) -> list[RankedPassage]:
        """Rank passages by their score for a query, best first; equal scores keep the order given.

        Args:
            query: The query.
            passages: Texts to rank; none give an empty ranking.
            top_k: How many of the best to return; None returns all.
        """
        return ranked(self.score([(query, passage) for passage in passages]), passages, top_k=top_k)


def ranked(scores: NDArray[np.float32], passages: Sequence[str], *, top_k: int | None = None) -> list[RankedPassage]:
    """Sort passages by score, best first; equal scores keep the order given.

    Args:
        scores: One score per passage, shape (passages,).
        passages: Their texts.
        top_k: How many of the best to return; None returns all.
    """
    if top_k is not None and top_k < 1:
        raise SettingsError(f"top_k is {top_k}, give at least 1")
    order = np.argsort(-scores, kind="stable")[:top_k]
    return [
        RankedPassage(rank=rank, index=int(index), score=float(scores[index]), passage=passages[index])
        for rank, index in enumerate(order, start=1)
    ]
