"""Ranking from an exported model folder with onnxruntime, tokenizers and numpy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.data.passage_vectors import FOLDER, PassageVectors, vectors_identity
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import MissingExtraError, ModelError, SettingsError
from distilrank.runtime.calibration import Calibration, require_calibration
from distilrank.runtime.folder import Precision, network_file, require_folder, tuned
from distilrank.runtime.openvino_session import FILE, OpenVinoSession
from distilrank.runtime.pair_network import BATCH_TOKENS, LongPassages, PairNetwork
from distilrank.runtime.session import open_session
from distilrank.runtime.shipped import default_folder
from distilrank.runtime.siamese import SiameseNetwork
from distilrank.scorer import Scorer

Backend = Literal["onnxruntime", "openvino"]
"""``openvino`` runs what ``export --openvino`` left, in fp32."""


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
    """A distilled ranker; implements ``Scorer``. Made by ``Ranker.load``, or ``Ranker.default``.

    Attributes:
        folder: Of the model.
        file: Of the network that is run; None where a siamese one runs in halves.
    """

    def __init__(self, network: Scorer, *, folder: Path, file: Path | None = None) -> None:
        self._network = network
        self.folder = folder
        self.file = file

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        threads: int | None = None,
        batch_tokens: int | None = None,
        max_tokens: int | None = None,
        precision: Precision = "auto",
        backend: Backend = "onnxruntime",
        long_passages: LongPassages | None = None,
        passage_vectors: Path | None = None,
    ) -> Ranker:
        """Load the exported network and the tokeniser of a model folder.

        Args:
            folder: As ``distilrank export`` leaves it.
            threads: Threads of one forward pass. None: what ``export --tune`` found on this machine, or one per core.
            batch_tokens: Limit on the padded tokens of a batch; None likewise, or ``BATCH_TOKENS``.
            max_tokens: Longest pair. None: what the folder says.
            precision: Which of its files is run.
            backend: What runs it.
            long_passages: What becomes of passages that are longer. None: they are truncated.
            passage_vectors: Vectors that ``distilrank encode`` made, for a siamese network. None: those in the
                folder, if there are any.

        Raises:
            ModelError: No such folder, no export in it, a broken one, or a classifier; vectors of other weights.
            MissingExtraError: The backend is not installed.
        """
        folder = require_folder(folder)
        stored = tuned(folder)
        threads = threads or stored.threads
        tokenizer = PairTokenizer.from_folder(folder, max_tokens)
        if backend == "openvino" and precision == "int8":
            raise SettingsError("8 bits are run by onnxruntime; leave out the precision or the backend")
        if (folder / "onnx" / "encoder.onnx").is_file():
            if backend == "openvino":
                raise ModelError(f"{folder} reads texts apart, by onnxruntime only; leave out the backend")
            if long_passages is not None:
                raise ModelError(f"{folder} reads a passage by itself and whole; it takes no windows of long passages")
            return cls(_siamese(folder, tokenizer, passage_vectors, threads=threads), folder=folder)
        if passage_vectors is not None:
            raise ModelError(f"{folder} reads query and passage together, so it cannot use passage vectors")
        file = folder / FILE if backend == "openvino" else network_file(folder, precision)
        session = _open(file, folder, threads)
        labels = session.get_outputs()[0].shape[-1]
        if labels != 1:
            hint = "; fold them into one with: distilrank convert" if labels == 2 else ""
            raise ModelError(f"a ranker has one logit, the model in {folder} has {labels}{hint}")
        network = PairNetwork(
            session,
            tokenizer,
            batch_tokens=batch_tokens or stored.batch_tokens or BATCH_TOKENS,
            pad_to=stored.pad_to or 1,
            long_passages=long_passages,
        )
        return cls(network, folder=folder, file=file)

    @classmethod
    def default(cls, **options: Any) -> Ranker:
        """Load the small ranker that comes with the package: nothing is downloaded, no torch is needed.

        Args:
            options: Those of ``load``.

        Raises:
            ModelError: This installation lacks it.
        """
        return cls.load(default_folder(), **options)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one raw logit per (query, passage) pair, shape (pairs,); higher ranks first."""
        return self._network.score(pairs)

    def probabilities(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return what scores mean: the probability that a passage is relevant, the same shape.

        Their order is that of the scores, but several scores may share a probability; so rank by scores.

        Raises:
            ModelError: ``distilrank calibrate`` has not been run on the folder, or was run on other weights.
        """
        return self._calibration.probabilities(scores)

    @cached_property
    def _calibration(self) -> Calibration:
        return require_calibration(self.folder)

    def rank(self, query: str, passages: Sequence[str], *, top_k: int | None = None) -> list[RankedPassage]:
        """Rank passages by their score for a query, best first; equal scores keep the order given.

        Args:
            query: The query.
            passages: Texts to rank; none give an empty ranking.
            top_k: How many of the best to return; None returns all.
        """
        return self.rank_many([(query, passages)], top_k=top_k)[0]

    def rank_many(
        self, queries: Sequence[tuple[str, Sequence[str]]], *, top_k: int | None = None
    ) -> list[list[RankedPassage]]:
        """Rank the passages of many queries; their pairs share batches, so this is faster than one after another.

        Args:
            queries: Each with its own passages.
            top_k: How many of the best to return per query; None returns all.
        """
        scores = self.score([(query, passage) for query, passages in queries for passage in passages])
        ends = np.cumsum([len(passages) for _, passages in queries])
        return [
            ranked(scores[end - len(passages) : end], passages, top_k=top_k)
            for (_, passages), end in zip(queries, ends, strict=True)
        ]


def _siamese(
    folder: Path, tokenizer: PairTokenizer, passage_vectors: Path | None, *, threads: int | None
) -> SiameseNetwork:
    """Open the halves of a siamese network, with the passage vectors that there are."""
    where = passage_vectors or folder / FOLDER
    vectors = None
    if passage_vectors is not None or (where / "manifest.json").is_file():
        vectors = PassageVectors(where, identity=vectors_identity(folder, tokenizer))
    encoder, head = (_open(folder / "onnx" / f"{half}.onnx", folder, threads) for half in ("encoder", "head"))
    return SiameseNetwork(encoder, head, tokenizer, vectors=vectors)


def _open(path: Path, folder: Path, threads: int | None) -> Any:
    again = f"distilrank export {folder}{' --openvino' if path.name == FILE.name else ''}"
    if not path.is_file():
        raise ModelError(f"{folder} holds no {path.relative_to(folder)}; run: {again}")
    try:
        return (OpenVinoSession if path.name == FILE.name else open_session)(path, threads=threads)
    except MissingExtraError:
        raise
    except Exception as error:  # the libraries' own errors share no public base
        raise ModelError(f"{path} cannot be loaded; run: {again}") from error


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
