"""``distilrank prepare`` for ranking: a folder of queries, passages and judgements made ready for training.

Splits that share no query, first-stage candidates, training groups, the data doctor's findings, one manifest::

    OUT/passages.sqlite            the collection (documents already cut into passages)
    OUT/queries.jsonl              the queries of the splits
    OUT/qrels/<split>.tsv          judgements (of documents, when documents were cut)
    OUT/runs/<split>.trec.gz       first-stage candidates
    OUT/groups/train.jsonl         training groups; only with a split called train, or without labels
    OUT/doctor.json, OUT/manifest.json
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distilrank.data.beir import write_qrels, write_queries
from distilrank.data.cut_passages import CutSettings, cut_passages
from distilrank.data.files import file_hash, read_json, write_json, write_manifest
from distilrank.data.folder import RankingFolder, build_store
from distilrank.data.groups import write_groups
from distilrank.data.lines import BadLines
from distilrank.data.named import RankingData, is_named, open_ranking
from distilrank.data.passage_store import PassageStore
from distilrank.data.tokens import PairTokenizer
from distilrank.data.trec import write_run
from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.diagnostics import Diagnosis, Finding, diagnose_ranking, scan_collection
from distilrank.records import Qrels, Run
from distilrank.workflows.first_stage import FirstStage, FirstStageSettings, find_candidates, run_files
from distilrank.workflows.progress import counted, tracked
from distilrank.workflows.splits import (
    TRAIN,
    LeftOut,
    divide,
    how_guarded,
    left_out_finding,
    sample_in_order,
    separate,
    usual_name,
)
from distilrank.workflows.training_groups import (
    GroupCounts,
    GroupSettings,
    groups_finding,
    training_groups,
    unlabelled_groups,
)
from distilrank.workflows.unlabelled import unlabelled_splits
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "prepare"
_NO_TRAINING = Finding(
    check="training groups",
    level="note",
    message="no split is called train, so there are no groups; --resplit --test-share 0.2 divides all queries anew",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """How ranking data is prepared.

    Attributes:
        first_stage: How candidates are found.
        groups: How training groups are made.
        dev_share: Share of the training queries that becomes dev where the data has no dev split; 0 for none.
        test_share: The same for a split called test.
        resplit: Put the queries of all splits together and divide them anew by the two shares.
        unlabelled: Train on queries without judgements: all that no other split judges; see ``unlabelled_splits``.
        max_queries: Most queries per split, drawn by seed; None takes all.
        cut: Cut documents into passages; None: the collection holds passages.
        max_tokens: The token limit that lengths are compared with.
        seed: Of splits, of sampled queries and of the doctor's samples.
    """

    first_stage: FirstStageSettings = field(default_factory=FirstStageSettings)
    groups: GroupSettings = field(default_factory=GroupSettings)
    dev_share: float = 0.1
    test_share: float = 0.0
    resplit: bool = False
    unlabelled: bool = False
    max_queries: int | None = None
    cut: CutSettings | None = None
    max_tokens: int = 256
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
        if self.unlabelled and (self.resplit or self.test_share):
            raise SettingsError(
                "unlabelled queries cannot be divided into dev and test; leave resplit and test_share out"
            )
        if self.max_queries is not None and self.max_queries < 1:
            raise SettingsError(f"max_queries is {self.max_queries}, give at least 1")
        if self.max_tokens < 8:
            raise SettingsError(f"max_tokens is {self.max_tokens}, give at least 8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A finished folder.

    Attributes:
        folder: Where it is.
        doctor: Content of ``doctor.json``.
        manifest: Content of ``manifest.json``.
        was_done: It had been finished before by the same command.
    """

    folder: Path
    doctor: Mapping[str, object]
    manifest: Mapping[str, object]
    was_done: bool

    @classmethod
    def open(cls, folder: Path, *, was_done: bool) -> Prepared:
        """Read what a finished folder says of itself."""
        doctor, manifest = read_json(folder / "doctor.json"), read_json(folder / "manifest.json")
        return cls(folder=folder, doctor=doctor, manifest=manifest, was_done=was_done)


def prepare_ranking(
    data: str | Path,
    out: str | Path,
    *,
    settings: PrepareSettings | None = None,
    collection: str | Path | None = None,
    runs: Sequence[str] = (),
    tokenizer: str | Path | None = None,
    skip_bad: int = 0,
    offline: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Prepared:
    """Prepare a collection for training rankers.

    Args:
        data: A BEIR or MS MARCO-like folder, see ``RankingFolder``; or a public collection by its name, see
            ``open_named``.
        out: The folder to make. It appears whole or not at all; finished by the same command, it is left alone.
        settings: See ``PrepareSettings``; None takes the defaults.
        collection: The file of passages (or documents) where it is not in the folder.
        runs: First-stage runs, see ``run_files``; splits of which no query is in any of them get BM25.
        tokenizer: A model folder whose tokeniser measures lengths; None approximates them from words.
        skip_bad: Bad lines that may be skipped, over all files.
        offline: Never fetch a public collection.
        overwrite: Replace a folder that another ``prepare`` made.
        progress: Show progress on standard error.

    Raises:
        InputError: Something is wrong with the data or with what stands in ``out``; nothing is left behind.
        ResumeError: ``out`` was made by another command.
    """
    settings = settings or PrepareSettings()
    out, bad = Path(out), BadLines(skip_bad)
    source = open_ranking(data, collection=collection, offline=offline, bad=bad)
    files = run_files(source, runs)
    inputs = input_files(source, files)
    recorded = {
        "name": str(data) if is_named(data) else None,
        **asdict(settings),
        "unlabelled": settings.unlabelled or None,  # as if it were not there, as in older manifests
        "runs": list(runs),
        "tokenizer": None if tokenizer is None else str(tokenizer),
        "skip_bad": skip_bad,
    }
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=recorded, inputs=hashes, overwrite=overwrite):
        return Prepared.open(out, was_done=True)
    counter = None if tokenizer is None else PairTokenizer.from_folder(tokenizer)
    with whole_folder(out) as partial:
        facts = _make(source, partial, settings, files=files, tokenizer=counter, bad=bad, progress=progress)
        made = {path.relative_to(partial).as_posix(): path for path in sorted(partial.rglob("*")) if path.is_file()}
        write_manifest(partial, verb=VERB, settings=recorded, inputs=inputs, outputs=made, extra=facts)
    return Prepared.open(out, was_done=False)


def ranking_splits(source: RankingData, settings: PrepareSettings) -> tuple[dict[str, Qrels], list[LeftOut]]:
    """Return the judgements of splits that share no query, and what was left out to that end.

    Splits that the data has are kept; dev (and test) are taken out of train where they are missing. A query that is
    judged in two splits keeps the judgements of the one held out further.

    Raises:
        InputError: The data has no judgements, or none of its judged queries has a text.
    """
    given = {usual_name(split): source.qrels(split) for split in source.splits}
    if not given:
        problem = "there are no judgements; expected qrels/<split>.tsv or qrels.<split>.tsv beside the queries"
        raise InputError(f"{problem}; to learn from a teacher's scores alone, give --unlabelled")
    texts = {query_id: query.text for query_id, query in source.queries.items()}
    left_out = [
        LeftOut(query_id, split, "is judged but has no text")
        for split, judged in given.items()
        for query_id in judged
        if query_id not in texts
    ]
    members = {split: [query_id for query_id in judged if query_id in texts] for split, judged in given.items()}
    if not any(members.values()):
        raise InputError("no judged query has a text; are these the queries that were judged?")
    members, leaks = separate(_divided(members, texts, settings), texts)
    judgements = {
        query_id: judged
        for split in sorted(given, key=how_guarded, reverse=True)
        for query_id, judged in given[split].items()
    }
    splits = {
        split: {
            query_id: judgements[query_id]
            for query_id in sample_in_order(own, settings.max_queries, seed=settings.seed)
        }
        for split, own in members.items()
    }
    return splits, [*left_out, *leaks]


def _divided(
    members: Mapping[str, Sequence[str]], texts: Mapping[str, str], settings: PrepareSettings
) -> dict[str, Sequence[str]]:
    """Return split -> query ids with the splits that are missing taken out of train, or all divided anew."""
    shares = {"dev": settings.dev_share, "test": settings.test_share}
    if settings.resplit:
        everything = list(dict.fromkeys(query_id for own in members.values() for query_id in own))
        return {**divide(everything, texts, shares=shares, seed=settings.seed)}
    if TRAIN not in members:
        return {**members}
    shares = {split: share for split, share in shares.items() if split not in members}
    return {**divide(members[TRAIN], texts, shares=shares, seed=settings.seed), **_others(members)}


def _others(members: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the splits that are not trained on."""
    return {split: own for split, own in members.items() if split != TRAIN}


def input_files(source: RankingData, files: Sequence[Path]) -> dict[str, Path]:
    """Return the files that are read, by name; of a public collection, only the runs."""
    runs = {f"run {file.name}": file for file in files}
    if not isinstance(source, RankingFolder):
        return runs
    folder = source
    listed = [path for path in sorted(folder.path.iterdir()) if path.name.startswith(("queries", "topics", "qrels."))]
    listed += sorted((folder.path / "qrels").glob("*"))
    named = {path.relative_to(folder.path).as_posix(): path for path in listed if path.is_file()}
    return {"collection": folder.collection, **named, **runs}


def _make(
    source: RankingData,
    partial: Path,
    settings: PrepareSettings,
    *,
    files: Sequence[Path],
    tokenizer: PairTokenizer | None,
    bad: BadLines,
    progress: bool,
) -> dict[str, object]:
    """Write everything but the manifest, and return what the manifest says about it."""
    if settings.unlabelled:
        splits, left_out = unlabelled_splits(source, max_queries=settings.max_queries, seed=settings.seed)
    else:
        splits, left_out = ranking_splits(source, settings)
    passages = _build_passages(source, partial, settings.cut, bad=bad, progress=progress)
    stage = find_candidates(
        queries=source.queries,
        splits=splits,
        passages=passages,
        files=files,
        settings=settings.first_stage,
        documents=settings.cut is not None,
        bad=bad,
        progress=progress,
    )
    queries = [source.queries[query_id] for judged in splits.values() for query_id in judged]
    write_queries(queries, partial / "queries.jsonl")
    for split, judged in splits.items():
        if split != TRAIN or not settings.unlabelled:
            write_qrels(judged, partial / "qrels" / f"{split}.tsv")
        write_run(stage.runs[split], partial / "runs" / f"{split}.trec.gz", tag=stage.tags[split])
    counts = GroupCounts()
    if TRAIN in splits:
        _write_groups(source, partial, splits[TRAIN], stage.runs[TRAIN], passages, settings, counts, progress=progress)
    diagnosis = _diagnose(source, splits, stage, passages, settings, tokenizer=tokenizer, progress=progress)
    about_groups = groups_finding(counts) if TRAIN in splits else _NO_TRAINING
    write_json(partial / "doctor.json", diagnosis.with_findings(about_groups, left_out_finding(left_out)).to_json())
    return {
        "kind": "ranking",
        "queries": {split: len(judged) for split, judged in splits.items()},
        "passages": len(passages),
        "first_stage": dict(stage.tags),
        "groups": asdict(counts),
        "skipped": [str(error) for error in bad.skipped],
    }


def _write_groups(
    source: RankingData,
    partial: Path,
    judged: Qrels,
    run: Run,
    passages: PassageStore,
    settings: PrepareSettings,
    counts: GroupCounts,
    *,
    progress: bool,
) -> None:
    """Write the training groups and count them."""
    made: dict[str, Any] = {
        "queries": source.queries,
        "run": run,
        "passages": passages,
        "settings": settings.groups,
        "counts": counts,
    }
    groups = (
        unlabelled_groups(judged, **made)
        if settings.unlabelled
        else training_groups(qrels=judged, documents=settings.cut is not None, **made)
    )
    shown = tracked(groups, "training groups", total=len(judged), shown=progress)
    write_groups(shown, partial / "groups" / f"{TRAIN}.jsonl")


def _diagnose(
    source: RankingData,
    splits: Mapping[str, Qrels],
    stage: FirstStage,
    passages: PassageStore,
    settings: PrepareSettings,
    *,
    tokenizer: PairTokenizer | None,
    progress: bool,
) -> Diagnosis:
    """Have the doctor look at what was made."""
    with counted("looking at passages", shown=progress) as count:
        collection = scan_collection(passages.values(), progress=count)
    return diagnose_ranking(
        queries=source.queries,
        qrels=splits,
        runs=stage.runs,
        passages=passages,
        collection=collection,
        absent=stage.absent,
        documents=settings.cut is not None,
        relevant_from=settings.groups.relevant_from,
        unlabelled={TRAIN} if settings.unlabelled else (),
        tokenizer=tokenizer,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
    )


def _build_passages(
    source: RankingData, partial: Path, cut: CutSettings | None, *, bad: BadLines, progress: bool
) -> PassageStore:
    """Index the collection as ``passages.sqlite``, its documents cut if so wished."""
    path, whole = partial / "passages.sqlite", partial / "whole.sqlite"
    with counted("indexing the collection", shown=progress) as count:
        if not isinstance(source, RankingFolder):
            shutil.copyfile(source.passages.path, whole)
        elif source.collection.suffix == ".sqlite":
            shutil.copyfile(source.collection, whole)
        else:
            build_store(source.collection, whole, bad=bad, progress=count)
    store = PassageStore(whole)
    # A store remembers the bad lines skipped for it and reports them to all who open it; the manifest has them now.
    if cut is None and not store.skipped:
        whole.rename(path)
        return PassageStore(path)
    with counted("writing passages", shown=progress) as count:
        contents = store.stream() if cut is None else cut_passages(store.stream(), cut)
        passages = PassageStore.build(contents, path, progress=count)
    whole.unlink()
    return passages
