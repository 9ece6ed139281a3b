"""``distilrank evaluate``: a model or a run measured beside its first stage, its baselines and its teacher."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from distilrank.data.files import file_hash, read_json
from distilrank.data.lines import BadLines
from distilrank.data.named import RankingData, open_ranking
from distilrank.data.passage_store import PassageStore
from distilrank.data.trec import ranking, read_run
from distilrank.errors import InputError, SettingsError
from distilrank.evaluation.aggregate import Aggregation, aggregate_documents
from distilrank.evaluation.diagnostics import Finding
from distilrank.evaluation.evaluate import Evaluation, evaluate_runs
from distilrank.evaluation.measures import DEFAULT_MEASURES, Measures, measure, measure_name
from distilrank.evaluation.rerank import require_texts, rerank, shorten
from distilrank.records import Qrels, Query, Run
from distilrank.runtime.folder import Precision, network_file
from distilrank.scorer import Scorer
from distilrank.workflows.alarms import query_leak, ranker_alarms
from distilrank.workflows.candidates import bm25_candidates
from distilrank.workflows.first_stage import as_passages
from distilrank.workflows.prepare import input_files
from distilrank.workflows.progress import counted
from distilrank.workflows.scorers import load_scorer
from distilrank.workflows.systems import Contest, System, find_contest, find_run

BM25 = "BM25"
BM25_DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """What is measured, and on what.

    Attributes:
        split: Whose queries and judgements.
        measures: Names as ir_measures writes them.
        depth: Candidates per query that the first stage keeps and models re-rank; None takes all of a run, and 100
            of BM25.
        max_queries: Most queries, the first judged ones by identifier; None takes all.
        aggregate: How scores of passages become scores of documents, whose ids the judgements use; None takes MaxP
            where ``prepare`` cut documents to passages, and elsewhere passages are what is judged.
        k: Of the aggregation k-MaxAvgP.
        precision: Which file of an exported system under test is run; all others run fp32.
        seed: Of bootstrap and randomisation test.
    """

    split: str = "test"
    measures: tuple[str, ...] = DEFAULT_MEASURES
    depth: int | None = None
    max_queries: int | None = None
    aggregate: Aggregation | None = None
    k: int = 3
    precision: Precision = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings out of range, and measures that are not known."""
        for name in ("depth", "max_queries", "k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}, give at least 1")
        if not self.measures:
            raise SettingsError("no measure is named; give at least one, such as nDCG@10")
        for name in self.measures:
            measure_name(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """An evaluation, and what it was made from.

    Attributes:
        evaluation: What was found.
        run: The ranking of the system under test, of documents if aggregated.
        inputs: Name -> file that was read.
        settings: As they took effect.
        alarms: What is suspicious about the system under test and its teacher.
    """

    evaluation: Evaluation
    run: Run
    inputs: Mapping[str, Path]
    settings: EvaluateSettings
    alarms: Sequence[Finding] = ()

    def hashes(self) -> dict[str, dict[str, str]]:
        """Return path and SHA-256 of every input, for the record."""
        return {name: {"path": path.as_posix(), "sha256": file_hash(path)} for name, path in self.inputs.items()}


def evaluate_ranking(
    model: str | None,
    *,
    data: str | Path,
    settings: EvaluateSettings,
    run: str | None = None,
    baselines: Sequence[str] = (),
    teacher: str | None = None,
    collection: Path | None = None,
    threads: int | None = None,
    offline: bool = False,
    passage_vectors: Path | None = None,
    bad: BadLines | None = None,
) -> Evaluated:
    """Re-rank candidates with a model, measure it, and compare it with others on the same queries.

    All models re-rank the same candidates. Only judged queries are re-ranked.

    Args:
        model: Folder or hub name of the system under test; None puts the run itself to the test.
        data: A folder of ranking data, or a public collection by its name, see ``open_ranking``.
        settings: What is measured, and on what.
        run: Candidates: a TREC file or one of the data's runs. None takes the data's run of the split if there is
            one, or the one called BM25 of several, and otherwise ranks the collection by BM25.
        baselines: Runs and models to compare with.
        teacher: The run or model that the system was distilled from.
        collection: The file of passages where it is not in the folder.
        threads: Processor threads of the models; None takes all cores.
        offline: Never use the network.
        passage_vectors: Of the system under test, see ``load_scorer``.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: A file, a name or a line is wrong, or run and judgements do not belong together.
        ModelError: A model cannot be loaded or does not rank.
    """
    bad = BadLines() if bad is None else bad
    if settings.aggregate is None and _was_cut(data):
        settings = replace(settings, aggregate="MaxP")
    source = _Source(data, collection=collection, offline=offline, bad=bad)
    runs = source.ranking.runs(settings.split)
    first = _chosen_run(run, runs) or System(name=BM25)
    contest = find_contest(first=first, model=model, teacher=teacher, baselines=baselines, runs=runs)
    qrels = _judged(source.ranking, settings)
    candidates = _candidates(first, source, qrels, settings)
    _require_judged(candidates, qrels, settings)
    made: dict[str, Run] = {}
    looked_at: dict[str, Run] = {}
    for name, system in contest.systems.items():
        if system.model is None:
            ranked = candidates if name == contest.first else _read(system, source, qrels, settings)
        else:
            own: dict[str, Any] = {"passage_vectors": passage_vectors, "precision": settings.precision}
            own = own if name == contest.tested else {}
            scorer = load_scorer(system.model, threads=threads, offline=offline, **own)
            ranked = _rerank(scorer, source, candidates, qrels, name=name)
        if name in (contest.tested, contest.teacher) and name != contest.first:
            looked_at[name] = ranked
        # The scores of a first stage are no logits, of which a probability could be made.
        own_scores = system.model is not None or name == contest.tested
        made[name] = _documents(ranked, settings, how=settings.aggregate if own_scores else "MaxP")
    evaluation = evaluate_runs(
        qrels=qrels,
        runs=made,
        system=contest.tested,
        first_stage=contest.first,
        teacher=contest.teacher,
        measures=settings.measures,
        seed=settings.seed,
    )
    return Evaluated(
        evaluation=evaluation,
        run=made[contest.tested],
        inputs=_inputs(source.ranking, contest, settings.precision),
        settings=settings,
        alarms=_alarms(looked_at, candidates, contest, evaluation, source.ranking.queries, qrels),
    )


class JudgedQueries:
    """Judged queries and what the first stage found for them, on which any scorer can be measured.

    Args:
        data: See ``evaluate_ranking``.
        settings: What is measured, and on what.
        run: Candidates, as for ``evaluate_ranking``.
        collection: The file of passages where it is not in the folder.
        offline: Never use the network.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: As ``evaluate_ranking``.
    """

    def __init__(
        self,
        data: str | Path,
        *,
        settings: EvaluateSettings,
        run: str | None = None,
        collection: Path | None = None,
        offline: bool = False,
        bad: BadLines | None = None,
    ) -> None:
        if settings.aggregate is None and _was_cut(data):
            settings = replace(settings, aggregate="MaxP")
        self._settings = settings
        self._source = _Source(data, collection=collection, offline=offline, bad=BadLines() if bad is None else bad)
        self._qrels = _judged(self._source.ranking, settings)
        first = _chosen_run(run, self._source.ranking.runs(settings.split)) or System(name=BM25)
        self._candidates = _candidates(first, self._source, self._qrels, settings)
        _require_judged(self._candidates, self._qrels, settings)

    def measure(self, scorer: Scorer, *, name: str) -> tuple[Run, Measures]:
        """Return the scores of all candidates, those of a query in the first stage's order, and what they are worth."""
        run = _rerank(scorer, self._source, self._candidates, self._qrels, name=name)
        return run, self.measure_run(run)

    def measure_run(self, run: Run) -> Measures:
        """Return what a run of passages is worth."""
        documents = _documents(run, self._settings, how=self._settings.aggregate)
        return measure(self._qrels, documents, self._settings.measures)

    def texts(self) -> dict[str, dict[str, tuple[str, str]]]:
        """Return query_id -> doc_id -> query and passage, of all that is re-ranked, best candidates first."""
        queries, passages = self._source.ranking.queries, self._source.passages
        chosen = {query_id: self._candidates[query_id] for query_id in self._qrels if self._candidates.get(query_id)}
        require_texts(chosen, queries, passages)
        return {
            query_id: {doc_id: (queries[query_id].text, passages[doc_id].content) for doc_id in ranking(scores)}
            for query_id, scores in chosen.items()
        }

    @property
    def passages(self) -> PassageStore:
        """The collection."""
        return self._source.passages

    def scores(self, scorer: Scorer, *, name: str) -> tuple[Run, Qrels]:
        """Return the scores of all candidates, of documents where these are what is judged, and the judgements."""
        run = _rerank(scorer, self._source, self._candidates, self._qrels, name=name)
        return _documents(run, self._settings, how=self._settings.aggregate), self._qrels

    def pairs(self, most: int) -> list[tuple[str, str]]:
        """Return up to ``most`` queries with candidates, evenly over queries and ranks."""
        ids = [(query_id, doc_id) for query_id in self._qrels for doc_id in ranking(self._candidates.get(query_id, {}))]
        queries, passages = self._source.ranking.queries, self._source.passages
        chosen = [ids[place * len(ids) // most] for place in range(most)] if len(ids) > most else ids
        return [(queries[query_id].text, passages[doc_id].content) for query_id, doc_id in chosen]


def _alarms(
    runs: Mapping[str, Run],
    candidates: Run,
    contest: Contest,
    evaluation: Evaluation,
    queries: Mapping[str, Query],
    qrels: Qrels,
) -> list[Finding]:
    """Return what is suspicious about these systems."""
    found: list[Finding] = []
    for name, run in runs.items():
        found += ranker_alarms(
            run,
            candidates,
            name=name,
            first_stage=contest.first,
            measured=evaluation.measured[name],
            first_measured=evaluation.measured[contest.first],
        )
        found += query_leak(contest.systems[name].model, name=name, queries=queries, qrels=qrels)
    return found


class _Source:
    """The data; its passages are opened when a model or BM25 first needs them."""

    def __init__(self, data: str | Path, *, collection: Path | None, offline: bool, bad: BadLines) -> None:
        self._open = partial(open_ranking, data, collection=collection, offline=offline, bad=bad)
        self.ranking: RankingData = self._open()
        self.bad = bad

    @cached_property
    def passages(self) -> PassageStore:
        with counted("indexing passages", shown=_is_watched()) as count:
            return self._open(progress=count).passages


def _was_cut(data: str | Path) -> bool:
    """Tell whether ``prepare`` made this folder of documents, so that its judgements are of documents."""
    manifest = Path(data) / "manifest.json"
    return manifest.is_file() and bool(read_json(manifest).get("settings", {}).get("cut"))


def _is_watched() -> bool:
    return sys.stderr.isatty()


def _chosen_run(given: str | None, runs: Mapping[str, Path]) -> System | None:
    """Return the run to re-rank; None when there is none to choose and BM25 has to make one."""
    if given is None and len(runs) == 1:
        given = next(iter(runs))
    if given is None:
        given = BM25 if BM25 in runs else None
    return None if given is None else find_run(given, runs)


def _judged(source: RankingData, settings: EvaluateSettings) -> Qrels:
    qrels = source.qrels(settings.split)
    chosen = [query_id for query_id in sorted(qrels) if qrels[query_id]][: settings.max_queries]
    return {query_id: qrels[query_id] for query_id in chosen}


def _candidates(first: System, source: _Source, qrels: Qrels, settings: EvaluateSettings) -> Run:
    """Return the first stage's run: passages where documents were cut, and no deeper than wished."""
    if first.run is not None:
        run = shorten(_read(first, source, qrels, settings), depth=settings.depth)
        return as_passages(run, source.passages) if settings.aggregate is not None else run
    queries = source.ranking.queries
    return bm25_candidates(
        source.passages,
        {query_id: queries[query_id] for query_id in qrels if query_id in queries},
        depth=settings.depth or BM25_DEPTH,
        progress=_is_watched(),
    )


def _require_judged(candidates: Run, qrels: Qrels, settings: EvaluateSettings) -> None:
    """Refuse candidates of which not one is judged: ids that do not match look like a system that finds nothing."""
    found = _documents(candidates, settings, how="MaxP")
    if any(doc_id in judged for query_id, judged in qrels.items() for doc_id in found.get(query_id, {})):
        return
    hint = "" if settings.aggregate else "; where documents were cut to passages, give --aggregate MaxP"
    raise InputError(
        f"not one candidate of the {len(qrels)} judged queries of split {settings.split!r} is judged; "
        f"check that run, data and split belong together{hint}"
    )


def _rerank(scorer: Scorer, source: _Source, candidates: Run, qrels: Qrels, *, name: str) -> Run:
    return rerank(
        scorer,
        queries=source.ranking.queries,
        passages=source.passages,
        candidates=candidates,
        query_ids=qrels,
        progress=_is_watched(),
        description=name,
    )


def _documents(run: Run, settings: EvaluateSettings, *, how: Aggregation | None) -> Run:
    if settings.aggregate is None or how is None:
        return run
    return aggregate_documents(run, how, k=settings.k)


def _read(system: System, source: _Source, qrels: Qrels, settings: EvaluateSettings) -> Run:
    """Read a run; of fewer queries than are judged if that is wished, so that the others do not look unjudged."""
    if system.run is None:
        raise ValueError(f"{system.name} is no run with a file")
    run = read_run(system.run, bad=source.bad)
    return run if settings.max_queries is None else shorten(run, query_ids=qrels)


def _inputs(source: RankingData, contest: Contest, precision: Precision) -> dict[str, Path]:
    """Return the files behind the data and the systems, by name."""
    files = {f"{name}: {path.name}": path for name, system in contest.systems.items() for path in system.files}
    if precision != "fp32" and (model := contest.systems[contest.tested].model) is not None:
        chosen = network_file(Path(model), precision)
        files[f"{contest.tested}: {chosen.name}"] = chosen
    return {**input_files(source, ()), **files}
