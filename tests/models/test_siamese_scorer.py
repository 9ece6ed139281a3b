from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.data.passage_vectors import PassageVectors, vectors_identity, write_passage_vectors
from distilrank.errors import ModelError
from distilrank.models.bilstm import load_bilstm
from distilrank.models.scorer import TorchScorer
from distilrank.models.siamese_scorer import SiameseScorer
from distilrank.records import Passage
from tests.bilstms import MAX_WORDS, saved_bilstm, tiny_bilstm, tiny_word_tokenizer
from tests.tiny import tiny_pairs

PAIRS = tiny_pairs(40, lengths=(5, 0, 30, 1, 12))


class Counting(SiameseScorer):
    """Notes what it encodes."""

    def __init__(self, *given: object, **options: object) -> None:
        super().__init__(*given, **options)  # type: ignore[arg-type]
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded.extend(texts)
        return super().encode(texts)


def stored(folder: Path, texts: Sequence[str], dtype: str) -> PassageVectors:
    """The vectors of some texts, by the tiny network."""
    scorer = SiameseScorer(tiny_bilstm(), tiny_word_tokenizer())
    passages = {f"d{i}": Passage(f"d{i}", text) for i, text in enumerate(texts)}
    written = {"width": scorer.width, "identity": {}, "collection": "", "dtype": dtype}
    write_passage_vectors(folder, passages, scorer.encode, **written)  # type: ignore[arg-type]
    return PassageVectors(folder, identity={})


def test_scores_are_the_networks_and_each_text_is_read_once() -> None:
    model, tokenizer = tiny_bilstm(), tiny_word_tokenizer()
    scorer = Counting(model.train(), tokenizer)
    pairs = [*PAIRS, *PAIRS[:5], ("the old city", PAIRS[0][1])]
    scores = scorer.score(pairs)
    assert scores.shape == (46,)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, TorchScorer(model, tokenizer).score(pairs), atol=1e-6)
    assert np.ptp(scores) > 0.01
    assert sorted(scorer.encoded) == sorted([*{query for query, _ in pairs}, *{passage for _, passage in pairs}])
    assert scorer.score([]).shape == (0,)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_stored_vectors_give_the_same_scores_without_reading_passages(
    tmp_path: Path, dtype: str, tolerance: float
) -> None:
    model, tokenizer = tiny_bilstm(), tiny_word_tokenizer()
    passages = list(dict.fromkeys(passage for _, passage in PAIRS))
    expected = SiameseScorer(model, tokenizer).score(PAIRS)
    known = Counting(model, tokenizer, vectors=stored(tmp_path / "all", passages[::-1], dtype))
    np.testing.assert_allclose(known.score(PAIRS), expected, atol=tolerance)
    assert set(known.encoded) == {query for query, _ in PAIRS}
    # A passage that is not among them is read now.
    part = Counting(model, tokenizer, vectors=stored(tmp_path / "part", passages[:7], dtype))
    np.testing.assert_allclose(part.score(PAIRS), expected, atol=tolerance)
    queries = {query for query, _ in PAIRS}
    assert [text for text in part.encoded if text not in queries] == [t for t in passages[7:] if t not in queries]


def test_a_texts_vector_does_not_depend_on_its_neighbours() -> None:
    scorer = SiameseScorer(tiny_bilstm(), tiny_word_tokenizer())
    texts = [passage for _, passage in PAIRS]
    together = scorer.encode(texts)
    assert together.shape == (40, scorer.width) == (40, 10)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(scorer.encode([text])[0], vector, atol=1e-6)
    limited = " ".join(texts[2].split()[:MAX_WORDS])
    np.testing.assert_array_equal(scorer.encode([texts[2]]), scorer.encode([limited]))


def test_single_texts_and_classes_are_refused() -> None:
    tokenizer = tiny_word_tokenizer()
    with pytest.raises(ModelError, match="reads single texts; a ranker reads pairs"):
        SiameseScorer(tiny_bilstm(siamese=False), tokenizer)
    with pytest.raises(ModelError, match="one logit, this BiLSTM has 2"):
        SiameseScorer(tiny_bilstm(num_labels=2), tokenizer)


def test_other_weights_another_vocabulary_and_another_limit_are_other_vectors(tmp_path: Path) -> None:
    folder = saved_bilstm(tmp_path / "one")
    _, tokenizer = load_bilstm(folder)
    identity = vectors_identity(folder, tokenizer)
    assert identity == vectors_identity(saved_bilstm(tmp_path / "same"), tokenizer)
    others = [
        vectors_identity(saved_bilstm(tmp_path / "other", seed=1), tokenizer),
        vectors_identity(folder, tokenizer.with_max_tokens(9)),
        vectors_identity(folder, type(tokenizer)(tokenizer.backend, max_tokens=MAX_WORDS)),
    ]
    # The last one differs only in that it does not read texts apart, which no single text shows.
    assert [other == identity for other in others] == [False, False, True]
