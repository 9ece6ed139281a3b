from __future__ import annotations

from collections import Counter

import pytest
from scipy.stats import binom

from distilrank.data.triples import SampledPairs
from distilrank.errors import InputError, SettingsError
from distilrank.records import Example, Group

GROUPS = [
    Group(query="q0", passages=("p0", "n0", "n1"), relevance=(1.0, 0.0, 0.0), query_id="id0"),
    Group(query="only positives", passages=("x",), relevance=(2.0,)),
    Group(query="q1", passages=("n2", "p1", "p2", "n3", "n4"), relevance=(0.0, 3.0, 1.0, 0.0, -1.0), query_id="id1"),
    Group(query="only negatives", passages=("y", "z"), relevance=(0.0, 0.0)),
    Group(query="q2", passages=("p3", "n5"), relevance=(1.0, 0.0), query_id="id2"),
]


def test_items_come_as_positive_and_negative_of_one_query() -> None:
    pairs = SampledPairs(GROUPS, triples=50, seed=1)
    assert len(pairs) == 100
    for positive, negative in zip(pairs[::2], pairs[1::2], strict=True):
        assert positive.text == negative.text
        assert positive.example_id == negative.example_id == positive.text.replace("q", "id")
        assert (positive.label, negative.label) == (1, 0)
        group = next(group for group in GROUPS if group.query == positive.text)
        relevance = dict(zip(group.passages, group.relevance, strict=True))
        assert relevance[positive.text_pair or ""] > 0
        assert relevance[negative.text_pair or ""] <= 0


def test_a_draw_is_a_function_of_seed_and_place_alone() -> None:
    pairs = SampledPairs(GROUPS, triples=20, seed=1)
    forwards = list(pairs)
    assert [pairs[i] for i in reversed(range(40))] == forwards[::-1]
    # Neither of how many there are, nor of what was read before.
    assert SampledPairs(GROUPS, triples=500, seed=1)[:40] == forwards
    assert SampledPairs(GROUPS, triples=20, seed=2)[:] != forwards
    assert pairs[-1] == forwards[-1]
    assert pairs[-40] == forwards[0]
    for outside in (40, -41):
        with pytest.raises(IndexError):
            pairs[outside]


def interval(share: float, *, draws: int) -> tuple[float, float]:
    """Where the count lies but for one time in a million."""
    low, high = binom.interval(1 - 1e-6, draws, share)
    return float(low), float(high)


def test_queries_positives_and_negatives_are_drawn_uniformly() -> None:
    draws = 3000
    pairs = SampledPairs(GROUPS, triples=draws, seed=3)
    queries = Counter(example.text for example in pairs[::2])
    passages = Counter(example.text_pair for example in pairs)
    assert set(queries) == {"q0", "q1", "q2"}
    shares = {
        **dict.fromkeys(["q0", "q1", "q2"], 1 / 3),
        **dict.fromkeys(["p0", "p3", "n5"], 1 / 3),
        **dict.fromkeys(["n0", "n1", "p1", "p2"], 1 / 6),
        **dict.fromkeys(["n2", "n3", "n4"], 1 / 9),
    }
    assert set(passages) == set(shares) - set(queries)
    for name, share in shares.items():
        low, high = interval(share, draws=draws)
        assert low <= (queries | passages)[name] <= high, name
    # Positive and negative are drawn apart: each of the six pairs of q1 is as likely.
    both = Counter(
        (positive.text_pair, negative.text_pair)
        for positive, negative in zip(pairs[::2], pairs[1::2], strict=True)
        if positive.text == "q1"
    )
    low, high = interval(1 / 18, draws=draws)
    assert len(both) == 6
    assert all(low <= count <= high for count in both.values())


def test_next_to_another_seed_the_draws_are_new() -> None:
    # Were the seed added to the place, draw 1 of seed 0 would be draw 0 of seed 1.
    first, second = (SampledPairs(GROUPS, triples=300, seed=seed)[::2] for seed in (0, 1))
    assert first[1:] != second[:-1]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InputError, match="no group has both"):
        SampledPairs([GROUPS[1], GROUPS[3]], triples=1, seed=0)
    for triples in (0, -3):
        with pytest.raises(SettingsError, match=f"triples is {triples} but"):
            SampledPairs(GROUPS, triples=triples, seed=0)


def test_they_are_labelled_pairs() -> None:
    assert isinstance(SampledPairs(GROUPS, triples=1, seed=0)[0], Example)
