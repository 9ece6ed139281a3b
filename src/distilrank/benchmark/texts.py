"""What is scored: pairs made to a length, where there is no data to take them from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError

Pairs = Sequence[tuple[str, str]]

QUERIES = 10
"""Of each length."""

_WORDS = "the of and in to a is was he for it with as his on be at by had not are but from or have an they".split()
_QUERY_WORDS = 4


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Queries whose passages are scored.

    Attributes:
        name: As tables show it.
        queries: query_id -> its pairs, those with one passage each.
    """

    name: str
    queries: Mapping[str, Pairs]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All pairs."""
        return [pair for pairs in self.queries.values() for pair in pairs]


def pairs_of_length(tokenizer: PairTokenizer, tokens: int, *, passages: int, queries: int = QUERIES) -> Workload:
    """Make pairs of exactly so many tokens each, every passage another.

    Args:
        tokenizer: That counts.
        tokens: Of a pair, with its special tokens.
        passages: Of each query.
        queries: How many.

    Raises:
        InputError: A pair cannot have so many or so few.
    """
    if tokens > tokenizer.max_tokens:
        raise InputError(f"{tokens} tokens are more than the {tokenizer.max_tokens} that the model reads")
    random = np.random.default_rng(tokens)
    single = [word for word, pieces in zip(_WORDS, tokenizer.pieces(_WORDS), strict=True) if len(pieces) == 1]
    words = single or _WORDS
    made: dict[str, Pairs] = {}
    for number in range(queries):
        query = " ".join(random.choice(words, _QUERY_WORDS))
        room = tokens - len(tokenizer.encode([query], [""])[0])
        if room < 1:
            raise InputError(f"a pair of {tokens} tokens has no room for a passage; give at least {tokens - room + 1}")
        made[str(number)] = [(query, " ".join(random.choice(words, room))) for _ in range(passages)]
    workload = Workload(name=f"{tokens} tokens", queries=made)
    counted = set(count_tokens(tokenizer, workload.pairs))
    if counted != {tokens}:
        raise InputError(f"no texts of {tokens} tokens can be made for this tokeniser; measure with --data instead")
    return workload


def count_tokens(tokenizer: PairTokenizer, pairs: Pairs) -> list[int]:
    """Return the tokens of each pair as they are read: truncated, not padded."""
    return [len(each) for each in tokenizer.encode([query for query, _ in pairs], [passage for _, passage in pairs])]
