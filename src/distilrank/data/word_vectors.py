"""Word vectors: word2vec's and GloVe's text forms, and a word's neighbours by cosine."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distilrank.data.lines import BadLine, BadLines, read_lines
from distilrank.errors import InputError

_WORDS_AT_ONCE = 256
_SPARE = 16
"""More neighbours than asked for are found in fp32 and then ordered in fp64, where rounding decides nothing."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors, as a file has them, most often the most frequent word first.

    Attributes:
        words: Each word once.
        vectors: (words, dimensions), not normalised.
    """

    words: tuple[str, ...]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Refuse words and vectors that do not belong together.

        Raises:
            ValueError: With both numbers.
        """
        if self.vectors.ndim != 2 or len(self.words) != len(self.vectors):
            raise ValueError(f"{len(self.words)} words, but vectors of shape {self.vectors.shape}")

    @property
    def dimensions(self) -> int:
        """Numbers per word."""
        return int(self.vectors.shape[1])

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Word -> its row of ``vectors``."""
        return {word: row for row, word in enumerate(self.words)}

    def nearest(self, word: str, k: int) -> list[str]:
        """Return the ``k`` words of the highest cosine, the word itself left out; see ``nearest_many``."""
        return self.nearest_many([word], k)[0]

    def nearest_many(self, words: Sequence[str], k: int) -> list[list[str]]:
        """Return the ``k`` words of the highest cosine to each word, nearest first, the word itself left out.

        What a word gets does not depend on the words it is asked for with. Fewer than ``k`` come back where there are
        no more words, and none for a word that has no vector or whose vector is zero.

        Raises:
            ValueError: ``k`` is less than 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}, give at least 1")
        found: list[list[str]] = [[] for _ in words]
        known = [place for place, word in enumerate(words) if self._has_direction(word)]
        for start in range(0, len(known), _WORDS_AT_ONCE):
            places = known[start : start + _WORDS_AT_ONCE]
            rows = [self.index[words[place]] for place in places]
            cosines = self._directions[rows] @ self._directions.T  # (words asked for, words)
            for place, row, line in zip(places, rows, cosines, strict=True):
                found[place] = [self.words[near] for near in self._ordered(row, line, k)]
        return found

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        """The vectors at length 1; one of zeros stays zero."""
        lengths = np.sqrt(np.square(self.vectors).sum(axis=1, keepdims=True))
        return (self.vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32, copy=False)

    def _has_direction(self, word: str) -> bool:
        row = self.index.get(word)
        return row is not None and bool(self.vectors[row].any())

    def _ordered(self, row: int, cosines: NDArray[np.float32], k: int) -> list[int]:
        """Return the rows nearest to ``row``; equal ones in the order of the file."""
        wanted = min(k + 1 + _SPARE, len(cosines))
        near = np.sort(np.argpartition(-cosines, wanted - 1)[:wanted])
        near = near[(near != row) & self.vectors[near].any(axis=1)]
        exact = self.vectors[near].astype(np.float64)
        values = exact @ self.vectors[row].astype(np.float64) / np.linalg.norm(exact, axis=1)
        return [int(place) for place in near[np.argsort(-values, kind="stable")][:k]]


def read_word_vectors(path: str | Path, *, limit: int | None = None, bad: BadLines | None = None) -> WordVectors:
    """Read word vectors in text form, packed or not: word2vec's, with a header of two numbers, or GloVe's, without.

    A line is a word, which may hold blanks (some of GloVe's do), and its numbers. Of a word that comes twice the
    first vector counts.

    Args:
        path: The file.
        limit: Read the first so many words only, which are the most frequent ones in the usual files. None: all.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: A line does not hold as many finite numbers as the first, there are fewer words than the header
            says, or none at all.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit} but must be at least 1")
    bad = BadLines() if bad is None else bad
    lines = read_lines(path, bad=bad)
    first = next(lines, None)
    if first is None:
        raise InputError("holds no word vectors; check that it is the right file", path=path)
    promised, dimensions = _header(first[1])
    if dimensions is None:
        dimensions = len(first[1].split()) - 1
        lines = _with_first(first, lines)
    rows: dict[str, int] = {}
    numbers = array("f")
    read = 0
    for number, line in islice(lines, limit):
        read += 1
        try:
            word, vector = _parse(line, dimensions)
        except BadLine as problem:
            bad.report(InputError(str(problem), path=path, line=number))
            continue
        if word not in rows:
            rows[word] = len(rows)
            numbers.extend(vector)
    if promised is not None and limit is None and read + len(bad.skipped) < promised:
        shortage = f"holds {read} words where its header says {promised}; it is cut off, fetch it again"
        raise InputError(shortage, path=path)
    if not rows:
        raise InputError("holds no word vectors; check that it is the right file", path=path)
    vectors = np.frombuffer(numbers, dtype=np.float32).reshape(len(rows), dimensions)
    return WordVectors(tuple(rows), vectors)


def _header(line: str) -> tuple[int | None, int | None]:
    """Return the numbers of words and of dimensions that word2vec's first line gives; None twice when it is a word."""
    fields = line.split()
    if len(fields) == 2 and all(field.isascii() and field.isdecimal() for field in fields):
        return int(fields[0]), int(fields[1])
    return None, None


def _with_first(first: tuple[int, str], others: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from others


def _parse(line: str, dimensions: int) -> tuple[str, list[float]]:
    """Return the word and the numbers of a line.

    Raises:
        BadLine: There are too few numbers, or one is none or not finite.
    """
    word, *fields = line.rstrip(" ").rsplit(" ", dimensions)
    try:
        vector = [float(field) for field in fields]
    except ValueError:
        vector = []
    if not dimensions or len(vector) != dimensions or not word:
        raise BadLine(f"is not a word with {dimensions or 'some'} numbers after it; correct or remove the line")
    if not math.isfinite(sum(vector)):
        raise BadLine("holds a number that is not finite; correct or remove the line")
    return word, vector
