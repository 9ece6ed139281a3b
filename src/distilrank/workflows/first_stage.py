"""First-stage candidates for every split: the runs a user brings, and BM25 where there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilrank.data.cut_passages import passages_of
from distilrank.data.lines import BadLines
from distilrank.data.named import RankingData
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import ranking, read_run
from distilrank.errors import InputError
from distilrank.evaluation.diagnostics.ranking import absent_candidates
from distilrank.records import Qrels, Query, Run
from distilrank.workflows.candidates import StemmerName, bm25_candidates, bm25_tag


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStage:
    """Candidates of every split.

    Attributes:
        runs: Split -> candidates, in the split's order of queries; a query without any has an empty dict.
        tags: Split -> name of what made its run, without spaces.
        absent: Candidates that were left out because the collection does not have them.
    """

    runs: Mapping[str, Run]
    tags: Mapping[str, str]
    absent: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStageSettings:
    """How candidates are found.

    Attributes:
        depth: Most candidates per query; of a run of documents, most documents.
        k1: Of BM25.
        b: Of BM25.
        stemmer: Of BM25.
    """

    depth: int = 100
    k1: float = 0.9
    b: float = 0.4
    stemmer: StemmerName = "english"


def run_files(source: RankingData, named: Sequence[str]) -> list[Path]:
    """Find the runs that a user named, each file once.

    Args:
        source: The data; the name of a retriever stands for all its runs in there.
        named: TREC files, SPLIT=FILE, or names of retrievers.

    Raises:
        InputError: There is no such file or retriever.
    """
    found: dict[Path, None] = {}
    for name in named:
        split, equals, value = name.partition("=")
        path = Path(value if equals and split in source.splits else name)
        if path.is_file():
            found[path] = None
            continue
        runs = {split: source.runs(split) for split in source.splits}
        own = [own[name] for own in runs.values() if name in own]
        if not own:
            known = sorted({retriever for own in runs.values() for retriever in own})
            also = f", or a retriever of the data: {', '.join(known)}" if known else ""
            raise InputError(f"there is no run {name!r}; give a TREC file, SPLIT=FILE{also}")
        found |= dict.fromkeys(own)
    return list(found)


def find_candidates(
    *,
    queries: Mapping[str, Query],
    splits: Mapping[str, Qrels],
    passages: PassageStore,
    files: Sequence[Path],
    settings: FirstStageSettings,
    documents: bool = False,
    bad: BadLines | None = None,
    progress: bool = True,
) -> FirstStage:
    """Return candidates for every query of every split.

    A split takes its candidates from the runs brought if any of its queries is in them, whatever the files are
    called; so a dev split that was taken out of train keeps train's run.

    Args:
        queries: Texts of the queries.
        splits: Split -> judgements.
        passages: The collection.
        files: Runs in TREC format.
        settings: Depth, and the settings of BM25.
        documents: A run may rank documents that were cut: all passages of each get its score.
        bad: How many bad lines may be skipped.
        progress: Show progress on standard error.

    Raises:
        InputError: Two runs rank for the same query, or BM25 does not fit into memory.
    """
    brought, origin = _read_runs(files, bad=bad)
    runs: dict[str, Run] = {}
    tags: dict[str, str] = {}
    for split, judged in splits.items():
        names = sorted({origin[query_id] for query_id in judged if query_id in origin})
        if names:
            tags[split] = "+".join(names)
            runs[split] = {query_id: _best(brought.get(query_id, {}), settings.depth) for query_id in judged}
    if documents:
        runs = {split: as_passages(run, passages) for split, run in runs.items()}
    absent = absent_candidates(runs, passages)
    runs = {split: _without(run, frozenset(absent)) for split, run in runs.items()}
    searched = [split for split in splits if split not in runs]
    wanted = {query_id: queries[query_id] for split in searched for query_id in splits[split]}
    if wanted:
        found = bm25_candidates(
            passages,
            wanted,
            depth=settings.depth,
            k1=settings.k1,
            b=settings.b,
            stemmer=settings.stemmer,
            progress=progress,
        )
        tag = bm25_tag(k1=settings.k1, b=settings.b, stemmer=settings.stemmer)
        tags |= dict.fromkeys(searched, tag)
        runs |= {split: {query_id: found[query_id] for query_id in splits[split]} for split in searched}
    return FirstStage(runs={split: runs[split] for split in splits}, tags=tags, absent=absent)


def _read_runs(files: Sequence[Path], *, bad: BadLines | None) -> tuple[Run, dict[str, str]]:
    """Return all runs as one, and the name of the run that each query's candidates come from."""
    merged: Run = {}
    origin: dict[str, str] = {}
    owner: dict[str, Path] = {}
    for file in files:
        for query_id, scores in read_run(file, bad=bad).items():
            if query_id in owner:
                problem = f"ranks for query {query_id!r}, and so does {owner[query_id]}; give one run per query"
                raise InputError(problem, path=file)
            owner[query_id] = file
            merged[query_id] = scores
            origin[query_id] = "_".join(file.name.split(".")[0].split()) or "run"
    return merged, origin


def _best(scores: Mapping[str, float], depth: int) -> dict[str, float]:
    """Return the best ``depth`` candidates, best first."""
    return {doc_id: scores[doc_id] for doc_id in ranking(scores)[:depth]}


def as_passages(run: Run, passages: PassageStore) -> Run:
    """Put every passage of a ranked document in its place; what ranks passages already stays as it is."""
    return {
        query_id: {
            passage: score
            for doc_id, score in scores.items()
            for passage in (passages_of(doc_id, passages) or [doc_id])
        }
        for query_id, scores in run.items()
    }


def _without(run: Run, absent: frozenset[str]) -> Run:
    """Return the run without the candidates that have no text."""
    if not absent:
        return run
    return {
        query_id: {doc_id: score for doc_id, score in scores.items() if doc_id not in absent}
        for query_id, scores in run.items()
    }
