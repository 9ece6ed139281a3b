"""Sentences and sentence pairs to classify: TSV, CSV and JSONL, with GLUE's column names known.

A ``.tsv`` is split at tabs and nothing else: GLUE's files hold lone quotation marks, which any quoting rule
turns into swallowed lines. A ``.csv`` is quoted as RFC 4180 has it. A ``.jsonl`` holds an object per line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from distilrank.data.files import atomic_write
from distilrank.data.labels import NO_LABEL, Kind, label_reader
from distilrank.data.lines import BadLine, BadLines, parse_object, read_lines
from distilrank.errors import InputError, nearest
from distilrank.records import Example

_PAIRS = (
    ("sentence1", "sentence2"),  # RTE, STS-B, MNLI, WNLI, PAWS, and MRPC on the hub
    ("#1 String", "#2 String"),  # MRPC as published
    ("question1", "question2"),  # QQP
    ("premise", "hypothesis"),  # MNLI and SNLI on the hub
    ("question", "sentence"),  # QNLI, WikiQA
    ("sentence_A", "sentence_B"),  # SICK
    ("text", "text_pair"),
    ("text1", "text2"),
    ("query", "passage"),
)
_SINGLES = ("sentence", "text")
LABELS = (
    "label",
    "labels",
    "gold_label",  # MNLI, SNLI
    "Quality",  # MRPC
    "is_duplicate",  # QQP
    "entailment_judgment",  # SICK, whose other label, relatedness_score, is asked for by name
    "relatedness_score",
    "score",  # STS-B
)
"""Known names of label columns; the first that a file has is taken."""
_IDENTIFIERS = ("index", "idx", "id", "_id", "pairID", "pair_ID")
_COLA = ("source", "label", "mark", "sentence")

Row = dict[str, Any]
Rows = Iterator[tuple[int, Row]]


@dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Examples and what their labels mean.

    Attributes:
        examples: In the order of the file.
        label_names: The name of each class index, or of each place of a multi-label tuple; empty for
            regression and for examples without labels.
        kind: What ``Example.label`` holds: a class index, a number, or a tuple of 0 and 1.
    """

    examples: list[Example]
    label_names: tuple[str, ...]
    kind: Kind


class _Roles(NamedTuple):
    """Which column is what; None: there is none."""

    text: str
    text_pair: str | None
    label: str | None
    identifier: str | None


def read_examples(
    path: str | Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    kind: Kind | None = None,
    labelled: bool = True,
    bad: BadLines | None = None,
) -> ClassificationData:
    """Read examples for classification or regression.

    Args:
        path: A ``.tsv``, ``.csv`` or ``.jsonl`` file, packed or not.
        text: The column of the text; None: a column (or pair of columns) whose name is known. A file
            without a header has columns "1", "2", ...; CoLA's form is known and needs no names.
        text_pair: The column of the second text; None with ``text`` given: there is none.
        label: The column of the label; None: one whose name is known.
        label_names: The classes in order, as the training split had them; None: sorted as they are found.
            Always hand the training split's names to the other splits.
        kind: What the labels are; None: whole numbers and words are classes, numbers with a decimal point
            are regression, JSON lists are multi-label. In TSV and CSV, labels of a multi-label set are
            parted by "|" and ``kind`` has to be given.
        labelled: When False, labels are neither wanted nor read.
        bad: How many bad lines may be skipped; None: none.

    Raises:
        InputError: The columns are not found, a line is bad and not allowed, or there are no examples.
    """
    bad = BadLines() if bad is None else bad
    rows = _rows_of(Path(path), text, bad)
    return examples_of_rows(
        rows,
        source=path,
        text=text,
        text_pair=text_pair,
        label=label,
        label_names=label_names,
        kind=kind,
        labelled=labelled,
        bad=bad,
    )


def examples_of_rows(
    rows: Rows,
    *,
    source: str | Path,
    text: str | None,
    text_pair: str | None,
    label: str | None,
    label_names: Sequence[str] | None,
    kind: Kind | None,
    labelled: bool,
    bad: BadLines,
) -> ClassificationData:
    """Return the examples of rows, which are pairs of number from 1 and column name -> value.

    ``source`` is what messages name; the other arguments are those of `read_examples`.
    """
    first = next(rows, None)
    if first is None:
        raise InputError("holds no examples; check that it is the right file", path=source)
    roles = _find_roles(list(first[1]), text, text_pair, label, labelled, source)
    found: list[tuple[int, Example, Any]] = []
    for number, row in chain([first], rows):
        try:
            found.append((number, *_example_of(row, roles)))
        except BadLine as problem:
            bad.report(InputError(str(problem), path=source, line=number))
    if roles.label is None:
        return ClassificationData(
            examples=[example for _, example, _ in found], label_names=tuple(label_names or ()), kind=kind or "classes"
        )
    names, kind, read = label_reader([raw for _, _, raw in found], label_names, kind)
    return ClassificationData(examples=_labelled(found, read, source, bad), label_names=names, kind=kind)


def _labelled(
    found: list[tuple[int, Example, Any]],
    read: Callable[[Any], int | float | tuple[int, ...]],
    path: str | Path,
    bad: BadLines,
) -> list[Example]:
    examples = []
    for number, example, raw in found:
        try:
            label = read(raw)
        except BadLine as problem:
            bad.report(InputError(str(problem), path=path, line=number))
            continue
        examples.append(
            Example(text=example.text, text_pair=example.text_pair, label=label, example_id=example.example_id)
        )
    if not examples:
        raise InputError("holds no good examples; check that it is the right file", path=path)
    return examples


def _rows_of(path: Path, text: str | None, bad: BadLines) -> Rows:
    suffixes = [suffix for suffix in path.suffixes if suffix not in (".gz", ".xz", ".zst")]
    kind = suffixes[-1].lower() if suffixes else ""
    if kind == ".jsonl":
        return _json_rows(path, bad)
    if kind == ".csv":
        return _table_rows(path, _csv_cells(path, bad), text, bad)
    if kind in (".tsv", ".txt"):
        cells = ((number, line.split("\t")) for number, line in read_lines(path, bad=bad) if line.strip(" "))
        return _table_rows(path, cells, text, bad)
    raise InputError("is neither .tsv, .csv nor .jsonl; convert or rename it", path=path)


def _json_rows(path: Path, bad: BadLines) -> Rows:
    for number, line in read_lines(path, bad=bad):
        if not line.strip(" "):
            continue
        try:
            row = parse_object(line)
        except BadLine as problem:
            bad.report(InputError(str(problem), path=path, line=number))
            continue
        yield number, row


def _csv_cells(path: Path, bad: BadLines) -> Iterator[tuple[int, list[str]]]:
    last = 0

    def lines() -> Iterator[str]:
        nonlocal last
        for number, line in read_lines(path, bad=bad):
            last = number
            yield f"{line}\n"

    rows = csv.reader(lines(), strict=True)
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"is not CSV ({error}); look for a quotation mark that is left open or not doubled"
            bad.report(InputError(problem, path=path, line=last))
            continue
        if cells:
            yield last, cells


def _table_rows(path: Path, cells: Iterator[tuple[int, list[str]]], text: str | None, bad: BadLines) -> Rows:
    first = next(cells, None)
    if first is None:
        return
    known = {*_SINGLES, *chain.from_iterable(_PAIRS), *(() if text is None else (text,))}
    if known & set(first[1]):
        names, body = first[1], cells
    else:
        names, body = _names_without_header(first[1], text, path), chain([first], cells)
    if len(set(names)) < len(names):
        raise InputError("has two columns of one name in its header; rename one", path=path, line=first[0])
    for number, values in body:
        if len(values) == len(names):
            yield number, dict(zip(names, values, strict=True))
        else:
            problem = f"has {len(values)} columns where the first line has {len(names)}; correct or remove the line"
            bad.report(InputError(problem, path=path, line=number))


def _names_without_header(first: list[str], text: str | None, path: Path) -> list[str]:
    if text is not None and text.isdecimal():
        return [str(place) for place in range(1, len(first) + 1)]
    if text is None and len(first) == len(_COLA) and first[1] in ("0", "1"):
        return list(_COLA)
    wanted = f"no column {text!r}" if text is not None else "no column whose name is known"
    problem = f"has {wanted} in its first line ({', '.join(map(repr, first[:8]))}); name the columns of the texts"
    raise InputError(f"{problem}, or number them from 1 when there is no header", path=path, line=1)


def _find_roles(
    columns: list[str], text: str | None, text_pair: str | None, label: str | None, labelled: bool, path: str | Path
) -> _Roles:
    for name in (text, text_pair, label):
        if name is not None and name not in columns:
            problem = f"has no column {name!r}; it has {', '.join(map(repr, columns))}{nearest(name, columns)}"
            raise InputError(problem, path=path)
    if text is None:
        text, text_pair = _known_texts(columns, text_pair, path)
    if not labelled:
        label = None
    elif label is None:
        label = next((name for name in LABELS if name in columns and name not in (text, text_pair)), None)
        if label is None:
            problem = f"has no column of labels whose name is known; it has {', '.join(map(repr, columns))}: name it"
            raise InputError(problem, path=path)
    identifier = next((name for name in _IDENTIFIERS if name in columns), None)
    return _Roles(text, text_pair, label, identifier)


def _known_texts(columns: list[str], text_pair: str | None, path: str | Path) -> tuple[str, str | None]:
    if text_pair is not None:
        raise InputError(f"the column {text_pair!r} is given for second texts; give that of the first too", path=path)
    for first, second in _PAIRS:
        if first in columns and second in columns:
            return first, second
    for name in _SINGLES:
        if name in columns:
            return name, None
    problem = f"has no column whose name is known; it has {', '.join(map(repr, columns))}: name that of the texts"
    raise InputError(problem, path=path)


def _example_of(row: Row, roles: _Roles) -> tuple[Example, Any]:
    texts = []
    for name in (roles.text, roles.text_pair):
        value = None if name is None else row.get(name)
        if name is not None and not isinstance(value, str):
            raise BadLine(f"{name!r} is missing or not a string; give it a text, which may be empty")
        texts.append(value)
    raw = None if roles.label is None else row.get(roles.label)
    if roles.label is not None and (raw is None or raw in NO_LABEL):
        raise BadLine(f"{roles.label!r} is missing; give the example a label or remove the line")
    identifier = "" if roles.identifier is None else str(row.get(roles.identifier, ""))
    return Example(text=texts[0] or "", text_pair=texts[1], example_id=identifier), raw


def write_examples(data: ClassificationData, path: str | Path) -> None:
    """Write examples as JSONL; see ``write_examples_in_turn``."""
    write_examples_in_turn(data.examples, path, label_names=data.label_names)


def write_examples_in_turn(examples: Iterable[Example], path: str | Path, *, label_names: tuple[str, ...]) -> int:
    """Write examples as they come, classes by their names, and return how many there are.

    As JSONL, ``{"id"?, "text", "text_pair"?, "label"?}``, or, where the file's name says ``.tsv``, as a table of these
    columns. `read_examples` gives them back when it is handed the same ``label_names``.

    Raises:
        InputError: A table cannot hold a text (a tab or a line end is in it) or a set of labels.
    """
    as_table = ".tsv" in Path(path).suffixes
    count = 0
    with atomic_write(path) as file:
        for example in examples:
            record = _record(example, label_names)
            if as_table and not count:
                file.write("\t".join(record) + "\n")
            row = table_row(example, path, label_names=label_names) if as_table else json.dumps(record, **_JSON)
            file.write(f"{row}\n")
            count += 1
    return count


_JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False}


def _record(example: Example, label_names: tuple[str, ...]) -> dict[str, Any]:
    record: dict[str, Any] = {"id": example.example_id} if example.example_id else {}
    record["text"] = example.text
    if example.text_pair is not None:
        record["text_pair"] = example.text_pair
    if example.label is not None:
        record["label"] = _named(example.label, label_names)
    return record


def table_row(example: Example, path: str | Path, *, label_names: tuple[str, ...]) -> str:
    """Return an example as a line of the table at ``path``.

    Raises:
        InputError: A text has a tab or a line end in it, or there are several labels.
    """
    if isinstance(example.label, tuple):
        raise InputError("a table holds one label per example; write .jsonl", path=path)
    cells = [str(value) for value in _record(example, label_names).values()]
    for cell in cells:
        if any(mark in cell for mark in "\t\n\r"):
            raise InputError(
                f"a table cannot hold {cell[:40]!r}, which has a tab or a line end; write .jsonl", path=path
            )
    return "\t".join(cells)


def _named(label: int | float | tuple[int, ...], names: tuple[str, ...]) -> str | float | list[str]:
    if isinstance(label, tuple):
        return [name for name, is_set in zip(names, label, strict=True) if is_set]
    return names[label] if isinstance(label, int) and names else float(label)
