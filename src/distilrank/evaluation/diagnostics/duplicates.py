"""Queries that are the same, or nearly, in two splits: what is trained on must not be tested on."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class SamePair:
    """Two texts of different splits that are the same or nearly so.

    ``similarity`` is the Jaccard index of their word sets, 0 to 1.
    """

    first_split: str
    first_id: str
    second_split: str
    second_id: str
    similarity: float


def normalise_text(text: str) -> str:
    """Return the text as it counts for identity: words only, case folded, compatibility forms unified.

    A text without any word character is kept as it is, apart from case and white space, so that "?" and "!"
    remain different.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORD.findall(folded)) or " ".join(folded.split())


def same_texts(splits: Mapping[str, Mapping[str, str]]) -> list[SamePair]:
    """Find texts that are identical after ``normalise_text`` in two splits.

    Args:
        splits: Split -> id -> text.

    Returns:
        Every pair of ids from two splits, in the order of the splits and then of the second one's texts.
    """
    normalised = {
        split: {item: normalise_text(text) for item, text in texts.items()} for split, texts in splits.items()
    }
    found = []
    for first, second in combinations(splits, 2):
        owners = defaultdict(list)
        for item, text in normalised[first].items():
            owners[text].append(item)
        for item, text in normalised[second].items():
            found += [SamePair(first, owner, second, item, 1.0) for owner in owners.get(text, ())]
    return found


def near_duplicates(splits: Mapping[str, Mapping[str, str]], *, threshold: float = 0.8) -> list[SamePair]:
    """Find texts of two splits whose sets of words overlap by at least ``threshold``, but are not identical.

    Exact, not sampled: of every text only its rarest words are looked up, as many as two texts must share one
    of if they are similar enough (the prefix filter of Chaudhuri et al. 2006), so that tens of thousands
    of queries take about a second. Word order and repetition do not count; a script without spaces
    between words makes one word of a sentence, and then only identical texts are found.

    Args:
        splits: Split -> id -> text.
        threshold: Smallest Jaccard index, above 0 and up to 1.

    Returns:
        Pairs, the most similar first; identical ones (``same_texts``) are left out.
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"threshold is {threshold}, give a number above 0 and up to 1")
    normalised = {
        split: {item: normalise_text(text) for item, text in texts.items()} for split, texts in splits.items()
    }
    rarity = Counter(word for texts in normalised.values() for text in texts.values() for word in set(text.split()))
    words = {
        split: {item: sorted(set(text.split()), key=lambda word: (rarity[word], word)) for item, text in texts.items()}
        for split, texts in normalised.items()
    }
    found = [
        SamePair(first, one, second, two, similarity)
        for first, second in combinations(splits, 2)
        for one, two, similarity in _similar(words[first], words[second], threshold)
        if normalised[first][one] != normalised[second][two]
    ]
    return sorted(found, key=lambda pair: -pair.similarity)


def _similar(
    left: Mapping[str, list[str]], right: Mapping[str, list[str]], threshold: float
) -> Iterator[tuple[str, str, float]]:
    """Yield (left id, right id, Jaccard index) of pairs at or above the threshold; words come rarest first."""
    index: dict[str, list[str]] = defaultdict(list)
    for item, words in right.items():
        for word in words[: _prefix(len(words), threshold)]:
            index[word].append(item)
    sets = {item: frozenset(words) for item, words in right.items()}
    for item, words in left.items():
        own = frozenset(words)
        candidates = {other for word in words[: _prefix(len(words), threshold)] for other in index.get(word, ())}
        for other in sorted(candidates):
            shared = len(own & sets[other])
            similarity = shared / (len(own) + len(sets[other]) - shared)
            if similarity >= threshold:
                yield item, other, similarity


def _prefix(words: int, threshold: float) -> int:
    """Return how many of a set's rarest words must be looked up; 0 for an empty set."""
    # The small constant keeps 0.8 x 5 at 4 where floating point makes it a little more.
    return words - math.ceil(threshold * words - 1e-9) + 1 if words else 0
