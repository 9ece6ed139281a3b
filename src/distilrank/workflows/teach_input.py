"""What a user names to be scored, opened: groups, the candidates of a run, or plain pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from distilrank.data.files import file_hash
from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.lines import BadLines
from distilrank.data.pairs import GroupPairs, PairFile, Pairs, RunPairs
from distilrank.errors import InputError, SettingsError, nearest


def open_pairs(
    *,
    data: Path | None,
    groups: Path | None = None,
    run: str | None = None,
    split: str = "train",
    pairs: Path | None = None,
    collection: Path | None = None,
    depth: int | None = None,
    limit: int | None = None,
    bad: BadLines | None = None,
) -> Pairs:
    """Open what is to be scored: plain pairs, the candidates of a run, or groups, whichever is named.

    Args:
        data: Folder with queries and passages, and groups where neither a run nor a file of groups is named; or a
            JSONL file of groups.
        groups: JSONL file of groups.
        run: A TREC file, or the name of one of the folder's runs.
        split: Of the folder's runs.
        pairs: JSONL or TSV file of pairs.
        collection: The passages, where they lie elsewhere.
        depth: Of a run, the best so many of each query. None: all.
        limit: Only the first so many groups, queries or pairs. None: all.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: Nothing to score is named, or it is not there.
    """
    named = [name for name, given in (("--groups", groups), ("--run", run), ("--pairs", pairs)) if given is not None]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} are both given; name one thing to score")
    for name, number in (("--limit", limit), ("--depth", depth)):
        if number is not None and number < 1:
            raise SettingsError(f"{name} is {number} but must be at least 1")
    if depth is not None and run is None:
        raise SettingsError("--depth is for the candidates of a run; name it with --run")
    if pairs is not None:
        return PairFile(pairs, limit=limit, bad=bad)
    if run is not None:
        return _open_run(data, run, split, collection=collection, depth=depth, limit=limit, bad=bad)
    file = groups if groups is not None else groups_of(data)
    return GroupPairs(GroupFile(file, bad=bad), limit=limit)


def groups_of(data: Path | None) -> Path:
    """Return the file of groups: ``data`` itself, or that of a prepared folder.

    Raises:
        InputError: There is none.
    """
    if data is None:
        raise InputError("there is nothing to score; name a prepared folder with --data, or --groups, --run or --pairs")
    if not data.exists():
        raise InputError("there is no such folder; check the path", path=data)
    file = data if data.is_file() else data / "groups" / "train.jsonl"
    if not file.is_file():
        raise InputError("holds no groups/train.jsonl; make it with: distilrank prepare, or name a --run", path=data)
    return file


def _open_run(
    data: Path | None,
    run: str,
    split: str,
    *,
    collection: Path | None,
    depth: int | None,
    limit: int | None,
    bad: BadLines | None,
) -> RunPairs:
    if data is None:
        raise InputError("a run names queries and passages; give the folder that has their texts with --data")
    folder = RankingFolder(data, collection=collection, bad=bad)
    path = Path(run)
    if not path.is_file():
        runs = folder.runs(split)
        if run not in runs:
            known = f", or one of the folder's runs of {split}: {', '.join(runs)}" if runs else ""
            raise InputError(f"there is no run {run!r}; give a TREC file{known}{nearest(run, runs)}")
        path = runs[run]
    texts: Mapping[str, object] = {
        "queries": _texts_hash(folder),
        "passages": file_hash(folder.collection),
    }
    return RunPairs(
        path, queries=folder.queries, passages=folder.passages, texts=texts, depth=depth, limit=limit, bad=bad
    )


def _texts_hash(folder: RankingFolder) -> str:
    """Return a hash of the queries, whatever files they are in."""
    texts = [f"{query.query_id}\t{query.text}" for query in folder.queries.values()]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
