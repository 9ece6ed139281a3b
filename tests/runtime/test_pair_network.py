from __future__ import annotations

import numpy as np
import pytest

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError, SettingsError
from distilrank.models.scorer import TorchScorer
from distilrank.runtime.pair_network import LongPassages, PairNetwork
from distilrank.runtime.session import open_session
from tests.bilstms import tiny_word_tokenizer
from tests.tiny import WORDS, tiny_export, tiny_model, tiny_pairs, tiny_tokenizer

NOUNS = [word for word in WORDS if len(word) > 1]  # a token each
QUERY = "red dog"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tiny_export(tmp_path_factory.mktemp("exported")).read_bytes()


def network(graph: bytes, tokenizer: PairTokenizer | None = None, **options: object) -> PairNetwork:
    return PairNetwork(open_session(graph, threads=1), tokenizer or tiny_tokenizer(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("batch_tokens", "pad_to"), [(1, 1), (100, 1), (100, 16), (5000, 8)])
def test_scores_do_not_depend_on_batches(graph: bytes, batch_tokens: int, pad_to: int) -> None:
    pairs = tiny_pairs(30)
    scores = network(graph, batch_tokens=batch_tokens, pad_to=pad_to).score(pairs)
    np.testing.assert_allclose(scores, TorchScorer(tiny_model(), tiny_tokenizer()).score(pairs), atol=1e-4)


class Watched:
    """A session that remembers the shapes of its batches."""

    def __init__(self, graph: bytes) -> None:
        self.session, self.shapes = open_session(graph, threads=1), []

    def get_inputs(self) -> list[object]:
        return self.session.get_inputs()

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.shapes.append(inputs["input_ids"].shape)
        return self.session.run(outputs, inputs)


def test_batches_hold_similar_lengths_and_no_more_tokens_than_allowed(graph: bytes) -> None:
    watched = Watched(graph)
    pairs = tiny_pairs(60)
    PairNetwork(watched, tiny_tokenizer(), batch_tokens=200, pad_to=8).score(pairs)
    assert sum(rows for rows, _ in watched.shapes) == 60
    assert all(rows * length <= 200 for rows, length in watched.shapes)
    assert all(length % 8 == 0 for _, length in watched.shapes)
    real = sum(map(len, tiny_tokenizer().encode(*map(list, zip(*pairs, strict=True)))))
    computed = sum(rows * length for rows, length in watched.shapes)
    longest = max(length for _, length in watched.shapes)
    assert computed < 1.35 * real < 0.8 * 60 * longest


def test_a_long_passage_counts_by_its_best_window(graph: bytes) -> None:
    """Windows made by hand, from words that are a token each."""
    tokenizer, room = tiny_tokenizer(), 48 - 3 - 2  # three special tokens and the query's two
    for seed in range(50):
        words = list(np.random.default_rng(seed).choice(NOUNS, 100))
        windows = [words[start : start + room] for start in (0, 33, 66)]  # each shares ten with the one before it
        by_hand = network(graph).score([(QUERY, " ".join(window)) for window in windows])
        if np.argmax(by_hand) == 2 and np.argmin(by_hand) == 0:
            break
    assert by_hand[0] < by_hand[1] - 0.01 < by_hand[2] - 0.02
    split = network(graph, long_passages=LongPassages(stride=10))
    scores = split.score([(QUERY, " ".join(words)), (QUERY, "a short cat")])
    assert scores[0] == pytest.approx(by_hand.max(), abs=1e-4)
    assert scores[1] == pytest.approx(network(graph).score([(QUERY, "a short cat")])[0], abs=1e-4)
    # Truncated it is its first window; a budget of two windows reads two of them.
    assert network(graph).score([(QUERY, " ".join(words))])[0] == pytest.approx(by_hand[0], abs=1e-4)
    two = network(graph, long_passages=LongPassages(stride=10, budget_tokens=2 * 48 + 5))
    assert two.score([(QUERY, " ".join(words))])[0] == pytest.approx(by_hand[:2].max(), abs=1e-4)
    assert (
        tokenizer.windows([QUERY], [" ".join(words)], stride=10)[0][0]
        == tokenizer.encode([QUERY], [" ".join(words)])[0]
    )


def test_the_best_window_need_not_be_the_first(graph: bytes) -> None:
    """Else it could as well be cut off."""
    random = np.random.default_rng(1)
    passages = [" ".join(random.choice(NOUNS, 120)) for _ in range(20)]
    pairs = [(QUERY, passage) for passage in passages]
    first, best = network(graph).score(pairs), network(graph, long_passages=LongPassages(stride=8)).score(pairs)
    assert np.all(best >= first - 1e-5)
    assert np.any(best > first + 0.05)


def test_a_long_query_is_truncated_as_ever(graph: bytes) -> None:
    pair = (" ".join(NOUNS[:44]), " ".join(NOUNS))
    split = network(graph, long_passages=LongPassages(stride=10)).score([pair])
    np.testing.assert_allclose(split, network(graph).score([pair]), atol=1e-5)
    assert len(tiny_tokenizer().windows([pair[0]], [pair[1]], stride=10)[0]) == 1


def test_windows_are_not_for_texts_read_apart() -> None:
    with pytest.raises(ModelError, match="reads a passage once and whole"):
        tiny_word_tokenizer().windows(["red"], ["dog"], stride=3)


def test_settings_out_of_range_are_refused(graph: bytes) -> None:
    for options, said in (
        ({"batch_tokens": 0}, "batch_tokens is 0"),
        ({"pad_to": 0}, "pad_to 0"),
        ({"long_passages": LongPassages(stride=24)}, "windows of 48 tokens cannot share 24"),
    ):
        with pytest.raises(SettingsError, match=said):
            network(graph, **options)
    with pytest.raises(SettingsError, match="stride is -1"):
        LongPassages(stride=-1)
    with pytest.raises(SettingsError, match="budget_tokens 0"):
        LongPassages(budget_tokens=0)
