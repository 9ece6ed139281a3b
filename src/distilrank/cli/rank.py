"""``distilrank rank``: put passages in order from the shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from distilrank.errors import InputError
from distilrank.runtime.shipped import default_folder

STANDARD_INPUT = "-"


def rank(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="Model folder, as distil, fine-tune or export leaves it; the one that comes along by default."
        ),
    ] = None,
    query: Annotated[str | None, typer.Option(help="The query to rank passages for.")] = None,
    passages: Annotated[
        str, typer.Option(help="File of passages; - for standard input. One per line, or JSONL with text, title, _id.")
    ] = STANDARD_INPUT,
    run: Annotated[Path | None, typer.Option(help="TREC run with the candidates of many queries.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder with the queries and passages of --run.")] = None,
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    out_run: Annotated[Path | None, typer.Option(help="Where the re-ranked --run is written.")] = None,
    depth: Annotated[int | None, typer.Option(help="Re-rank this many candidates per query of --run.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Keep the best so many per query.")] = None,
    passage_vectors: Annotated[
        Path | None, typer.Option(help="Vectors that encode made; those in the model's folder by default.")
    ] = None,
    precision: Annotated[
        Literal["auto", "fp32", "int8"],
        typer.Option(help="auto: 8 bits where export judged them good on this kind of CPU."),
    ] = "auto",
    split_long: Annotated[
        bool, typer.Option("--split-long", help="Cut passages that are too long into windows; the best one counts.")
    ] = False,
    stride: Annotated[int, typer.Option(help="Tokens that windows of --split-long share.")] = 32,
    budget_tokens: Annotated[int, typer.Option(help="Most tokens read of a passage by --split-long.")] = 2048,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Show calibrated probabilities; run calibrate once before.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
    threads: Annotated[int | None, typer.Option(help="Processor threads; all cores by default.")] = None,
) -> None:
    r"""Rank passages for a query, or re-rank a run of many queries.

    Prints rank, score, passage id (or number from 0) and text, parted by tabs. Scores are raw logits: they order
    the passages of one query and are no probabilities, which --probabilities shows in their place. A folder with
    onnx/model.onnx is run without torch.

    \b
    Examples:
      distilrank rank --query "why is the sky blue" --passages passages.txt
      distilrank rank runs/student --query "why is the sky blue" --passages passages.txt --top-k 3
      grep -rh "" docs/*.txt | distilrank rank runs/student --query "how to install" --top-k 5 --json
      distilrank rank runs/student --run bm25.trec --data data/nfcorpus --out-run reranked.trec
    """
    if top_k is not None and top_k < 1:
        raise InputError(f"--top-k is {top_k}, give at least 1")
    if threads is not None and threads < 1:
        raise InputError(f"--threads is {threads}, give at least 1")
    model = model or default_folder()
    scored: dict[str, Any] = {"threads": threads, "passage_vectors": passage_vectors, "precision": precision}
    if split_long:
        from distilrank.runtime.pair_network import LongPassages

        scored["long_passages"] = LongPassages(stride=stride, budget_tokens=budget_tokens)
    if run is not None:
        if query is not None or data is None or out_run is None or probabilities:
            raise InputError("--run goes with --data FOLDER and --out-run FILE, without --query or --probabilities")
        _rank_run(model, run, data, collection, out_run=out_run, depth=depth, top_k=top_k, **scored)
    elif query is None or not query.strip():
        raise InputError("give a query with --query TEXT, or many with --run FILE --data FOLDER")
    else:
        if data is not None or collection is not None or out_run is not None or depth is not None:
            raise InputError("--data, --collection, --out-run and --depth go with --run FILE")
        _rank_passages(model, query, passages, top_k=top_k, as_json=as_json, probabilities=probabilities, **scored)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A passage as read: what the model reads, and its id when the file gives one."""

    content: str
    doc_id: str | None = None


def _rank_passages(
    model: Path, query: str, source: str, *, top_k: int | None, as_json: bool, probabilities: bool, **scored: Any
) -> None:
    """Rank the passages of a file or of standard input and print them."""
    from distilrank.runtime.calibration import require_calibration
    from distilrank.runtime.ranker import ranked
    from distilrank.workflows.scorers import load_scorer

    candidates = list(_read_candidates(source))
    if not candidates:
        raise InputError("holds no passages; give one per line", path=_shown(source))
    calibration = require_calibration(model) if probabilities else None
    texts = [candidate.content for candidate in candidates]
    scores = load_scorer(model, offline=True, **scored).score([(query, text) for text in texts])
    results = []
    for place in ranked(scores, texts, top_k=top_k):
        doc_id = candidates[place.index].doc_id
        identity = {"index": place.index} | ({} if doc_id is None else {"doc_id": doc_id})
        result: dict[str, Any] = {"rank": place.rank, "score": place.score}
        if calibration is not None:
            result["probability"] = float(calibration.probabilities(scores[place.index]))
        results.append({**result, **identity, "passage": place.passage})
        if not as_json:
            name = place.index if doc_id is None else doc_id
            shown = result.get("probability", place.score)
            print(f"{place.rank}\t{shown:.4f}\t{name}\t{' '.join(place.passage.split())}")
    if as_json:
        print(json.dumps({"query": query, "results": results}, ensure_ascii=False, indent=1))


def _rank_run(
    model: Path,
    run: Path,
    data: Path,
    collection: Path | None,
    *,
    out_run: Path,
    depth: int | None,
    top_k: int | None,
    **scored: Any,
) -> None:
    """Re-rank a run of many queries and write the new one."""
    from distilrank.data.folder import RankingFolder
    from distilrank.data.trec import ranking, read_run, write_run
    from distilrank.evaluation.rerank import rerank
    from distilrank.workflows.scorers import load_scorer

    folder = RankingFolder(data, collection=collection)
    reranked = rerank(
        load_scorer(model, offline=True, **scored),
        queries=folder.queries,
        passages=folder.passages,
        candidates=read_run(run),
        depth=depth,
        progress=sys.stderr.isatty(),
    )
    if top_k is not None:
        best = {query_id: ranking(scores)[:top_k] for query_id, scores in reranked.items()}
        reranked = {query_id: {name: reranked[query_id][name] for name in names} for query_id, names in best.items()}
    write_run(reranked, out_run, tag="-".join(model.resolve().name.split()) or "distilrank")
    print(f"re-ranked {len(reranked)} queries into {out_run}", file=sys.stderr)


def _read_candidates(source: str) -> Iterator[_Candidate]:
    """Yield passages; JSONL is told by a first line that is a JSON object with a text."""
    from distilrank.data.lines import BadLine, parse_identifier, parse_object, parse_text

    as_objects: bool | None = None
    for number, line in _read_lines(source):
        if not line.strip():
            continue
        if as_objects is None:
            as_objects = _is_record(line)
        if not as_objects:
            yield _Candidate(line.strip())
            continue
        try:
            record = parse_object(line)
            content = f"{parse_text(record, 'title', optional=True)} {parse_text(record, 'text')}".strip()
            given = next((name for name in ("_id", "doc_id", "id") if name in record), None)
            doc_id = None if given is None else parse_identifier(record[given], name=given)
        except BadLine as problem:
            raise InputError(str(problem), path=_shown(source), line=number) from None
        yield _Candidate(content, doc_id)


def _read_lines(source: str) -> Iterator[tuple[int, str]]:
    """Yield numbered lines of a file, unpacked, or of standard input."""
    from distilrank.data.lines import BadLine, decode_line, read_lines

    if source != STANDARD_INPUT:
        yield from read_lines(source)
        return
    for number, raw in enumerate(sys.stdin.buffer, start=1):
        try:
            yield number, decode_line(raw).removeprefix("\ufeff")
        except BadLine as problem:
            raise InputError(str(problem), path=_shown(source), line=number) from None


def _is_record(line: str) -> bool:
    """Tell whether a line is a JSON object with a text."""
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "text" in record


def _shown(source: str) -> str:
    """Return how a message names where passages come from."""
    return "standard input" if source == STANDARD_INPUT else source
