"""One door to data, wherever it is: a path, ``ir_datasets:ID`` or ``hf:OWNER/NAME[:CONFIG]``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from distilrank.data import hub, ir_datasets_source
from distilrank.data.classification import ClassificationData, read_examples
from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.hub import HubGroups, HubRanking, read_hub_examples
from distilrank.data.ir_datasets_source import IrDatasetsRanking
from distilrank.data.labels import Kind
from distilrank.data.lines import BadLines
from distilrank.data.passage_store import PassageStore
from distilrank.errors import InputError
from distilrank.records import Group, Qrels, Query


class RankingData(Protocol):
    """What a collection offers, whether it is a folder or a name; see `RankingFolder` for each."""

    @property
    def queries(self) -> dict[str, Query]:
        """All queries."""
        ...

    @property
    def passages(self) -> PassageStore:
        """The collection, indexed on disk."""
        ...

    @property
    def splits(self) -> list[str]:
        """The splits that have judgements."""
        ...

    def qrels(self, split: str) -> Qrels:
        """Return the judgements of a split."""
        ...

    def runs(self, split: str) -> dict[str, Path]:
        """Return name -> file of the first-stage runs of a split."""
        ...


def is_named(data: str | Path) -> bool:
    """Return whether ``data`` names a public dataset rather than a path."""
    return str(data).startswith((hub.PREFIX, ir_datasets_source.PREFIX))


def open_named(
    name: str,
    *,
    cache: str | Path | None = None,
    offline: bool = False,
    bad: BadLines | None = None,
    progress: Callable[[int], None] | None = None,
) -> RankingData:
    """Open a public ranking collection by its name.

    Args:
        name: ``ir_datasets:ID`` or ``hf:OWNER/NAME``.
        cache: Where passages and runs are kept; None: ``distilrank`` in the user's cache folder.
        offline: Use what the libraries have cached, never the network.
        bad: How many bad records may be skipped; None: none.
        progress: Called while passages are indexed, with their number so far.

    Raises:
        MissingExtraError: The library that knows the name is not installed.
        InputError: The name has neither form, or nothing has this name.
    """
    if name.startswith(ir_datasets_source.PREFIX):
        return IrDatasetsRanking(name, cache=cache, offline=offline, bad=bad, progress=progress)
    if name.startswith(hub.PREFIX):
        return HubRanking(name, cache=cache, offline=offline, bad=bad, progress=progress)
    raise InputError(f"{name!r} is no name of a dataset; write ir_datasets:ID or hf:OWNER/NAME")


def open_ranking(
    data: str | Path,
    *,
    collection: str | Path | None = None,
    cache: str | Path | None = None,
    offline: bool = False,
    bad: BadLines | None = None,
    progress: Callable[[int], None] | None = None,
) -> RankingData:
    """Open a folder of ranking data, or a public collection by its name.

    Args:
        data: A folder, ``ir_datasets:ID`` or ``hf:OWNER/NAME``.
        collection: For a folder: the file of passages when it lies elsewhere.
        cache: See `open_named`.
        offline: See `open_named`.
        bad: See `open_named`.
        progress: See `open_named`.

    Raises:
        InputError: There is no such folder or name, or a collection is given beside a name.
    """
    if not is_named(data):
        return RankingFolder(data, collection=collection, cache=cache, offline=offline, bad=bad, progress=progress)
    if collection is not None:
        raise InputError(f"{data} brings its own passages; leave out the collection {collection}")
    return open_named(str(data), cache=cache, offline=offline, bad=bad, progress=progress)


def open_groups(
    data: str | Path, *, split: str = "train", offline: bool = False, bad: BadLines | None = None
) -> Sequence[Group]:
    """Open training groups: a JSONL file, or the rows of ``hf:OWNER/NAME[:CONFIG]``.

    Raises:
        InputError: A line is bad, or the name is one of ir_datasets, which has collections and no groups.
    """
    if str(data).startswith(ir_datasets_source.PREFIX):
        raise InputError(f"{data} is a collection; make groups of it with: distilrank prepare --data {data}")
    if is_named(data):
        return HubGroups(str(data), split=split, offline=offline)
    return GroupFile(data, bad=bad)


def open_examples(
    data: str | Path,
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
    """Read examples to classify: a file, or a split of ``hf:OWNER/NAME[:CONFIG]``; see `read_examples`."""
    if not is_named(data):
        return read_examples(
            data,
            text=text,
            text_pair=text_pair,
            label=label,
            label_names=label_names,
            kind=kind,
            labelled=labelled,
            bad=bad,
        )
    if not str(data).startswith(hub.PREFIX):
        raise InputError(f"{data} is a ranking collection, not examples to classify; name a file or hf:OWNER/NAME")
    return read_hub_examples(
        str(data),
        split=split,
        text=text,
        text_pair=text_pair,
        label=label,
        label_names=label_names,
        kind=kind,
        labelled=labelled,
        bad=bad,
        offline=offline,
    )
