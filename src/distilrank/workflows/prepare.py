"""``distilrank prepare`` for ranking: a folder of queries, passages and judgements made ready for training.

Splits that share no query, first-stage candidates, training groups, the data doctor's findings, one manifest::

    OUT/passages.sqlite            the collection (documents already cut into passages)
    OUT/queries.jsonl              the queries of the splits
    OUT/qrels/<split>.tsv          judgements (of documents, when documents were cut)
    OUT/runs/<split>.trec.gz       first-stage candidates
    OUT/groups/train.jsonl         training groups; only with a split called train
    OUT/doctor.json, OUT/manifest.json
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from distilrank.data.beir import write_qrels, write_queries
from distilrank.data.cut_passages import CutSettings, cut_passages
from distilrank.data.files import file_hash, read_json, write_json, write_manifest
from distilrank.data.folder import RankingFolder, build_store
from distilrank.data.groups import write_groups
from distilrank.data.lines import BadLines
from distilrank.data.passage_store import PassageStore
from distilrank.data.tokens import PairTokenizer
from distilrank.data.trec import write_run
from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.diagnostics import Finding, diagnose_ranking, scan_collection
from distilrank.evaluation.diagnostics.collection import CollectionFacts
from distilrank.records import Qrels
from distilrank.workflows.first_stage import FirstStageSettings, find_candidates, run_files
from distilrank.workflows.progress import counted, tracked
from distilrank.workflows.splits import TRAIN, LeftOut, divide, how_guarded, left_out_finding, sample_in_order, separate
from distilrank.workflows.training_groups import GroupCounts, GroupSettings, groups_finding, training_groups
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "prepare"
_DEV_NAMES = ("validation", "valid", "val")
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
    max_queries: int | None = None
    cut: CutSettings | None = None
    max_tokens: int = 256
    seed: int = 42

    def __post_init__(self) -> None:
        """Refuse settings out of range."""
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
    overwrite: bool = False,
    progress: bool = True,
) -> Prepared:
    """Prepare a folder of ranking data.

    Args:
        data: A BEIR or MS MARCO-like folder, see ``RankingFolder``.
        out: The folder to make. It appears whole or not at all; finished by the same command, it is left alone.
        settings: See ``PrepareSettings``; None takes the defaults.
        collection: The file of passages (or documents) where it is not in the folder.
        runs: First-stage runs, see ``run_files``; splits of which no query is in any of them get BM25.
        tokenizer: A model folder whose tokeniser measures lengths; None approximates them from words.
        skip_bad: Bad lines that may be skipped, over all files.
        overwrite: Replace a folder that another ``prepare`` made.
        progress: Show progress on standard error.

    Raises:
        InputError: Something is wrong with the data or with what stands in ``out``; nothing is left behind.
        ResumeError: ``out`` was made by another command.
    """
    settings = settings or PrepareSettings()
    out, bad = Path(out), BadLines(skip_bad)
    folder = RankingFolder(data, collection=collection, bad=bad)
    files = run_files(folder, runs)
    inputs = _inputs(folder, files)
    recorded = {
        **asdict(settings),
        "runs": list(runs),
        "tokenizer": None if tokenizer is None else str(tokenizer),
        "skip_bad": skip_bad,
    }
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=recorded, inputs=hashes, overwrite=overwrite):
        return Prepared.open(out, was_done=True)
    counter = None if tokenizer is None else PairTokenizer.from_folder(tokenizer)
    with whole_folder(out) as partial:
        facts = _make(folder, partial, settings, files=files, tokenizer=counter, bad=bad, progress=progress)
        made = {path.relative_to(partial).as_posix(): path for path in sorted(partial.rglob("*")) if path.is_file()}
        write_manifest(partial, verb=VERB, settings=recorded, inputs=inputs, outputs=made, extra=facts)
    return Prepared.open(out, was_done=False)


def ranking_splits(folder: RankingFolder, settings: PrepareSettings) -> tuple[dict[str, Qrels], list[LeftOut]]:
    """Return the judgements of splits that share no query, and what was left out to that end.

    Splits that the data has are kept; dev (and test) are taken out of train where they are missing. A query that is
    judged in two splits keeps the judgements of the one held out further.

    Raises:
        InputError: The folder has no judgements, or none of its judged queries has a text.
    """
    given = {("dev" if split in _DEV_NAMES else split): folder.qrels(split) for split in folder.splits}
    if not given:
        raise InputError("has no judgements; expected qrels/<split>.tsv or qrels.<split>.tsv", path=folder.path)
    texts = {query_id: query.text for query_id, query in folder.queries.items()}
    left_out = [
        LeftOut(query_id, split, "is judged but has no text")
        for split, judged in given.items()
        for query_id in judged
        if query_id not in texts
    ]
    members = {split: [query_id for query_id in judged if query_id in texts] for split, judged in given.items()}
    if not any(members.values()):
        raise InputError("has no text for any judged query; are these the queries that were judged?", path=folder.path)
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


def _inputs(folder: RankingFolder, files: Sequence[Path]) -> dict[str, Path]:
    """Return the files that are read, by name."""
    listed = [path for path in sorted(folder.path.iterdir()) if path.name.startswith(("queries", "topics", "qrels."))]
    listed += sorted((folder.path / "qrels").glob("*"))
    named = {path.relative_to(folder.path).as_posix(): path for path in listed if path.is_file()}
    return {"collection": folder.collection, **named, **{f"run {file.name}": file for file in files}}


def _make(
    folder: RankingFolder,
    partial: Path,
    settings: PrepareSettings,
    *,
    files: Sequence[Path],
    tokenizer: PairTokenizer | None,
    bad: BadLines,
    progress: bool,
) -> dict[str, object]:
    """Write everything but the manifest, and return what the manifest says about it."""
    splits, left_out = ranking_splits(folder, settings)
    documents = settings.cut is not None
    passages = _build_passages(folder.collection, partial, settings.cut, bad=bad, progress=progress)
    stage = find_candidates(
        queries=folder.queries,
        splits=splits,
        passages=passages,
        files=files,
        settings=settings.first_stage,
        documents=documents,
        bad=bad,
        progress=progress,
    )
    diagnosis = diagnose_ranking(
        queries=folder.queries,
        qrels=splits,
        runs=stage.runs,
        passages=passages,
        collection=_scan(passages, progress=progress),
        absent=stage.absent,
        documents=documents,
        relevant_from=settings.groups.relevant_from,
        tokenizer=tokenizer,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
    )
    diagnosis = diagnosis.with_findings(left_out_finding(left_out))
    queries = [folder.queries[query_id] for judged in splits.values() for query_id in judged]
    write_queries(queries, partial / "queries.jsonl")
    for split, judged in splits.items():
        write_qrels(judged, partial / "qrels" / f"{split}.tsv")
        write_run(stage.runs[split], partial / "runs" / f"{split}.trec.gz", tag=stage.tags[split])
    counts = GroupCounts()
    if TRAIN in splits:
        groups = training_groups(
            queries=folder.queries,
            qrels=splits[TRAIN],
            run=stage.runs[TRAIN],
            passages=passages,
            settings=settings.groups,
            counts=counts,
            documents=documents,
        )
        shown = tracked(groups, "training groups", total=len(splits[TRAIN]), shown=progress)
        write_groups(shown, partial / "groups" / f"{TRAIN}.jsonl")
        diagnosis = diagnosis.with_findings(groups_finding(counts))
    else:
        diagnosis = diagnosis.with_findings(_NO_TRAINING)
    write_json(partial / "doctor.json", diagnosis.to_json())
    return {
        "kind": "ranking",
        "queries": {split: len(judged) for split, judged in splits.items()},
        "passages": len(passages),
        "first_stage": dict(stage.tags),
        "groups": asdict(counts),
        "skipped": [str(error) for error in bad.skipped],
    }


def _scan(passages: PassageStore, *, progress: bool) -> CollectionFacts:
    """Look at every passage, with a counter on the screen."""
    with counted("looking at passages", shown=progress) as count:
        return scan_collection(passages.values(), progress=count)


def _build_passages(
    collection: Path, partial: Path, cut: CutSettings | None, *, bad: BadLines, progress: bool
) -> PassageStore:
    """Index the collection as ``passages.sqlite``, its documents cut if so wished."""
    path = partial / "passages.sqlite"
    source = path if cut is None else partial / "documents.sqlite"
    with counted("indexing the collection", shown=progress) as count:
        if collection.suffix == ".sqlite":
            shutil.copyfile(collection, source)
        else:
            build_store(collection, source, bad=bad, progress=count)
    if cut is None:
        return PassageStore(path)
    with counted("cutting documents", shown=progress) as count:
        passages = PassageStore.build(cut_passages(PassageStore(source).stream(), cut), path, progress=count)
    source.unlink()
    return passages
