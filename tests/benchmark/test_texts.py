from __future__ import annotations

import pytest

from distilrank.benchmark.texts import count_tokens, pairs_of_length
from distilrank.errors import InputError
from tests.bilstms import tiny_word_tokenizer
from tests.tiny import tiny_tokenizer


@pytest.mark.parametrize("tokens", [9, 17, 48])
def test_every_pair_has_as_many_tokens(tokens: int) -> None:
    tokenizer = tiny_tokenizer(max_tokens=64)
    workload = pairs_of_length(tokenizer, tokens, passages=6, queries=3)
    assert workload.name == f"{tokens} tokens"
    assert [len(pairs) for pairs in workload.queries.values()] == [6, 6, 6]
    assert set(count_tokens(tokenizer, workload.pairs)) == {tokens}
    assert len(workload.pairs) == 18
    assert all(len({query for query, _ in pairs}) == 1 for pairs in workload.queries.values())


def test_passages_are_not_all_the_same() -> None:
    workload = pairs_of_length(tiny_tokenizer(), 40, passages=20)
    assert len(workload.queries) == 10
    assert len({passage for _, passage in workload.pairs}) == 200
    assert workload == pairs_of_length(tiny_tokenizer(), 40, passages=20)


def test_for_networks_that_read_texts_apart() -> None:
    tokenizer = tiny_word_tokenizer()
    assert set(count_tokens(tokenizer, pairs_of_length(tokenizer, 15, passages=3).pairs)) == {15}


def test_too_many_and_too_few() -> None:
    with pytest.raises(InputError, match="49 tokens are more than the 48 that the model reads"):
        pairs_of_length(tiny_tokenizer(), 49, passages=1)
    with pytest.raises(InputError, match="a pair of 7 tokens has no room for a passage; give at least 8"):
        pairs_of_length(tiny_tokenizer(), 7, passages=1)
    assert pairs_of_length(tiny_tokenizer(), 8, passages=1).pairs
