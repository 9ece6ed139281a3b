"""A real collection that every machine has: the docstrings of the running Python's standard library.

The first sentence of a docstring becomes a query, and the rest of it, titled with the dotted name, the one passage
that answers the query. A docstring of a sentence or little more is a passage that answers no query. Docstrings that
are nearly the same (inherited, or copied between modules) are merged first.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from distilrank.data.beir import write_corpus, write_qrels, write_queries
from distilrank.errors import InputError
from distilrank.evaluation.diagnostics.duplicates import near_duplicates
from distilrank.records import Passage, Query

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip"}
_LEAST_QUERY_WORDS = 4
_LEAST_ANSWER_WORDS = 20
_NEARLY_THE_SAME = 0.8
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(*<\[])|\n\s*\n")
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring and where it stands, as in ``json.decoder.JSONDecoder.decode``."""

    name: str
    text: str


def standard_library() -> Path:
    """Return the folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def read_docstrings(folder: Path) -> Iterator[Docstring]:
    """Yield every docstring under ``folder``, in the order of file names and lines."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if _LEFT_OUT.intersection(parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):
            continue  # a few files of the library are broken on purpose
        module = ".".join(part for part in parts if part != "__init__")
        yield from _docstrings_of(tree, module)


def _docstrings_of(node: ast.AST, name: str) -> Iterator[Docstring]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node, clean=True)
        if text:
            yield Docstring(name, text.strip())
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings_of(child, f"{name}.{child.name}")
        elif isinstance(child, ast.If | ast.Try):
            yield from _docstrings_of(child, name)


def first_sentence(text: str) -> tuple[str, str]:
    """Split a docstring into its first sentence and the rest; the rest is "" when there is only one."""
    parts = _SENTENCE_END.split(text, maxsplit=1)
    return " ".join(parts[0].split()), parts[1].strip() if len(parts) > 1 else ""


def merge_near_duplicates(docstrings: Iterable[Docstring]) -> list[Docstring]:
    """Keep the first of docstrings whose word sets overlap by 80% or more (Jaccard index), and those with words."""
    first: dict[str, Docstring] = {}
    for docstring in docstrings:
        normalised = " ".join(_words(docstring.text))
        if normalised:
            first.setdefault(normalised, docstring)
    unique = list(first.values())
    texts = {str(i): text for i, text in enumerate(first)}
    copies: set[int] = set()
    pairs = near_duplicates({"one": texts, "other": texts}, threshold=_NEARLY_THE_SAME)
    for one, other in sorted((int(pair.first_id), int(pair.second_id)) for pair in pairs):
        if one < other and one not in copies:
            copies.add(other)
    return [docstring for i, docstring in enumerate(unique) if i not in copies]


@dataclass(frozen=True, slots=True)
class Collection:
    """What was written, in numbers."""

    passages: int
    queries: dict[str, int]


def write_collection(folder: Path, *, test: int, dev: int, seed: int, library: Path | None = None) -> Collection:
    """Write the collection in BEIR form, its queries parted at random into train, dev and test.

    Args:
        folder: Where to.
        test: Queries of the test split.
        dev: Queries of the dev split; the rest is train.
        seed: Of the split.
        library: Folder of Python files to read. None: the running Python's standard library.

    Raises:
        InputError: There are fewer than twice as many queries as test and dev together need.
    """
    passages, queries, answers = [], [], {}
    uses: Counter[str] = Counter()
    for docstring in merge_near_duplicates(read_docstrings(library or standard_library())):
        uses[docstring.name] += 1  # a name may be defined once for each platform
        doc_id = docstring.name if uses[docstring.name] == 1 else f"{docstring.name}~{uses[docstring.name]}"
        question, answer = first_sentence(docstring.text)
        if len(_words(question)) >= _LEAST_QUERY_WORDS and len(_words(answer)) >= _LEAST_ANSWER_WORDS:
            queries.append(Query(f"q-{doc_id}", question))
            answers[f"q-{doc_id}"] = doc_id
            passages.append(Passage(doc_id, answer, title=docstring.name))
        else:
            passages.append(Passage(doc_id, docstring.text, title=docstring.name))
    if len(queries) < 2 * (test + dev):
        raise InputError(
            f"the standard library gives {len(queries)} queries, too few for {test} to test on and {dev} for dev; "
            "is it installed with its source files?"
        )
    order = [query.query_id for query in queries]
    random.Random(seed).shuffle(order)
    splits = {"test": order[:test], "dev": order[test : test + dev], "train": order[test + dev :]}
    write_corpus(passages, folder / "corpus.jsonl")
    write_queries(queries, folder / "queries.jsonl")
    for split, query_ids in splits.items():
        write_qrels({query_id: {answers[query_id]: 1} for query_id in query_ids}, folder / "qrels" / f"{split}.tsv")
    return Collection(len(passages), {split: len(query_ids) for split, query_ids in splits.items()})


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
