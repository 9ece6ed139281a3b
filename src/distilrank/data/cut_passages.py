"""Documents cut into overlapping passages of words, with ids that lead back to the document.

Simplified TinyBERT (Chen et al. 2021) ranks documents by their passages but does not say how it cut them:
the 150 words every 75 are **our choice**, after Dai and Callan (2019, arXiv 1905.09217).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from distilrank.errors import SettingsError
from distilrank.records import Passage

SEPARATOR = "#_"
"""Between a document's id and the number of its passage, from 0, as in ``D42#_0``."""

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSettings:
    """How documents are cut into passages.

    Attributes:
        window: Words in a passage (what stands between white space is a word), at least 1.
        stride: Words from the start of one passage to the start of the next, 1 to ``window``: a longer
            stride would leave words out of every passage.
    """

    window: int = 150
    stride: int = 75

    def __post_init__(self) -> None:
        """Refuse settings that would lose words."""
        if self.window < 1:
            raise SettingsError(f"window is {self.window}, give at least 1 word")
        if not 1 <= self.stride <= self.window:
            raise SettingsError(f"stride is {self.stride}, give 1 to the window of {self.window} words")


def cut_passages(documents: Iterable[Passage], settings: CutSettings | None = None) -> Iterator[Passage]:
    """Cut each document into passages, in order.

    Every passage carries its document's title, which is what a ranker reads first. White space inside a
    passage stays as it was. The last passage may be shorter than the window, and a document without words
    gives one passage without words, so that no document disappears.

    Args:
        documents: Documents, each held whole in a ``Passage``.
        settings: Window and stride; None takes the defaults.
    """
    settings = settings or CutSettings()
    for document in documents:
        for number, text in enumerate(_windows(document.text, settings)):
            yield Passage(passage_id(document.doc_id, number), text, document.title)


def passage_id(document_id: str, number: int) -> str:
    """Return the id of a document's passage; ``number`` counts from 0."""
    return f"{document_id}{SEPARATOR}{number}"


def document_of(doc_id: str) -> str:
    """Return the id of the document that a passage was cut from; an id without a number is a document's."""
    document_id, separator, number = doc_id.rpartition(SEPARATOR)
    return document_id if separator and number.isdecimal() else doc_id


def passages_of(document_id: str, doc_ids: Container[str]) -> list[str]:
    """Return the ids of a document's passages in order; empty when there are none.

    Args:
        document_id: Id of the document.
        doc_ids: All passages, by id: a ``PassageStore`` for instance.
    """
    found: list[str] = []
    while (doc_id := passage_id(document_id, len(found))) in doc_ids:
        found.append(doc_id)
    return found


def _windows(text: str, settings: CutSettings) -> Iterator[str]:
    """Yield the stretches of ``text`` that hold ``window`` words, every ``stride`` words."""
    spans = [match.span() for match in _WORD.finditer(text)]
    if not spans:
        yield ""
        return
    for start in range(0, len(spans), settings.stride):
        end = min(start + settings.window, len(spans))
        yield text[spans[start][0] : spans[end - 1][1]]
        if end == len(spans):
            return
