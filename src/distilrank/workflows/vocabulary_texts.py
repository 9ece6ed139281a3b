"""The texts that a vocabulary is chosen by, and which of them are held out to see what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.lines import BadLines
from distilrank.data.plain_text import read_documents
from distilrank.errors import InputError
from distilrank.workflows.prepare import input_files
from distilrank.workflows.splits import TRAIN
from distilrank.workflows.training_data import LabelledData, is_labelled

HOLD_OUT_EVERY = 20
MOST_HELD_OUT = 2_000
"""Texts of a kind: every twentieth, the first 2,000 of them."""
_LEARNED_SPLITS = (TRAIN, "dev")
_LONGEST_DOCUMENT = 1_000_000


def find_texts(
    data: Path | None, files: Sequence[Path], *, bad: BadLines | None = None
) -> tuple[dict[str, Iterable[str]], dict[str, Path]]:
    """Return kind of text -> the texts, each to be read once, and the files that they are in, by name.

    Queries that are judged in a test split are left out: a vocabulary must not know the words of a test.

    Args:
        data: A folder of ranking data, a JSONL file of groups, or labelled texts. None: only files.
        files: Plain text, or passages, as ``data.plain_text`` reads them.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: There is neither, or something cannot be read.
    """
    if data is None and not files:
        raise InputError("no text is given to choose tokens by; name a folder with --data or a file with --text")
    found: dict[str, Iterable[str]] = {"sentences": _sentences(files)} if files else {}
    inputs = {f"text {number}": file for number, file in enumerate(files, start=1)}
    if data is None:
        return found, inputs
    if is_labelled(data):
        labelled = LabelledData.open(data, bad=bad)
        dev = {} if labelled.dev is None else {"dev": labelled.train_file.with_name("dev.jsonl")}
        return {**found, "texts": _labelled_texts(labelled)}, {**inputs, "train": labelled.train_file, **dev}
    if data.is_file():
        groups = GroupFile(data, bad=bad)
        queries = (group.query for group in groups)
        passages = (passage for group in groups for passage in group.passages)
        return {**found, "queries": queries, "passages": passages}, {**inputs, "groups": data}
    folder = RankingFolder(data, bad=bad)
    contents = (passage.content for passage in folder.passages.stream())
    return {**found, "queries": _learned_queries(folder), "passages": contents}, {**inputs, **input_files(folder, ())}


def parted(texts: Iterable[str], held_out: list[str]) -> Iterator[str]:
    """Yield the texts to choose by and put the others into ``held_out``: see ``HOLD_OUT_EVERY``."""
    for number, text in enumerate(texts):
        if number % HOLD_OUT_EVERY == 0 and len(held_out) < MOST_HELD_OUT:
            held_out.append(text)
        else:
            yield text


def _sentences(files: Sequence[Path]) -> Iterator[str]:
    for file in files:
        for document in read_documents(file, longest=_LONGEST_DOCUMENT):
            yield from document


def _labelled_texts(labelled: LabelledData) -> Iterator[str]:
    for data in (labelled.train, labelled.dev):
        for example in () if data is None else data.examples:
            yield example.text
            if example.text_pair is not None:
                yield example.text_pair


def _learned_queries(folder: RankingFolder) -> Iterator[str]:
    tests = {query for split in folder.splits if split not in _LEARNED_SPLITS for query in folder.qrels(split)}
    for query_id, query in folder.queries.items():
        if query_id not in tests:
            yield query.text
