"""First-stage candidates by BM25 (bm25s), with the memory it will take estimated before it takes it.

BM25 differs between tools by analyser, k1 and b; ``bm25_tag`` names all three, and goes with every run made here.
"""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.errors import InputError, MissingExtraError, SettingsError
from distilrank.records import Query, Run
from distilrank.workflows.available_memory import available_memory
from distilrank.workflows.progress import tracked

if TYPE_CHECKING:
    from distilrank.data.passage_store import PassageStore

StemmerName = Literal["english"] | None
"""Snowball's English stemmer with Lucene's 33 English stop words, or None: words as they are, none left out."""

_WORD = re.compile(r"\w+")
_SAMPLE = 2_000

# Peak bytes while indexing. bm25s holds score, passage and term of every posting, and the first two again while it
# sorts them; we hold every token in four bytes. On 696,000 passages of Wikipedia the sum is 1.12 times the peak
# measured with stems (1.13 GB) and 1.19 times the one without.
_BYTES_PER_POSTING = 20
_BYTES_PER_TOKEN = 4
_BYTES_PER_TERM = 400
_BYTES_PER_PASSAGE = 160
_BYTES_PER_RESULT = 80


def bm25_tag(*, k1: float = 0.9, b: float = 0.4, stemmer: StemmerName = "english") -> str:
    """Return the tag of a BM25 run: library, analyser, k1 and b, without spaces."""
    return f"bm25s-{stemmer or 'unstemmed'}-k{k1:g}b{b:g}"


def bm25_candidates(
    passages: PassageStore,
    queries: Mapping[str, Query],
    *,
    depth: int = 100,
    k1: float = 0.9,
    b: float = 0.4,
    stemmer: StemmerName = "english",
    memory_limit_bytes: int | None = None,
    progress: bool = True,
) -> Run:
    """Rank the collection for every query by BM25 (Lucene's formula) and keep the best ``depth`` passages.

    Title and text of a passage are one field. Passages without a single word of the query are no candidates,
    so a query may get fewer than ``depth``, or none. Equal scores are ordered by doc_id, descending, also where
    ``depth`` cuts through them.

    Args:
        passages: The collection.
        queries: The queries, by id.
        depth: Most candidates per query, at least 1.
        k1: Saturation of term frequency, at least 0.
        b: Strength of length normalisation, 0 to 1.
        stemmer: The analyser.
        memory_limit_bytes: Most memory to use; None takes what the machine has available.
        progress: Show progress on standard error.

    Raises:
        InputError: The index would not fit into memory; the message says what to do.
        MissingExtraError: bm25s, PyStemmer or scipy is not installed.
    """
    if depth < 1 or k1 < 0 or not 0 <= b <= 1:
        raise SettingsError(f"BM25 with depth {depth}, k1 {k1}, b {b}: give depth >= 1, k1 >= 0, b from 0 to 1")
    index = Bm25(
        passages,
        k1=k1,
        b=b,
        stemmer=stemmer,
        results=len(queries) * depth,
        memory_limit_bytes=memory_limit_bytes,
        progress=progress,
    )
    return {
        query_id: index.search(query.text, depth=depth)
        for query_id, query in tracked(queries.items(), "BM25: ranking", total=len(queries), shown=progress)
    }


class Bm25:
    """A collection indexed in memory, to be asked query by query; see ``bm25_candidates``.

    Args:
        passages: The collection.
        k1: Saturation of term frequency.
        b: Strength of length normalisation.
        stemmer: The analyser.
        results: How many passages will be kept in memory, of all queries.
        memory_limit_bytes: Most memory to use; None takes what the machine has available.
        progress: Show progress on standard error.
    """

    def __init__(
        self,
        passages: PassageStore,
        *,
        k1: float = 0.9,
        b: float = 0.4,
        stemmer: StemmerName = "english",
        results: int = 0,
        memory_limit_bytes: int | None = None,
        progress: bool = True,
    ) -> None:
        self._analyser = _Analyser(stemmer)
        _refuse_if_too_big(passages, stemmer=stemmer, results=results, limit=memory_limit_bytes)
        self._doc_ids, tokens = _analyse(passages, self._analyser, progress=progress)
        terms = self._analyser.terms
        self._scorer = _index(tokens, terms, k1=k1, b=b, progress=progress) if terms else None

    def search(self, text: str, *, depth: int) -> dict[str, float]:
        """Return the best ``depth`` passages for a query with their scores, best first."""
        terms = self._analyser(text, grow=False)
        return _best(self._scorer.get_scores(terms), self._doc_ids, depth) if terms and self._scorer else {}


def estimate_bm25_memory(passages: PassageStore, *, stemmer: StemmerName = "english") -> int:
    """Estimate the peak bytes of indexing a collection from a sample of its texts.

    Documents times their mean number of tokens and of distinct terms, plus a vocabulary extrapolated by Heaps' law
    (vocabulary grows as a power of the text) from half of the sample to the whole.
    """
    count = len(passages)
    if count == 0:
        return 0
    analyser = _Analyser(stemmer)
    positions = range(0, count, math.ceil(count / _SAMPLE))
    tokens = postings = half_vocabulary = 0
    for number, position in enumerate(positions):
        terms = analyser(passages.position(position).content, grow=True)
        tokens += len(terms)
        postings += len(set(terms))
        if number == (len(positions) - 1) // 2:
            half_vocabulary = len(analyser.terms)
    scale = count / len(positions)
    growth = math.log2(len(analyser.terms) / half_vocabulary) if half_vocabulary else 1.0
    vocabulary = len(analyser.terms) * math.pow(scale, min(1.0, growth))
    per_text = scale * (tokens * _BYTES_PER_TOKEN + postings * _BYTES_PER_POSTING)
    return round(per_text + count * _BYTES_PER_PASSAGE + vocabulary * _BYTES_PER_TERM)


class _Analyser:
    """Text to term ids: lower case, words, English stop words out and stems when there is a stemmer."""

    def __init__(self, stemmer: StemmerName) -> None:
        self.terms: dict[str, int] = {}
        self._ids: dict[str, int | None] = {}
        self._stem = None
        if stemmer is not None:
            try:
                import Stemmer as PyStemmer
                from bm25s.stopwords import STOPWORDS_EN
            except ImportError as error:
                raise MissingExtraError(error.name or "bm25s", extra="evaluate", purpose="to rank by BM25") from error
            self._stem = PyStemmer.Stemmer(stemmer).stemWord
            self._ids = dict.fromkeys(STOPWORDS_EN)

    def __call__(self, text: str, *, grow: bool) -> list[int]:
        """Return the term ids of a text in order; unknown terms get an id if ``grow``, and are left out if not."""
        found = []
        for word in _WORD.findall(text.lower()):
            if word not in self._ids:
                term = self._stem(word) if self._stem else word
                if term not in self.terms:
                    if not grow:
                        continue
                    self.terms[term] = len(self.terms)
                self._ids[word] = self.terms[term]
            if (term_id := self._ids[word]) is not None:
                found.append(term_id)
        return found


class _Tokens:
    """The collection as bm25s wants it, a list of term ids for each text, in four bytes a token."""

    def __init__(self, vocab: dict[str, int]) -> None:
        self.vocab = vocab
        self._flat = array("i")
        self._ends = array("q", [0])

    @property
    def ids(self) -> _Tokens:
        """What bm25s iterates over."""
        return self

    def append(self, terms: list[int]) -> None:
        """Add the next text."""
        self._flat.extend(terms)
        self._ends.append(len(self._flat))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[array[int]]:
        return (self._flat[start:end] for start, end in pairwise(self._ends))


def _refuse_if_too_big(passages: PassageStore, *, stemmer: StemmerName, results: int, limit: int | None) -> None:
    """Raise when the index would take more than ``limit`` (None: the memory available)."""
    allowed = available_memory() if limit is None else limit
    needed = estimate_bm25_memory(passages, stemmer=stemmer) + results * _BYTES_PER_RESULT
    if allowed is not None and needed > allowed:
        raise InputError(
            f"BM25 over {len(passages):,} passages would take about {needed / 1e6:,.1f} MB of memory and "
            f"{allowed / 1e6:,.1f} MB may be used; bring a run made elsewhere (--run SPLIT=FILE, TREC format), use a "
            "machine with more memory, or a smaller collection"
        )


def _analyse(passages: PassageStore, analyser: _Analyser, *, progress: bool) -> tuple[list[str], _Tokens]:
    """Return all ids and all texts as term ids, in the collection's order."""
    doc_ids = []
    tokens = _Tokens(analyser.terms)
    for passage in tracked(passages.values(), "BM25: reading", total=len(passages), shown=progress):
        doc_ids.append(passage.doc_id)
        tokens.append(analyser(passage.content, grow=True))
    return doc_ids, tokens


def _index(tokens: _Tokens, vocabulary: dict[str, int], *, k1: float, b: float, progress: bool) -> Any:
    """Return a bm25s index; its ``get_scores`` gives every passage's score."""
    try:
        import bm25s
        import scipy  # noqa: F401  (bm25s sorts with it: a third of the memory of its own way)
    except ImportError as error:
        raise MissingExtraError(error.name or "bm25s", extra="evaluate", purpose="to rank by BM25") from error
    scorer = bm25s.BM25(k1=k1, b=b, method="lucene", csc_backend="scipy")
    scorer.index(tokens, create_empty_token=False, show_progress=progress and sys.stderr.isatty())
    return scorer


def _best(scores: NDArray[np.float32], doc_ids: list[str], depth: int) -> dict[str, float]:
    """Return the best ``depth`` passages with a positive score, best first, ties by doc_id descending."""
    found = np.flatnonzero(scores > 0)
    if len(found) > depth:
        threshold = np.partition(scores[found], -depth)[-depth]
        found = found[scores[found] >= threshold]
    # Sorted twice, as sorting is stable: ids first, then scores.
    ranked = sorted(((doc_ids[index], float(scores[index])) for index in found), reverse=True)
    ranked.sort(key=lambda scored: -scored[1])
    return dict(ranked[:depth])
