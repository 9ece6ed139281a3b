"""A folder of ranking data: queries, passages, judgements and first-stage runs, whichever form it has.

Understood are BEIR folders, MS MARCO-like folders (tab-separated) and those that ``distilrank prepare``
makes::

    passages.sqlite | corpus.jsonl | collection.tsv | passages.tsv     (or any file given as the collection)
    queries.jsonl   | queries.tsv  | queries.<split>.tsv
    qrels/<split>.tsv | qrels.<split>.tsv                              (BEIR or TREC columns)
    runs/<retriever>[.<split>].trec | runs/<split>.trec                (the latter is named "first-stage")

Each of them may end in .gz, .xz or .zst; runs may also end in .run instead of .trec.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from distilrank.data import beir, msmarco
from distilrank.data.lines import BadLines
from distilrank.data.passage_store import PassageStore
from distilrank.errors import InputError, nearest
from distilrank.records import Qrels, Query

_PACKING = ("", ".gz", ".xz", ".zst")
USUAL_SPLITS = ("train", "dev", "validation", "test")
"""Splits in the order they are listed; other names follow by the alphabet."""
_RUN_NAME = re.compile(r"(?P<name>.+)\.(trec|run)(\.gz|\.xz|\.zst)?$")
_QRELS_NAME = re.compile(r"(?P<split>.+)\.(tsv|txt|trec)(\.gz|\.xz|\.zst)?$")
FIRST_STAGE = "first-stage"
"""The name of a run that is called after its split alone."""


class RankingFolder:
    """Ranking data in a folder; nothing is read before it is asked for.

    Args:
        path: The folder.
        collection: The file of passages when it lies elsewhere: JSONL as BEIR's or TSV as MS MARCO's.
        cache: Where the index of passages is kept; None: ``distilrank`` in the user's cache folder.
        offline: Kept for sources that need the network; folders never do.
        bad: How many bad lines may be skipped, over all files; None: none.
        progress: Called while passages are indexed, with their number so far.

    Raises:
        InputError: The folder does not exist.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        collection: str | Path | None = None,
        cache: str | Path | None = None,
        offline: bool = False,
        bad: BadLines | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.cache = default_cache() if cache is None else Path(cache)
        self._collection = None if collection is None else Path(collection)
        self._bad = BadLines() if bad is None else bad
        self._progress = progress
        if not self.path.is_dir():
            raise InputError("there is no such folder; check the path", path=path)

    @cached_property
    def queries(self) -> dict[str, Query]:
        """All queries of the folder, whatever their split, in the order of the files.

        Raises:
            InputError: There are none, or a line is bad.
        """
        jsonl = self._find("queries.jsonl")
        if jsonl is not None:
            return beir.read_queries(jsonl, bad=self._bad)
        files = [file for file in (self._find("queries.tsv"), self._find("topics.tsv")) if file is not None]
        queries: dict[str, Query] = {}
        for file in files or self._matching(r"queries\.(.+)\.tsv"):
            queries |= msmarco.read_queries(file, bad=self._bad)
        if not queries:
            problem = "has no queries; expected queries.jsonl (BEIR), queries.tsv or queries.<split>.tsv"
            raise InputError(problem, path=self.path)
        return queries

    @cached_property
    def passages(self) -> PassageStore:
        """The collection, indexed on disk when it is first asked for.

        Raises:
            InputError: There is none, or a line of it is bad.
        """
        collection = self.collection
        if collection.suffix == ".sqlite":
            store = PassageStore(collection)
        else:
            index = self.cache / f"passages-{_identity(collection)}.sqlite"
            if not index.is_file():
                return build_store(collection, index, bad=self._bad, progress=self._progress)
            store = PassageStore(index)
        for error in store.skipped:
            self._bad.report(error)
        return store

    @property
    def collection(self) -> Path:
        """The file of passages.

        Raises:
            InputError: There is none.
        """
        if self._collection is not None:
            return self._collection
        for name in ("passages.sqlite", "corpus.jsonl", "collection.tsv", "passages.tsv"):
            found = self._find(name)
            if found is not None:
                return found
        problem = "has no passages; expected corpus.jsonl (BEIR) or collection.tsv, or name the file of passages"
        raise InputError(problem, path=self.path)

    @cached_property
    def splits(self) -> list[str]:
        """The splits that have judgements, in the order train, dev, test, then by name."""
        usual = {split: place for place, split in enumerate(USUAL_SPLITS)}
        return sorted(self._qrels_files, key=lambda split: (usual.get(split, len(usual)), split))

    def qrels(self, split: str) -> Qrels:
        """Return the judgements of a split.

        Raises:
            InputError: There is no such split, or a line is bad.
        """
        files = self._qrels_files
        if split not in files:
            known = ", ".join(self.splits) or "none"
            problem = f"has no judgements for split {split!r} (it has: {known}){nearest(split, files)}"
            raise InputError(problem, path=self.path)
        return beir.read_qrels(files[split], bad=self._bad)

    def runs(self, split: str) -> dict[str, Path]:
        """Return name -> file of the first-stage runs of a split, by name; empty when there are none.

        ``runs/BM25.dev.trec.gz`` is the run BM25 of dev, ``runs/BM25.trec.gz`` belongs to every split, and
        ``runs/dev.trec.gz`` is the run "first-stage" of dev.
        """
        known = {*USUAL_SPLITS, *self._qrels_files, split}
        named, general = {}, {}
        for file in sorted((self.path / "runs").glob("*")):
            match = _RUN_NAME.match(file.name)
            if match is None:
                continue
            retriever, _, last = match["name"].rpartition(".")
            if last not in known:
                general[match["name"]] = file
            elif last == split:
                named[retriever or FIRST_STAGE] = file
        return dict(sorted((general | named).items()))

    @cached_property
    def _qrels_files(self) -> dict[str, Path]:
        files = {}
        for file in sorted((self.path / "qrels").glob("*")):
            match = _QRELS_NAME.match(file.name)
            if match is not None:
                files[match["split"]] = file
        for file in self._matching(r"qrels\.(.+)\.tsv"):
            files.setdefault(file.name.split(".tsv")[0].removeprefix("qrels."), file)
        return files

    def _find(self, name: str) -> Path | None:
        for packing in _PACKING:
            file = self.path / f"{name}{packing}"
            if file.is_file():
                return file
        return None

    def _matching(self, pattern: str) -> list[Path]:
        whole = re.compile(pattern + r"(\.gz|\.xz|\.zst)?")
        return [file for file in sorted(self.path.iterdir()) if whole.fullmatch(file.name)]


def build_store(
    collection: str | Path,
    path: str | Path,
    *,
    bad: BadLines | None = None,
    progress: Callable[[int], None] | None = None,
) -> PassageStore:
    """Index a file of passages, JSONL as BEIR's or TSV as MS MARCO's, told by its name.

    Raises:
        InputError: The name is neither, a line is bad, a doc_id is used twice, or there are no passages.
    """
    suffixes = [suffix for suffix in Path(collection).suffixes if suffix not in _PACKING]
    readers = {".jsonl": beir.read_corpus, ".tsv": msmarco.read_collection}
    kind = suffixes[-1] if suffixes else ""
    if kind not in readers:
        raise InputError("is neither .jsonl (BEIR) nor .tsv (MS MARCO); convert or rename it", path=collection)
    bad = BadLines() if bad is None else bad
    passages = readers[kind](collection, bad=bad)
    return PassageStore.build(passages, path, bad=bad, source=collection, progress=progress)


def default_cache() -> Path:
    """Return distilrank's folder in the user's cache: ``$XDG_CACHE_HOME/distilrank`` or ``~/.cache/distilrank``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "distilrank"


def _identity(file: Path) -> str:
    # Hashing the content would read gigabytes at every start; place, size and time tell a changed file.
    try:
        facts = file.stat()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}); check the path", path=file) from None
    seen = f"{file.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}"
    return hashlib.sha256(seen.encode()).hexdigest()[:20]
