"""Datasets of the Hugging Face hub by name: ranking collections, training groups, classification.

A name is ``hf:OWNER/NAME`` or ``hf:OWNER/NAME:CONFIG``; a local folder that the datasets library understands
may stand in for ``OWNER/NAME``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from distilrank.data.beir import add_query, passage_of, query_of
from distilrank.data.classification import LABELS, ClassificationData, examples_of_rows
from distilrank.data.folder import USUAL_SPLITS, default_cache
from distilrank.data.labels import Kind
from distilrank.data.lines import BadLine, BadLines, parse_identifier
from distilrank.data.offline import network_forbidden
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import add_judgement, parse_relevance
from distilrank.errors import DistilrankError, InputError, MissingExtraError, OfflineError
from distilrank.records import Group, Passage, Qrels, Query

PREFIX = "hf:"
_TARGETS = ("label", "labels", "score", "scores")
_JUDGEMENT_CONFIGS = ("qrels", "default")
_QRELS_COLUMNS = {"query-id", "corpus-id", "score"}


def _library(name: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", extra="named", purpose=f"to read {name}") from None
    return datasets


@contextmanager
def _asking(name: str, offline: bool) -> Iterator[Any]:
    """Give the datasets library for a block in which the network is forbidden when ``offline``."""
    datasets = _library(name)
    from huggingface_hub import constants

    # Told that they are offline, the libraries fall back to what they have cached instead of failing at once.
    before = datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before[0] or offline
    constants.HF_HUB_OFFLINE = before[1] or offline
    try:
        with network_forbidden(offline):
            yield datasets
    except DistilrankError:
        raise
    except ValueError as error:
        raise InputError(f"{name} cannot be read: {_first_line(error)}") from None
    except Exception as error:
        # Whatever a download raises, of whichever library, is the same news to the user.
        hint = "is not in the cache, and --offline forbids to fetch it" if offline else "could not be fetched or read"
        raise OfflineError(f"{name} {hint} ({_first_line(error)})") from error
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _address(name: str) -> tuple[str, str | None]:
    where, _, config = name.removeprefix(PREFIX).partition(":")
    return where, config or None


def load_split(name: str, split: str, *, offline: bool = False) -> Any:
    """Return a split of a hub dataset as the datasets library gives it.

    Raises:
        MissingExtraError: The datasets library is not installed.
        InputError: There is no such configuration or split.
        OfflineError: It could not be fetched.
    """
    where, config = _address(name)
    with _asking(name, offline) as datasets:
        return datasets.load_dataset(where, config, split=split)


class HubRanking:
    """A ranking collection of the hub in BEIR's layout; see `RankingFolder` for the attributes.

    The configurations ``corpus`` and ``queries`` hold the texts. Judgements are in the configuration
    ``qrels`` or ``default`` (as MTEB has it), or in the dataset ``NAME-qrels`` (as BeIR has it).

    Args:
        name: ``hf:OWNER/NAME``.
        cache: Where the index of passages is kept; None: ``distilrank`` in the user's cache folder.
        offline: Use what the datasets library has cached, and fail where that is not enough.
        bad: How many bad rows may be skipped; None: none.
        progress: Called while passages are indexed, with their number so far.
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
        _library(name)
        self.name = name
        self.cache = default_cache() if cache is None else Path(cache)
        self.offline = offline
        self._bad = BadLines() if bad is None else bad
        self._progress = progress

    @cached_property
    def queries(self) -> dict[str, Query]:
        """All queries, whatever their split."""
        queries: dict[str, Query] = {}
        self._each(self._only_split("queries"), lambda row: add_query(queries, query_of(row)))
        return queries

    @cached_property
    def passages(self) -> PassageStore:
        """The collection, fetched and indexed on disk when it is first asked for."""
        rows = self._only_split("corpus")
        key = hashlib.sha256(f"{self.name}\0{getattr(rows, '_fingerprint', '')}".encode()).hexdigest()[:20]
        index = self.cache / f"passages-{key}.sqlite"
        if index.is_file():
            return PassageStore(index)
        passages = self._good(rows, passage_of)
        return PassageStore.build(passages, index, bad=self._bad, source=self.name, progress=self._progress)

    @cached_property
    def splits(self) -> list[str]:
        """The splits that have judgements, in the order train, dev, test, then by name."""
        usual = {split: place for place, split in enumerate(USUAL_SPLITS)}
        return sorted(self._judgements, key=lambda split: (usual.get(split, len(usual)), split))

    def qrels(self, split: str) -> Qrels:
        """Return the judgements of a split.

        Raises:
            InputError: There is no such split, or a row is bad.
        """
        if split not in self._judgements:
            known = ", ".join(self.splits) or "none"
            raise InputError(f"{self.name} has no judgements for split {split!r} (it has: {known})")
        qrels: Qrels = {}

        def add(row: dict[str, Any]) -> None:
            query_id = parse_identifier(row["query-id"], name="query-id")
            doc_id = parse_identifier(row["corpus-id"], name="corpus-id")
            add_judgement(qrels, query_id, doc_id, parse_relevance(str(row["score"])))

        self._each(self._judgements[split], add)
        return qrels

    def runs(self, split: str) -> dict[str, Path]:
        """Return an empty dict: hub collections bring no first stage."""
        return {}

    @cached_property
    def _judgements(self) -> dict[str, Any]:
        where, _ = _address(self.name)
        with _asking(self.name, self.offline) as datasets:
            configs = datasets.get_dataset_config_names(where)
            for config in (config for config in _JUDGEMENT_CONFIGS if config in configs):
                found = datasets.load_dataset(where, config)
                if all(set(rows.column_names) >= _QRELS_COLUMNS for rows in found.values()):
                    return dict(found)
            return dict(datasets.load_dataset(f"{where}-qrels"))

    def _only_split(self, config: str) -> Any:
        where, _ = _address(self.name)
        with _asking(self.name, self.offline) as datasets:
            found = datasets.load_dataset(where, config)
        if len(found) != 1:
            raise InputError(f"{self.name} has {len(found)} splits of its {config} where one is expected")
        return next(iter(found.values()))

    def _good(self, rows: Any, parse: Callable[[dict[str, Any]], Passage]) -> Iterator[Passage]:
        for number, row in enumerate(rows, start=1):
            try:
                passage = parse(row)
            except BadLine as problem:
                self._bad.report(InputError(str(problem), path=self.name, line=number))
                continue
            yield passage

    def _each(self, rows: Any, act: Callable[[dict[str, Any]], None]) -> None:
        for number, row in enumerate(rows, start=1):
            try:
                act(row)
            except BadLine as problem:
                self._bad.report(InputError(str(problem), path=self.name, line=number))


class HubGroups(Sequence[Group]):
    """The rows of a split as groups, by the rules of sentence-transformers.

    A column called label, labels, score or scores is the target; all others are inputs in their order:

    - (query, passage) with a number: one passage with that relevance;
    - (query, positive, negative, ...) without a target: relevance 1 and 0;
    - the same with a list of numbers, one a passage: these are a teacher's scores;
    - (query, list of passages) with a list of numbers: their relevance.

    Args:
        name: ``hf:OWNER/NAME[:CONFIG]``.
        split: The split.
        offline: Use what the datasets library has cached, and fail where that is not enough.

    Raises:
        InputError: The columns fit none of these. Rows are checked when they are read.
    """

    def __init__(self, name: str, *, split: str = "train", offline: bool = False) -> None:
        self.name = name
        self._rows = load_split(name, split, offline=offline)
        columns = list(self._rows.column_names)
        self._target = next((column for column in columns if column in _TARGETS), None)
        self._inputs = [column for column in columns if column not in _TARGETS]
        if len(self._inputs) < 2:
            problem = f"{name} has the columns {', '.join(columns)} where a query and passages are expected"
            raise InputError(f"{problem}; name another dataset or configuration")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> list[Group]: ...
    def __getitem__(self, index: int | slice) -> Group | list[Group]:
        """Return a group, or the groups of a slice, read now."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        row = self._rows[place]
        try:
            return _group_of([row[name] for name in self._inputs], row[self._target] if self._target else None)
        except BadLine as problem:
            raise InputError(str(problem), path=self.name, line=place + 1) from None


def _group_of(inputs: list[Any], target: Any) -> Group:
    query, *rest = inputs
    passages = tuple(rest[0]) if len(rest) == 1 and isinstance(rest[0], list) else tuple(rest)
    if not isinstance(query, str) or not passages or not all(isinstance(passage, str) for passage in passages):
        raise BadLine("is not a query and passages; give them as texts")
    numbers = tuple(float(number) for number in target) if isinstance(target, list) else None
    if numbers is not None and len(numbers) != len(passages):
        raise BadLine(f"has {len(numbers)} numbers for {len(passages)} passages; give one for each")
    if isinstance(rest[0], list):
        if numbers is None:
            raise BadLine("has a list of passages without a list of labels; give one for each passage")
        return Group(query=query, passages=passages, relevance=numbers)
    if len(passages) == 1 and numbers is None:
        relevance = 1.0 if target is None else float(target)
        return Group(query=query, passages=passages, relevance=(relevance,))
    if target is not None and numbers is None:
        raise BadLine(f"has one number for {len(passages)} passages; give one for each")
    return Group(query=query, passages=passages, relevance=(1.0,) + (0.0,) * (len(passages) - 1), scores=numbers)


LABELLED_SPLITS = {
    "train": ("train",),
    "dev": ("validation", "validation_matched", "dev"),
    "test": ("test", "test_matched"),
}
"""Split -> what it may be called on the hub; of MNLI the matched ones are taken."""


def labelled_splits(name: str, *, offline: bool = False) -> dict[str, str]:
    """Return split (train, dev, test) -> its name on the hub, for those that the dataset has.

    Raises:
        InputError: There is no such configuration, or it has no train split.
        OfflineError: The dataset could not be looked up.
    """
    where, config = _address(name)
    with _asking(name, offline) as datasets:
        names = datasets.get_dataset_split_names(where, config)
    found = {split: next((n for n in usual if n in names), None) for split, usual in LABELLED_SPLITS.items()}
    if found["train"] is None:
        raise InputError(f"{name} has the splits {', '.join(names)} but no train split; name another configuration")
    return {split: own for split, own in found.items() if own is not None}


def read_hub_examples(
    name: str,
    *,
    split: str = "train",
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    kind: Kind | None = None,
    labelled: bool = True,
    bad: BadLines | None = None,
    offline: bool = False,
) -> ClassificationData:
    """Read a split of a hub dataset for classification; the arguments are those of `read_examples`.

    When ``label_names`` is None and the dataset names the classes of the label column, those names are used. A split
    whose labels are all -1, as those of GLUE's tests, has none.

    Raises:
        InputError: The columns are not found, or a row is bad and not allowed.
        OfflineError: The dataset could not be fetched.
    """
    rows = load_split(name, split, offline=offline)
    column = label or next((column for column in LABELS if column in rows.column_names), None)
    if label_names is None and column is not None:
        label_names = getattr(rows.features.get(column), "names", None)
    if labelled and column in rows.column_names and set(rows.unique(column)) == {-1}:
        labelled = False
    return examples_of_rows(
        iter(enumerate(rows, start=1)),
        source=name,
        text=text,
        text_pair=text_pair,
        label=label,
        label_names=label_names,
        kind=kind,
        labelled=labelled,
        bad=BadLines() if bad is None else bad,
    )
