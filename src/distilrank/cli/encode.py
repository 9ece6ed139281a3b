"""``distilrank encode``: passages read ahead of any query."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def encode(
    model: Annotated[Path, typer.Argument(help="Folder of a siamese BiLSTM that ranks.")],
    data: Annotated[Path, typer.Option(help="Folder with the passages.")],
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to fill; passage-vectors in MODEL by default.")] = None,
    dtype: Annotated[
        Literal["float16", "float32"], typer.Option(help="On disk: half the space, or scores to the last digit.")
    ] = "float16",
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
) -> None:
    r"""Compute the vectors of all passages, so that ranking with a siamese BiLSTM has to read queries only.

    rank and evaluate use the vectors when they lie in the model's folder or are named with --passage-vectors, and
    refuse those of other weights. A passage that is not among them is read when it is scored.

    \b
    Examples:
      distilrank encode runs/bilstm --data runs/nfcorpus
      distilrank rank runs/bilstm --run bm25.trec --data runs/nfcorpus --out-run reranked.trec
    """
    from distilrank.data.lines import BadLines
    from distilrank.workflows.encode import encode_passages

    bad = BadLines(allowed=skip_bad)
    folder, count = encode_passages(model, data=data, collection=collection, out=out, dtype=dtype, bad=bad)
    if bad.skipped:
        print(bad.listing(), file=sys.stderr)
    megabytes = (folder / "vectors.npy").stat().st_size / 1e6
    print(f"{folder}: {count:,} passages, {megabytes:.1f} MB")
