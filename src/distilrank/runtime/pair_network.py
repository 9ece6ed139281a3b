"""A cross-encoder's exported network: pairs in, logits out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.tokens import TEXTS_AT_ONCE, Encoded, PairTokenizer, token_batches
from distilrank.errors import SettingsError
from distilrank.runtime.session import named_inputs

BATCH_TOKENS = 512
"""Padded tokens of a batch. Its states should stay in a core's cache: of 128 to 2048, 256 to 512 took least on the
processor of docs/performance.md, and ``export --tune`` measures it on the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPassages:
    """A passage that is longer than the network reads is cut into windows, and its best window counts (MaxP).

    Attributes:
        stride: Tokens that a window shares with the one before it.
        budget_tokens: Most tokens that are read for one passage, of all its windows; what lies behind is cut off.
    """

    stride: int = 32
    budget_tokens: int = 2048

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.stride < 0 or self.budget_tokens < 1:
            raise SettingsError(
                f"stride is {self.stride} and budget_tokens {self.budget_tokens}; give at least 0 and 1"
            )


class PairNetwork:
    """Scores pairs by an exported network; implements ``Scorer``.

    Args:
        session: Of onnxruntime.
        tokenizer: The network's.
        batch_tokens: Limit on the padded tokens of a batch.
        pad_to: Lengths are padded to multiples of this.
        long_passages: What becomes of passages that are too long. None: they are truncated.
    """

    def __init__(
        self,
        session: Any,
        tokenizer: PairTokenizer,
        *,
        batch_tokens: int = BATCH_TOKENS,
        pad_to: int = 1,
        long_passages: LongPassages | None = None,
    ) -> None:
        if batch_tokens < 1 or pad_to < 1:
            raise SettingsError(f"batch_tokens is {batch_tokens} and pad_to {pad_to}, give at least 1")
        if long_passages is not None and long_passages.stride >= tokenizer.max_tokens // 2:
            raise SettingsError(
                f"windows of {tokenizer.max_tokens} tokens cannot share {long_passages.stride}; give a smaller stride"
            )
        self._session = session
        self._tokenizer = tokenizer
        self._batch_tokens, self._pad_to = batch_tokens, pad_to
        self._long_passages = long_passages

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw logit per (query, passage) pair, shape (pairs,); of a passage in windows the best."""
        scores = np.full(len(pairs), -np.inf, np.float32)
        for places, logits in self._logits(pairs):
            np.maximum.at(scores, places, logits[:, 0])
        return scores

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
        """Yield places of pairs and the logits of what was read of them, a batch of similar lengths at a time."""
        for start in range(0, len(pairs), TEXTS_AT_ONCE):
            windows = self._encode(pairs[start : start + TEXTS_AT_ONCE])
            encoded = [window for own in windows for window in own]
            owners = np.repeat(np.arange(len(windows)), [len(own) for own in windows]) + start
            lengths = map(len, encoded)
            for indices in token_batches(lengths, max_batch_tokens=self._batch_tokens, multiple=self._pad_to):
                arrays = self._tokenizer.pad([encoded[index] for index in indices], multiple=self._pad_to)
                (logits,) = self._session.run(["logits"], named_inputs(self._session, arrays))
                yield owners[indices], logits

    def _encode(self, pairs: Sequence[tuple[str, str]]) -> list[list[Encoded]]:
        """Return what is read of each pair: one window, or several of a long passage."""
        queries, passages = [query for query, _ in pairs], [passage for _, passage in pairs]
        if self._long_passages is None:
            return [[encoded] for encoded in self._tokenizer.encode(queries, passages)]
        most = max(1, self._long_passages.budget_tokens // self._tokenizer.max_tokens)
        windows = self._tokenizer.windows(queries, passages, stride=self._long_passages.stride)
        return [own[:most] for own in windows]
