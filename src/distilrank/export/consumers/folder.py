"""A model folder as its consumers see it: files, and pairs with the logits that they should get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import read_json
from distilrank.data.tokens import TEXTS_APART, PairTokenizer
from distilrank.errors import ModelError
from distilrank.models.load import load_model
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.folder import require_folder
from distilrank.runtime.pair_network import PairNetwork
from distilrank.runtime.session import open_session

OWN_LAYOUT = "distilrank_"
"""Begins the ``model_type`` of networks that no other library knows."""

_SENTENCE = "The sky is blue because air scatters short waves of light more than long ones. "
QUERY = "why is the sky blue"
PASSAGES = (
    _SENTENCE,
    "Bread is baked from flour, water and salt.",
    "blue",
    "Größe, 大きさ & <b>tags</b>",
    _SENTENCE * 3,
    _SENTENCE * 60,  # longer than any limit, so that the limit is looked at too
)
PAIRS = [(QUERY, passage) for passage in PASSAGES]
SPECIAL_TOKENS = 3
"""Of a pair, at most: [CLS] and two [SEP]."""
TOLERANCE = 1e-4
"""Of a logit, or of its share where it is larger than 1."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder to be checked.

    Attributes:
        path: Where it is.
        config: Content of ``config.json``.
        tokenizer_config: Content of ``tokenizer_config.json``.
        logits: What distilrank gives for ``PAIRS``, (pairs, labels), by torch where there are weights.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    logits: NDArray[np.float32] = field(repr=False)

    @property
    def labels(self) -> int:
        """Number of logits."""
        return int(self.logits.shape[1])

    @property
    def own_layout(self) -> bool:
        """Whether only distilrank knows the network; its ONNX file runs anywhere."""
        return str(self.config.get("model_type", "")).startswith(OWN_LAYOUT)

    @property
    def has_weights(self) -> bool:
        """Whether there are weights beside the ONNX file, as torch reads them."""
        return (self.path / "model.safetensors").is_file()

    @property
    def reads_apart(self) -> bool:
        """Whether each text of a pair is truncated by itself, which other programs do not do."""
        return bool(self.tokenizer_config.get(TEXTS_APART))

    @property
    def onnx(self) -> Path:
        """The float export, whether or not it is there."""
        return self.path / "onnx" / "model.onnx"

    @cached_property
    def session(self) -> Any:
        """The float export, opened.

        Raises:
            ModelError: There is none, or it is broken.
        """
        if not self.onnx.is_file():
            raise ModelError(f"there is no onnx/model.onnx; run: distilrank export {self.path}")
        try:
            return open_session(self.onnx, threads=1)
        except Exception as error:  # onnxruntime's own
            raise ModelError(f"onnx/model.onnx cannot be loaded; run: distilrank export {self.path}") from error

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Which of ``PAIRS`` are read to their end, (pairs,)."""
        tokenizer = PairTokenizer.from_folder(self.path)
        pieces = zip(tokenizer.pieces([QUERY] * len(PASSAGES)), tokenizer.pieces(PASSAGES), strict=True)
        return np.array([len(first) + len(second) + SPECIAL_TOKENS <= tokenizer.max_tokens for first, second in pieces])

    def difference(self, logits: NDArray[Any], *, whole_only: bool = False) -> float:
        """Return the largest difference from the logits expected, as ``TOLERANCE`` counts it.

        Args:
            logits: Of ``PAIRS``.
            whole_only: Leave out pairs that are truncated.

        Raises:
            ModelError: There are not as many.
        """
        found = np.asarray(logits, np.float64).reshape(len(PAIRS), -1)
        if found.shape != self.logits.shape:
            raise ModelError(f"it gives {found.shape[1]} logits a pair, and {self.labels} are expected")
        off = np.abs(found - self.logits) / np.maximum(1.0, np.abs(self.logits))
        return float((off[self.whole] if whole_only else off).max())


def open_folder(path: str | Path) -> ModelFolder:
    """Read a folder, and score ``PAIRS`` with it.

    Raises:
        ModelError: It cannot be loaded by distilrank itself.
        InputError: A file of it is no JSON.
    """
    path = require_folder(path)
    if (path / "model.safetensors").is_file() or not (path / "onnx" / "model.onnx").is_file():
        model, tokenizer = load_model(path, offline=True)
        logits = TorchScorer(model, tokenizer).logits([QUERY] * len(PASSAGES), PASSAGES)
    else:  # a packed ranker, which is its ONNX file
        network = PairNetwork(open_session(path / "onnx" / "model.onnx"), PairTokenizer.from_folder(path))
        logits = network.score(PAIRS)[:, None]
    config_file = path / "tokenizer_config.json"
    return ModelFolder(
        path=path,
        config=read_json(path / "config.json"),
        tokenizer_config=read_json(config_file) if config_file.is_file() else {},
        logits=logits,
    )
