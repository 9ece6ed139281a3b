"""Collections of the ir_datasets library by their ids, in the shape of a `RankingFolder`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from distilrank.data.folder import FIRST_STAGE, USUAL_SPLITS, default_cache
from distilrank.data.lines import BadLine, BadLines
from distilrank.data.offline import forbidden_while_reading, network_forbidden
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import add_judgement, write_run
from distilrank.errors import DistilrankError, InputError, MissingExtraError, OfflineError, nearest
from distilrank.records import Passage, Qrels, Query, Run

PREFIX = "ir_datasets:"


class IrDatasetsRanking:
    """A collection of ir_datasets, or one of its subsets; see `RankingFolder` for the attributes.

    The splits of ``beir/nfcorpus`` are its subsets ``train``, ``dev`` and ``test``. An id with judgements of
    its own and no such subsets, as ``msmarco-passage/trec-dl-2019/judged``, has one split: the last part of
    the id when that names a split, else ``test``.

    Args:
        name: The id, with or without ``ir_datasets:``.
        cache: Where passages and runs are kept; None: ``distilrank`` in the user's cache folder.
        offline: Use what ir_datasets has fetched before, and fail where that is not enough.
        bad: How many repeated passage ids may be skipped; None: none.
        progress: Called while passages are indexed, with their number so far.

    Raises:
        MissingExtraError: ir_datasets is not installed.
        InputError: There is no collection of this id.
    """

    def __init__(
        self,
        name: str,
        *,
        cache: str | Path | None = None,
        offline: bool = False,
        bad: BadLines | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        try:
            import ir_datasets
        except ImportError:
            raise MissingExtraError("ir_datasets", extra="named", purpose=f"to read {name}") from None
        self._library: Any = ir_datasets
        self.name = name.removeprefix(PREFIX)
        self.cache = default_cache() if cache is None else Path(cache)
        self.offline = offline
        self._bad = BadLines() if bad is None else bad
        self._progress = progress
        self._dataset = self._load(self.name)
        if self._dataset is None:
            close = nearest(self.name, list(ir_datasets.registry))
            raise InputError(f"ir_datasets has no collection {self.name!r} (ir-datasets.com lists the names){close}")

    @cached_property
    def queries(self) -> dict[str, Query]:
        """All queries, whatever their split."""
        sources = [source for source in (self._dataset, *self._subsets.values()) if source.has_queries()]
        return {
            query.query_id: Query(query.query_id, query.default_text())
            for source in sources
            for query in self._read(source.queries_iter)
        }

    @cached_property
    def passages(self) -> PassageStore:
        """The collection, fetched and indexed on disk when it is first asked for."""
        index = self.cache / f"passages-{self._key('docs')}.sqlite"
        if index.is_file():
            return PassageStore(index)
        documents = (_passage_of(document) for document in self._read(self._dataset.docs_iter))
        return PassageStore.build(
            documents, index, bad=self._bad, source=f"{PREFIX}{self.name}", progress=self._progress
        )

    @cached_property
    def splits(self) -> list[str]:
        """The splits that have judgements."""
        return [split for split, source in self._subsets.items() if source.has_qrels()]

    def qrels(self, split: str) -> Qrels:
        """Return the judgements of a split.

        Raises:
            InputError: There is no such split.
        """
        if split not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise InputError(f"{PREFIX}{self.name} has no judgements for split {split!r} (it has: {known})")
        qrels: Qrels = {}
        for judgement in self._read(self._subsets[split].qrels_iter):
            try:
                add_judgement(qrels, judgement.query_id, judgement.doc_id, int(judgement.relevance))
            except BadLine as problem:
                self._bad.report(InputError(str(problem), path=f"{PREFIX}{self.name}"))
        return qrels

    def runs(self, split: str) -> dict[str, Path]:
        """Return the first stage that comes with the split (its "scoreddocs"), as a run in the cache."""
        source = self._subsets.get(split)
        if source is None or not source.has_scoreddocs():
            return {}
        path = self.cache / f"scoreddocs-{self._key(split)}.trec.gz"
        if not path.is_file():
            run: Run = {}
            for scored in self._read(source.scoreddocs_iter):
                run.setdefault(scored.query_id, {})[scored.doc_id] = float(scored.score)
            write_run(run, path, tag="scoreddocs")
        return {FIRST_STAGE: path}

    @cached_property
    def _subsets(self) -> dict[str, Any]:
        found = {split: self._load(f"{self.name}/{split}") for split in USUAL_SPLITS}
        subsets = {split: dataset for split, dataset in found.items() if dataset is not None}
        if subsets:
            return subsets
        last = self.name.rsplit("/", 1)[-1]
        return {last if last in USUAL_SPLITS else "test": self._dataset}

    def _load(self, name: str) -> Any:
        try:
            return self._library.load(name)
        except KeyError:
            return None

    def _read(self, read: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        try:
            with network_forbidden(self.offline):
                items = read()
            yield from forbidden_while_reading(items, self.offline)
        except DistilrankError:
            raise
        except Exception as error:
            # Whatever a download raises, of whichever library, is the same news to the user.
            name = f"{PREFIX}{self.name}"
            if self.offline:
                raise OfflineError(f"{name} is not in the cache, and --offline forbids to fetch it") from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise OfflineError(f"{name} could not be fetched or read ({reason})") from error

    def _key(self, part: str) -> str:
        return hashlib.sha256(f"{PREFIX}{self.name}\0{part}".encode()).hexdigest()[:20]


def _passage_of(document: Any) -> Passage:
    text = getattr(document, "text", None)
    if text is None:
        text = getattr(document, "body", None)
    if text is None:
        return Passage(document.doc_id, document.default_text())
    return Passage(document.doc_id, text, getattr(document, "title", None) or "")
