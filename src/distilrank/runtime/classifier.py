"""Classifying with an exported model folder: onnxruntime, tokenizers and numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import read_json
from distilrank.data.tokens import TEXTS_AT_ONCE, Encoded, PairTokenizer, token_batches
from distilrank.errors import ModelError
from distilrank.runtime.folder import Precision, network_file, require_folder, tuned
from distilrank.runtime.pair_network import BATCH_TOKENS
from distilrank.runtime.session import named_inputs, open_session

Kind = Literal["classes", "labels", "numbers"]
"""One class of several, several labels at once, or a number (regression)."""


class Classifier:
    """A distilled classifier of texts or pairs of texts. Made by ``Classifier.load``.

    Attributes:
        labels: Their names, in the order of the logits.
        kind: What the logits mean.
    """

    def __init__(
        self,
        session: Any,
        tokenizer: PairTokenizer,
        *,
        labels: Sequence[str],
        kind: Kind,
        batch_tokens: int = BATCH_TOKENS,
        pad_to: int = 1,
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._batch_tokens, self._pad_to = batch_tokens, pad_to
        self.labels = tuple(labels)
        self.kind = kind

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        threads: int | None = None,
        batch_tokens: int | None = None,
        precision: Precision = "auto",
    ) -> Classifier:
        """Load the exported network, the tokeniser and the label names of a model folder.

        Args:
            folder: As ``distilrank export`` leaves it.
            threads: Threads of one forward pass. None: what ``export --tune`` found on this machine, or one per core.
            batch_tokens: Limit on the padded tokens of a batch; None likewise, or ``BATCH_TOKENS``.
            precision: Which of its files is run.

        Raises:
            ModelError: Something is missing or broken, or there are not as many names as logits.
        """
        folder = require_folder(folder)
        path, stored = network_file(folder, precision), tuned(folder)
        labels, kind = label_names(folder)
        try:
            session = open_session(path, threads=threads or stored.threads)
        except Exception as error:  # onnxruntime's own errors share no public base
            raise ModelError(f"{path} cannot be loaded; run: distilrank export {folder}") from error
        logits = session.get_outputs()[0].shape[-1]
        if logits != len(labels):
            raise ModelError(f"{path} has {logits} logits, but config.json names {len(labels)} labels; mend that")
        return cls(
            session,
            PairTokenizer.from_folder(folder),
            labels=labels,
            kind=kind,
            batch_tokens=batch_tokens or stored.batch_tokens or BATCH_TOKENS,
            pad_to=stored.pad_to or 1,
        )

    def score(self, pairs: Sequence[tuple[str, str | None]]) -> NDArray[np.float32]:
        """Return raw logits, shape (pairs, labels); the second text of a pair is None where there is only one."""
        scores = np.empty((len(pairs), len(self.labels)), np.float32)
        for start in range(0, len(pairs), TEXTS_AT_ONCE):
            encoded = self._encode(pairs[start : start + TEXTS_AT_ONCE])
            lengths = map(len, encoded)
            for indices in token_batches(lengths, max_batch_tokens=self._batch_tokens, multiple=self._pad_to):
                arrays = self._tokenizer.pad([encoded[index] for index in indices], multiple=self._pad_to)
                (logits,) = self._session.run(["logits"], named_inputs(self._session, arrays))
                scores[start + np.array(indices)] = logits
        return scores

    def _encode(self, pairs: Sequence[tuple[str, str | None]]) -> list[Encoded]:
        """Encode single texts and pairs, which need different templates."""
        found: dict[int, Encoded] = {}
        for single in (True, False):
            places = [place for place, (_, second) in enumerate(pairs) if (second is None) == single]
            seconds = None if single else [pairs[place][1] or "" for place in places]
            found |= zip(places, self._tokenizer.encode([pairs[place][0] for place in places], seconds), strict=True)
        return [found[place] for place in range(len(pairs))]

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what logits mean: a softmax over classes, a sigmoid per label, or the numbers as they are.

        Args:
            logits: Shape (pairs, labels).
        """
        wide = logits.astype(np.float64)
        if self.kind == "numbers":
            return wide
        if self.kind == "labels":
            return sigmoid(wide)
        exponents = np.exp(wide - wide.max(axis=-1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def label_names(folder: str | Path) -> tuple[list[str], Kind]:
    """Return the labels of a folder's ``config.json`` and what its logits mean.

    Raises:
        ModelError: The file is missing or holds no ``id2label``.
    """
    path = Path(folder) / "config.json"
    config = read_json(path) if path.is_file() else {}
    names = config.get("id2label") if isinstance(config, dict) else None
    if not isinstance(names, dict) or not names or not all(name.isdecimal() for name in names):
        raise ModelError(f"{path} names no labels (id2label); save the model again")
    kinds: dict[Any, Kind] = {"multi_label_classification": "labels", "regression": "numbers"}
    ordered = [str(name) for _, name in sorted(names.items(), key=lambda item: int(item[0]))]
    return ordered, kinds.get(str(config.get("problem_type")), "classes")


def sigmoid(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the logistic function of any logits, without overflow; float64, so that it stays below 1 up to 36."""
    halves = np.tanh(np.asarray(logits, np.float64) / 2)
    return np.asarray((1 + halves) / 2)
