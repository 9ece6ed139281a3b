"""Plain text to documents, and passages to sentences.

Three forms of text are read, packed or not, as a stream:

- plain text: one sentence per line, a blank line between documents;
- ``.tsv`` passages: ``id, article id, title, text`` (consecutive passages of one article are one document) or
  ``id, text`` (each passage is a document);
- ``.jsonl`` passages: ``{"text"}`` and, where passages are parts of articles, ``"article_id"``.

Titles are left out. A passage is cut after ``.``, ``!`` or ``?`` (closing quotes and brackets included) where white
space and then anything but a lower-case letter follow, unless the full stop ends an initial or one of
``ABBREVIATIONS``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from distilrank.data.lines import BadLine, parse_object, parse_text, read_lines
from distilrank.errors import InputError

Document: TypeAlias = list[str]
"""Sentences, none of them empty."""

ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st sr jr gen col capt lt sgt gov sen rep rev hon vs etc fig no vol op cf approx inc ltd co corp "
    "dept est jan feb mar apr jun jul aug sep sept oct nov dec e.g i.e ca".split()
)
"""Words, in lower case and without their last full stop, after which no sentence is cut."""

_END = re.compile(r"""[.!?]["'\u201d\u2019)\]]*\s+(?![a-z])""")
_LAST_WORD = re.compile(r"""[^\s(\["'\u201c\u2018]+$""")


def read_documents(path: str | Path, *, longest: int) -> Iterator[Document]:
    """Yield the documents of a file as lists of sentences; none is empty.

    Args:
        path: ``.tsv`` and ``.jsonl`` are passages, everything else is plain text.
        longest: Characters after which a document is cut in two, so that no file has to fit in memory.

    Raises:
        InputError: A line is bad; with its number.
    """
    suffixes = [suffix for suffix in Path(path).suffixes if suffix not in (".gz", ".xz", ".zst")]
    form = suffixes[-1].lower() if suffixes else ""
    sentences: Document = []
    size, before = 0, None
    for document, found in _passages(path, form) if form in (".tsv", ".jsonl") else _paragraphs(path):
        if sentences and (document != before or size >= longest):
            yield sentences
            sentences, size = [], 0
        sentences.extend(found)
        size += sum(map(len, found))
        before = document
    if sentences:
        yield sentences


def _paragraphs(path: str | Path) -> Iterator[tuple[object, Document]]:
    """Yield (number of the document, one sentence) for every line that is not blank."""
    document = 0
    for _, line in read_lines(path):
        if line.strip():
            yield document, [line.strip()]
        else:
            document += 1


def _passages(path: str | Path, form: str) -> Iterator[tuple[object, Document]]:
    """Yield (what tells the document from its neighbours, sentences) for every passage."""
    read = _tsv_passage if form == ".tsv" else _json_passage
    for number, line in read_lines(path):
        if not line.strip(" "):
            continue
        try:
            article, text = read(line)
        except BadLine as problem:
            raise InputError(str(problem), path=path, line=number) from None
        yield number if article is None else (article,), split_sentences(text)


def _tsv_passage(line: str) -> tuple[object, str]:
    cells = line.split("\t")
    if len(cells) not in (2, 4):
        raise BadLine(f"has {len(cells)} columns; write passages as id, article id, title, text, or as id, text")
    return (cells[1] if len(cells) == 4 else None), cells[-1]


def _json_passage(line: str) -> tuple[object, str]:
    record = parse_object(line)
    return record.get("article_id"), parse_text(record, "text")


def split_sentences(text: str) -> Document:
    """Cut a passage into sentences by the rule of the module; white space around them is dropped."""
    sentences, start = [], 0
    for match in _END.finditer(text):
        before = _LAST_WORD.search(text, start, match.start())
        word = "" if before is None else before[0].lower()
        if text[match.start()] == "." and (word in ABBREVIATIONS or (len(word) == 1 and word.isalpha())):
            continue
        sentences.append(text[start : match.end()].strip())
        start = match.end()
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]
