"""Training triples drawn from groups, as labelled pairs: the sampler of Simplified TinyBERT.

The paper samples triples from the corpus (its sampler was never published). Ours draws a query
uniformly, then one of its positives and one of its negatives uniformly; the pair (query, positive) is
labelled 1 and (query, negative) 0. Draw ``i`` is a pure function of the seed and ``i``, so the sequence
costs no memory, can be read in any order and is the same after a resume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from distilrank.data.groups import require_relevant
from distilrank.errors import InputError, SettingsError
from distilrank.records import Example, Group


class SampledPairs(Sequence[Example]):
    """``2 * triples`` labelled (query, passage) pairs; items 2i and 2i + 1 are one triple.

    Args:
        groups: Where to draw from; groups without a positive or without a negative are left out.
        triples: How many triples to draw.
        seed: Of the draws.

    Raises:
        InputError: When no group has both a positive and a negative.
        SettingsError: When ``triples`` is below 1.
    """

    def __init__(self, groups: Sequence[Group], *, triples: int, seed: int) -> None:
        if triples < 1:
            raise SettingsError(f"triples is {triples} but must be at least 1")
        self._groups = groups
        self._usable = [
            i
            for i, group in enumerate(groups)
            if any(r > 0 for r in group.relevance) and any(r <= 0 for r in group.relevance)
        ]
        if not self._usable:
            require_relevant(groups, "this procedure")
            raise InputError("no group has both a relevant and a non-relevant passage, so no triple can be drawn")
        self._triples = triples
        self._seed = seed

    def __len__(self) -> int:
        return 2 * self._triples

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        triple, is_negative = divmod(index % len(self), 2)
        draw = np.random.default_rng((self._seed, triple))
        group = self._groups[self._usable[int(draw.integers(len(self._usable)))]]
        positives = [i for i, relevance in enumerate(group.relevance) if relevance > 0]
        negatives = [i for i, relevance in enumerate(group.relevance) if relevance <= 0]
        positive, negative = (
            positives[int(draw.integers(len(positives)))],
            negatives[int(draw.integers(len(negatives)))],
        )
        passage = group.passages[negative if is_negative else positive]
        return Example(text=group.query, text_pair=passage, label=0 if is_negative else 1, example_id=group.query_id)
