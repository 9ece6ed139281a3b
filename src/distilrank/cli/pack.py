"""``distilrank pack``: a ranker as a small folder to be handed over."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def pack(
    model: Annotated[Path, typer.Argument(help="Folder of a ranker with its export.")],
    out: Annotated[Path, typer.Option(help="Folder to make; it appears whole or not at all.")],
    data: Annotated[str, typer.Option(help="Folder with judged queries, or a public collection, that decide.")],
    split: Annotated[str, typer.Option(help="Whose queries and judgements.")] = "dev",
    embedding_bits: Annotated[int, typer.Option(help="Bits of word embeddings, 8 or 4.")] = 8,
    weight_bits: Annotated[int, typer.Option(help="Bits of the layers' matrices, 8 or 4.")] = 8,
    run: Annotated[str | None, typer.Option(help="Candidates, as for evaluate.")] = None,
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    margin: Annotated[float, typer.Option(help="Share of nDCG@10 that may be lost.")] = 0.01,
    depth: Annotated[int | None, typer.Option(help="Candidates per query that are scored.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries that decide, the first ones.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another packed model.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Copy what a ranker is run by into a folder of about a quarter of the size: its weights in 8 bits, or 4.

    Weights become floats again when the folder is loaded, so it gives the same scores on every processor, with or
    without 8-bit arithmetic, at the speed of fp32; for speed, see export --precision int8. It is written only if it
    ranks as well as the float file on your queries. The weights for training stay behind: keep the folder you pack.

    \b
    Examples:
      distilrank pack runs/student --data runs/data --out student-packed
      distilrank trim runs/student --data runs/data --out runs/trimmed
      distilrank pack runs/trimmed --data runs/data --split test --run BM25 --out trimmed-packed
      distilrank pack runs/trimmed --data runs/data --embedding-bits 4 --weight-bits 4 --margin 0.03 --out tiny
    """
    from distilrank.errors import SettingsError
    from distilrank.workflows.export import Int8Settings
    from distilrank.workflows.pack import pack as make

    settings = Int8Settings(split=split, margin=margin, depth=depth, max_queries=max_queries)
    for option, bits in {"--embedding-bits": embedding_bits, "--weight-bits": weight_bits}.items():
        if bits not in (4, 8):
            raise SettingsError(f"{option} is {bits}, give 8 or 4")
    packed = make(
        model,
        out,
        data=data,
        settings=settings,
        embedding_bits=4 if embedding_bits == 4 else 8,
        weight_bits=4 if weight_bits == 4 else 8,
        run=run,
        collection=collection,
        overwrite=overwrite,
        offline=offline,
    )
    print(packed.sentence(), file=sys.stderr)
    print(f"{packed.folder}\t{packed.megabytes:.1f} MB")
