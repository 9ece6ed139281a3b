"""Where a BiLSTM's word embeddings come from: a file of word vectors, its teacher's embeddings, or chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.word_tokens import SPECIAL_WORDS
from distilrank.data.word_vectors import WordVectors
from distilrank.errors import SettingsError

RANDOM_RANGE = 0.25
"""Words without a vector are drawn from U(-0.25, 0.25), as Kim (2014, arXiv 1408.5882) does for word2vec's."""


def rows_from_vectors(words: Sequence[str], vectors: WordVectors, *, seed: int) -> NDArray[np.float32]:
    """Return (3 + words, dimensions): the special words and those without a vector at random, the others as they are.

    Args:
        words: Of the vocabulary, without the special ones.
        vectors: Of the file; a word in another case than its is another word.
        seed: Of the random rows.
    """
    rows = random_rows(words, vectors.dimensions, seed=seed)
    for place, word in enumerate(words, start=len(SPECIAL_WORDS)):
        found = vectors.index.get(word)
        if found is not None:
            rows[place] = vectors.vectors[found]
    return rows


def random_rows(words: Sequence[str], dimensions: int, *, seed: int) -> NDArray[np.float32]:
    """Return (3 + words, dimensions) drawn from U(-0.25, 0.25).

    Raises:
        SettingsError: ``dimensions`` is below 1.
    """
    if dimensions < 1:
        raise SettingsError(f"dimensions is {dimensions} but must be at least 1")
    draw = np.random.default_rng(seed)
    shape = (len(SPECIAL_WORDS) + len(words), dimensions)
    return draw.uniform(-RANDOM_RANGE, RANDOM_RANGE, shape).astype(np.float32)


def rows_from_teacher(teacher: PreTrainedModel, dimensions: int) -> NDArray[np.float32]:
    """Return the teacher's word embeddings in fewer dimensions, (vocabulary, dimensions), by principal components.

    Args:
        teacher: It is only read.
        dimensions: How many components, the largest first; the teacher's whole width only turns the space.

    Raises:
        SettingsError: More dimensions are asked for than the teacher has.
    """
    weight: Tensor = teacher.get_input_embeddings().weight  # type: ignore[assignment]
    weight = weight.detach().to("cpu", torch.float64)
    if not 1 <= dimensions <= weight.shape[1]:
        raise SettingsError(
            f"dimensions is {dimensions} but must lie between 1 and the teacher's {weight.shape[1]}, "
            "of which they are the largest components"
        )
    centred = weight - weight.mean(dim=0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending
    components = vectors.flip(1)[:, :dimensions]
    # An eigenvector's sign is arbitrary; its largest entry is made positive, so that the result is one.
    signs: Tensor = components.gather(0, components.abs().argmax(dim=0, keepdim=True)).sign()
    reduced: NDArray[np.float32] = (centred @ (components * signs)).float().numpy()
    return reduced
