"""The nouns of ranking: what every file is read into and every layer speaks of.

Nothing here imports anything but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

Qrels = dict[str, dict[str, int]]
"""query_id -> doc_id -> relevance (graded; what counts as relevant is the measure's business)."""

Run = dict[str, dict[str, float]]
"""query_id -> doc_id -> score; a higher score ranks first. Ranks are never stored."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its identifier."""

    query_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that a cross-encoder scores against a query."""

    doc_id: str
    text: str
    title: str = ""

    @property
    def content(self) -> str:
        """What a ranker reads: title and text joined by a space, as BEIR does it."""
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One query with passages to be ranked against each other: the unit of ranking training.

    ``relevance``, ``scores`` and ``doc_ids`` are aligned with ``passages``. ``scores`` are a teacher's
    scores as it gave them (None when there are none); ``doc_ids`` is empty when the source has no ids.
    """

    query: str
    passages: tuple[str, ...]
    relevance: tuple[float, ...]
    scores: tuple[float, ...] | None = None
    query_id: str = ""
    doc_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One text, or a pair of texts, to be classified.

    ``label`` is a class index, a number (regression), a tuple of 0/1 (multi-label) or None (unlabelled).
    """

    text: str
    text_pair: str | None = None
    label: int | float | tuple[int, ...] | None = None
    example_id: str = ""
