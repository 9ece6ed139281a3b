"""One pass over a collection: empty passages, and passages with the same text."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from distilrank.evaluation.diagnostics.findings import EXAMPLES
from distilrank.records import Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionFacts:
    """What one pass over a collection shows.

    Attributes:
        passages: Passages seen.
        mean_words: Mean number of words in title and text.
        empty: Passages without any text or title.
        empty_ids: The first of them.
        repeated: Passages whose title and text another one before them has, but for case and white space.
        repeated_ids: The first of them.
    """

    passages: int
    mean_words: float
    empty: int
    empty_ids: tuple[str, ...]
    repeated: int
    repeated_ids: tuple[str, ...]


def scan_collection(passages: Collection[Passage], *, progress: Callable[[int], None] | None = None) -> CollectionFacts:
    """Look at every passage once; eight bytes of memory a passage, plus their sorting.

    Args:
        passages: The collection, ``values()`` of a ``PassageStore`` for instance; iterated over a second time only
            when texts are repeated.
        progress: Called now and then with the number of passages seen.
    """
    digests = array("Q")
    words = empty = 0
    empty_ids: list[str] = []
    for passage in passages:
        content = passage.content.casefold().split()
        words += len(content)
        if not content:
            empty += 1
            empty_ids += [passage.doc_id][: EXAMPLES - len(empty_ids)]
            # An empty text is reported as such, and its position must not look like a repetition.
            content = [f"\0{len(digests)}"]
        digest = hashlib.blake2b(" ".join(content).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        digests.append(int.from_bytes(digest, "little"))
        if progress is not None and len(digests) % 1_000 == 0:
            progress(len(digests))
    if progress is not None:
        progress(len(digests))
    repeated = _repeated_positions(digests)
    return CollectionFacts(
        passages=len(digests),
        mean_words=round(words / max(1, len(digests)), 1),
        empty=empty,
        empty_ids=tuple(empty_ids),
        repeated=len(repeated),
        repeated_ids=_ids_at(passages, set(repeated[:EXAMPLES])),
    )


def _repeated_positions(digests: array[int]) -> list[int]:
    """Return the positions, in order, whose digest occurred before."""
    if not digests:
        return []
    values = np.frombuffer(digests, dtype=np.uint64)
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    return sorted(order[1:][same].tolist())


def _ids_at(passages: Collection[Passage], positions: set[int]) -> tuple[str, ...]:
    """Return the ids at some positions."""
    found: list[str] = []
    if positions:
        for position, passage in enumerate(passages):
            if position in positions:
                found.append(passage.doc_id)
                if len(found) == len(positions):
                    break
    return tuple(found)
