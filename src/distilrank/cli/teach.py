"""``distilrank teach``: teacher scores, made once and kept with their history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def teach(
    out: Annotated[
        Path, typer.Option(help="Folder of the scores; run again, a stopped run goes on. Or a .jsonl file.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder that prepare made (its groups are scored), or a JSONL file of groups.")
    ] = None,
    teacher: Annotated[
        list[str] | None, typer.Option(help="Cross-encoder: a folder, a hub name, or an exported .onnx; repeatable.")
    ] = None,
    bi_encoder: Annotated[
        str | None, typer.Option(help="Bi-encoder (of sentence-transformers): a folder, a hub name, or minilm-l6.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Re-ranker behind HTTP: its address.")] = None,
    endpoint_form: Annotated[Literal["tei", "cohere", "jina"], typer.Option(help="What the server speaks.")] = "tei",
    endpoint_model: Annotated[str | None, typer.Option(help="The model's name in requests (cohere, jina).")] = None,
    key_from: Annotated[str | None, typer.Option(help="Environment variable that holds the server's key.")] = None,
    scores_from: Annotated[
        Path | None, typer.Option(help="Scores at hand: MS MARCO teacher triples, a TREC run, or JSONL.")
    ] = None,
    groups: Annotated[Path | None, typer.Option(help="JSONL groups instead of the folder's own.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Score a run's candidates: a TREC file or a run of the folder.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Score plain pairs: JSONL (query, passage) or TSV of 2 or 4 columns.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of the folder's runs and judgements.")] = "train",
    depth: Annotated[int | None, typer.Option(help="Of a run, the best so many of each query.")] = None,
    collection: Annotated[Path | None, typer.Option(help="The passages, where they lie elsewhere.")] = None,
    limit: Annotated[int | None, typer.Option(help="Score only so many groups, queries or pairs, the first.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest pair (or text); by default the teacher's own limit.")
    ] = None,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Of the forward pass.")] = "fp32",
    batch_tokens: Annotated[int | None, typer.Option(help="Most tokens run at once.")] = None,
    shard_pairs: Annotated[int, typer.Option(help="Pairs of a shard, which is what a killed run may lose.")] = 8192,
    processes: Annotated[int, typer.Option(help="Workers.")] = 1,
    threads: Annotated[int | None, typer.Option(help="Processor threads of each; shared out by default.")] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="This machine, or a Ray cluster.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of the cluster; by default one is started here.")] = None,
    groups_out: Annotated[
        Path | None, typer.Option(help="Also write groups with the scores, as JSONL, to train on with --groups.")
    ] = None,
    first_stage_weight: Annotated[
        float | None,
        typer.Option(help=".jsonl only: weight of the first stage's scores, in standard deviations of a group; 0.15."),
    ] = None,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Score (query, passage) pairs with a teacher once, to train on the scores many times.

    The scores go into a folder of Parquet shards with a manifest that says whose scores of what they are; several
    teachers have a folder each. fine-tune and distil take it with --scores. A killed run goes on when the same command
    is given again, and ends in the same bytes. With --out FILE.jsonl, a bi-encoder's and the first stage's scores are
    mixed and written into groups.

    \b
    Examples:
      distilrank teach --data runs/openqa --teacher runs/teacher --out runs/openqa/scores
      distilrank teach --data runs/openqa --teacher runs/teacher --bi-encoder minilm-l6 --out runs/openqa/both
      distilrank teach --data runs/openqa --run BM25 --depth 50 --teacher cross-encoder/ms-marco-MiniLM-L6-v2 \
        --precision bf16 --processes 2 --out runs/openqa/candidates
      distilrank teach --pairs pairs.tsv --endpoint http://localhost:8080 --out runs/scores
      distilrank teach --pairs pairs.jsonl --endpoint https://api.cohere.com --endpoint-form cohere \
        --endpoint-model rerank-v3.5 --key-from COHERE_API_KEY --out runs/scores
      distilrank teach --scores-from bert_cat_ensemble.tsv --data runs/msmarco --groups-out triples.jsonl --out scores
      distilrank teach --data runs/openqa --teacher runs/teacher --engine ray --processes 8 --out runs/openqa/scores
      distilrank teach --data runs/openqa --out runs/openqa/groups/scored.jsonl --limit 10000
    """
    from distilrank.data.given_scores import GivenScores
    from distilrank.data.lines import BadLines
    from distilrank.data.offline import network_forbidden
    from distilrank.teaching.endpoint import EndpointSettings
    from distilrank.teaching.teachers import BiEncoderTeacher, EndpointTeacher, Running, Teacher, find_teacher
    from distilrank.workflows import teach as work
    from distilrank.workflows.scored_groups import score_into_groups, write_scored_groups
    from distilrank.workflows.teach_input import open_pairs

    bad = BadLines(allowed=skip_bad)
    if ".jsonl" in out.suffixes:
        others = {"--teacher": teacher, "--endpoint": endpoint, "--scores-from": scores_from, "--run": run}
        _refuse(out, {**others, "--pairs": pairs, "--groups": groups, "--groups-out": groups_out})
        weight = 0.15 if first_stage_weight is None else first_stage_weight
        written = score_into_groups(
            bi_encoder or "minilm-l6",
            data=data,
            out=out,
            first_stage_weight=weight,
            limit=limit,
            max_tokens=max_tokens or 256,
            precision=precision,
            offline=offline,
            bad=bad,
        )
        print(f"{out}: {written:,} scored groups")
        return
    _refuse(out, {"--first-stage-weight": first_stage_weight})
    running = Running(max_tokens=max_tokens, precision=precision, batch_tokens=batch_tokens)
    teachers: list[Teacher] = [find_teacher(name, running=running, offline=offline) for name in teacher or ()]
    if bi_encoder is not None:
        teachers.append(BiEncoderTeacher(source=bi_encoder, running=running, offline=offline))
    if endpoint is not None:
        asked = EndpointSettings(url=endpoint, form=endpoint_form, model=endpoint_model, key_from=key_from)
        teachers.append(EndpointTeacher(settings=asked))
    work.require_one_source(teachers, scores_from)
    with network_forbidden(offline):
        if scores_from is not None:
            given = GivenScores(scores_from, limit=limit, bad=bad)
            taught = [work.keep_given_scores(given, out, shard_pairs=shard_pairs)]
        else:
            what = open_pairs(
                data=data,
                groups=groups,
                run=run,
                split=split,
                pairs=pairs,
                collection=collection,
                depth=depth,
                limit=limit,
                bad=bad,
            )
            shared_out = work.TeachSettings(
                engine=engine, address=address, processes=processes, threads=threads, shard_pairs=shard_pairs
            )
            taught = work.teach(teachers, what, out, settings=shared_out)
    if bad.skipped:
        print(bad.listing())
    for done in taught:
        print(f"{done.folder}: {done.pairs:,} scores, {done.scored:,} of them made now")
    if groups_out is not None:
        count = write_scored_groups(
            taught[0].folder, groups_out, data=data, groups=groups, split=split, collection=collection, bad=bad
        )
        print(f"{groups_out}: {count:,} scored groups")


def _refuse(out: Path, given: dict[str, object]) -> None:
    """Refuse options that this kind of output has no use for."""
    from distilrank.errors import SettingsError

    foreign = [name for name, value in given.items() if value]
    if foreign:
        kind = "a file, which holds groups scored by a bi-encoder" if ".jsonl" in out.suffixes else "a folder"
        raise SettingsError(
            f"--out {out} is {kind}; leave out {' and '.join(foreign)}, or give the other kind of --out"
        )
