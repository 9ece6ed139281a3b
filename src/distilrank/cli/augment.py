"""``distilrank augment``: variants of labelled texts for a student to learn from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def augment(
    data: Annotated[Path, typer.Option(help="Folder that prepare made, or a file of labelled texts or pairs.")],
    out: Annotated[Path, typer.Option(help="A .jsonl or .tsv file to write, or a folder like --data's.")],
    method: Annotated[str, typer.Option(help="tinybert (Algorithm 1), or rules (Tang et al.).")] = "tinybert",
    mlm: Annotated[
        str | None, typer.Option(help="Masked-language model: a folder or a hub name; word vectors serve without it.")
    ] = None,
    vectors: Annotated[Path | None, typer.Option(help="Word vectors in word2vec's or GloVe's text form.")] = None,
    task: Annotated[str | None, typer.Option(help="Take the published settings of a task, such as sst2.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all draws.")] = None,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any other setting; repeatable.")] = None,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Write labelled texts or pairs again with variants of each, in the form that distil reads.

    Variants have the label of their original; a teacher's soft labels are what a student should learn from them. Each
    text of a pair is augmented beside the other as it was. A killed run goes on when the same command is given again.

    \b
    Examples:
      distilrank augment --data runs/sst2 --out runs/sst2-augmented --mlm bert-base-uncased --vectors glove.txt \
        --task sst2
      distilrank augment --data train.tsv --out augmented.jsonl --mlm runs/minilm-mlm --vectors w2v.txt.gz \
        --set candidates=original
      distilrank augment --data runs/sst2 --out augmented.jsonl --method rules
      distilrank augment --data train.tsv --out augmented.tsv --vectors w2v.txt.gz
    """
    from distilrank.data.lines import BadLines
    from distilrank.data.settings_files import read_settings
    from distilrank.workflows.augment import AugmentationSources, method_named, settings_of_task
    from distilrank.workflows.augment import augment as run

    given = {**settings_of_task(method, task), "seed": seed}
    chosen = read_settings(method_named(method).settings, settings, given=given, changes=set_ or ())
    bad = BadLines(allowed=skip_bad)
    augmented = run(
        method,
        data=data,
        out=out,
        settings=chosen,
        sources=AugmentationSources(mlm=mlm, vectors=vectors, offline=offline),
        command="distilrank " + " ".join(sys.argv[1:]),
        bad=bad,
    )
    for error in bad.skipped:
        print(f"skipped: {error}", file=sys.stderr)
    already = " (done before)" if augmented.was_done else ""
    print(f"{augmented.out}: {augmented.examples:,} examples from {augmented.originals:,}{already}")
