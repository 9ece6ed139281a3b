"""``distilrank prepare``: raw data made ready for training, and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from distilrank.errors import InputError

if TYPE_CHECKING:
    from distilrank.data.cut_passages import CutSettings
    from distilrank.workflows.prepare import Prepared

_EXAMPLES_SHOWN = 2


def prepare(
    data: Annotated[
        str,
        typer.Option(help="Folder (BEIR, MS MARCO-like TSV, or files to classify), ir_datasets:ID or hf:OWNER/NAME."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make; it appears whole or not at all.")],
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(help="First-stage run: a TREC file, SPLIT=FILE, or a retriever in --data. Otherwise BM25."),
    ] = None,
    depth: Annotated[int, typer.Option(help="First-stage candidates kept per query.")] = 100,
    k1: Annotated[float, typer.Option("--bm25-k1", help="k1 of BM25.")] = 0.9,
    b: Annotated[float, typer.Option("--bm25-b", help="b of BM25.")] = 0.4,
    stem: Annotated[bool, typer.Option(help="English stems and stop words in BM25.")] = True,
    negatives: Annotated[int, typer.Option(help="Negatives per training group.")] = 7,
    negatives_from: Annotated[int | None, typer.Option(help="Sample negatives from this many best candidates.")] = None,
    skip_top: Annotated[int, typer.Option(help="Never take the unjudged ones of this many best candidates.")] = 0,
    positives: Annotated[int | None, typer.Option(help="Most positives per training group; all by default.")] = None,
    relevant_from: Annotated[int, typer.Option(help="Judgements from this grade on are positives.")] = 1,
    dev_share: Annotated[float, typer.Option(help="Share of train that becomes dev when there is no dev.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of train that becomes test when there is no test.")] = 0.0,
    resplit: Annotated[bool, typer.Option("--resplit", help="Put all queries together and split them anew.")] = False,
    unlabelled: Annotated[
        bool,
        typer.Option("--unlabelled", help="Train on queries that nobody judged; a teacher's scores are to follow."),
    ] = False,
    documents: Annotated[bool, typer.Option("--documents", help="Cut the collection's documents to passages.")] = False,
    window: Annotated[int | None, typer.Option(help="Words in a passage of a document; 150 by default.")] = None,
    stride: Annotated[int | None, typer.Option(help="Words from one such passage to the next; 75 by default.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries (or examples) per split.")] = None,
    text: Annotated[str | None, typer.Option(help="Classification: column of the text.")] = None,
    text_pair: Annotated[str | None, typer.Option(help="Classification: column of the second text.")] = None,
    label: Annotated[str | None, typer.Option(help="Classification: column of the label.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Model folder whose tokenizer measures lengths.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Token limit of training: 256, or 128 for classification.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of splits and samples.")] = 42,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what another prepare left in --out.")] = False,
) -> None:
    """Make splits, first-stage candidates and training groups, and have the data doctor look at them.

    Candidates come from BM25 or from the runs given. A passage judged relevant is a positive; negatives are drawn
    from the candidates, and a candidate that nobody judged counts as a negative (--skip-top passes over the
    likeliest mistakes). Splits share no query and no query text. Run again, a finished command returns at once.

    Queries and a collection without judgements are enough with --unlabelled: groups then hold --negatives candidates
    and no positive, for teach to score and for objectives that learn from scores. Queries that another split judges
    are left out of them.

    A folder with train.tsv, .csv or .jsonl and no queries is classification data, and so is a dataset of the hub that
    is named with a configuration, or with --text and --label: it is split, looked at and written in one form.

    Examples:
      distilrank prepare --data data/nfcorpus --out runs/nfcorpus --positives 4
      distilrank prepare --data data/openqa --collection passages.tsv.xz --run BM25 --out runs/openqa
      distilrank prepare --data data/logs --unlabelled --negatives 16 --out runs/logs
      distilrank prepare --data data/docs --documents --window 150 --stride 75 --out runs/docs
      distilrank prepare --data data/mrpc --dev-share 0.1 --out runs/mrpc
      distilrank prepare --data hf:nyu-mll/glue:qnli --out runs/qnli
      distilrank prepare --data ir_datasets:beir/nfcorpus --out runs/nfcorpus
    """
    from distilrank.data.hub import PREFIX
    from distilrank.data.named import is_named
    from distilrank.workflows.first_stage import FirstStageSettings
    from distilrank.workflows.prepare import PrepareSettings, prepare_ranking
    from distilrank.workflows.prepare_classification import ClassificationSettings as Settings
    from distilrank.workflows.prepare_classification import is_classification, prepare_classification
    from distilrank.workflows.training_groups import GroupSettings

    if not is_named(data) and not Path(data).is_dir():
        raise InputError("there is no such folder; check the path", path=data)
    paths: dict[str, Any] = {"tokenizer": tokenizer, "skip_bad": skip_bad, "overwrite": overwrite}
    splitting: dict[str, Any] = {"dev_share": dev_share, "test_share": test_share, "seed": seed}
    if is_classification(data) or (data.startswith(PREFIX) and (text or label)):
        if run or collection or documents or resplit or unlabelled:
            problem = (
                "is classification data, which has no --run, --collection, --documents, --resplit and --unlabelled"
            )
            raise InputError(problem, path=data)
        columns: dict[str, Any] = {"text": text, "text_pair": text_pair, "label": label}
        limits: dict[str, Any] = {"max_examples": max_queries, "max_tokens": 128 if max_tokens is None else max_tokens}
        paths["offline"] = offline
        show(prepare_classification(data, out, settings=Settings(**columns, **limits, **splitting), **paths))
        return
    settings = PrepareSettings(
        first_stage=FirstStageSettings(depth=depth, k1=k1, b=b, stemmer="english" if stem else None),
        groups=GroupSettings(
            negatives=negatives,
            negatives_from=negatives_from,
            skip_top=skip_top,
            positives=positives,
            relevant_from=relevant_from,
            seed=seed,
        ),
        resplit=resplit,
        unlabelled=unlabelled,
        max_queries=max_queries,
        cut=_cut(documents=documents, window=window, stride=stride),
        max_tokens=256 if max_tokens is None else max_tokens,
        **splitting,
    )
    show(prepare_ranking(data, out, settings=settings, collection=collection, runs=run or (), offline=offline, **paths))


def _cut(*, documents: bool, window: int | None, stride: int | None) -> CutSettings | None:
    """Return how documents are cut; None when they are not."""
    from distilrank.data.cut_passages import CutSettings

    if not documents:
        if window is not None or stride is not None:
            raise InputError("--window and --stride go with --documents")
        return None
    given = {"window": window, "stride": stride}
    return CutSettings(**{name: words for name, words in given.items() if words is not None})


def show(prepared: Prepared) -> None:
    """Print sizes and what the doctor found."""
    if prepared.was_done:
        print(f"{prepared.folder} was finished before by the same command; nothing to do")
        return
    facts = cast(Mapping[str, Any], prepared.doctor["facts"])
    for split, own in facts["splits"].items():
        shown = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in own.items())
        print(f"{split:6} {shown}")
    findings = cast(Sequence[Mapping[str, Any]], prepared.doctor["findings"])
    width = max(len(finding["check"]) for finding in findings)
    for finding in findings:
        if finding["level"] != "ok":
            print(f"{finding['level']:8} {finding['check']:{width}}  {finding['message']}")
            for example in finding["examples"][:_EXAMPLES_SHOWN]:
                print(f"{'':8} {'':{width}}  - {example}")
    good = [finding["check"] for finding in findings if finding["level"] == "ok"]
    print(f"{'ok':8} {', '.join(good)}")
    for problem in cast(Sequence[str], prepared.manifest["skipped"]):
        print(f"skipped  {problem}")
    print(f"{prepared.folder} is ready; all findings are in doctor.json")


def _number(value: object) -> str:
    """Return a number with thousands parted, or a small table in one line."""
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{name}: {_number(count)}" for name, count in value.items()) + ")"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
