"""``distilrank convert``: rankers of other forms into the one that every consumer loads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def convert(
    model: Annotated[Path, typer.Argument(help="Folder of a ranker or classifier, or of a bi-encoder; minilm-l6.")],
    out: Annotated[Path, typer.Option(help="Folder of the result; it appears whole or not at all.")],
    head: Annotated[
        Literal["relu", "plain", "cosine", "late_interaction"] | None,
        typer.Option(
            help="relu or plain: whether a ReLU stands before the classifier. Or make a ranker of a bi-encoder."
        ),
    ] = None,
    relevant: Annotated[int, typer.Option(help="Which of two logits is that of 'relevant'.")] = 1,
    keep_classes: Annotated[
        bool, typer.Option("--keep-classes", help="A classifier of two classes: leave its two logits.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Refit a ReLU head on these: a prepared folder, groups, or labelled texts.")
    ] = None,
    texts: Annotated[int, typer.Option(help="Most texts of --data, the first ones.")] = 10_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the result of another convert.")] = False,
) -> None:
    r"""Convert a ranker with two logits, or with TinyBERT's head, into the usual form.

    Two logits are folded into one, exactly: it is their difference, by which such rankers rank. A head of TinyBERT's
    code has a ReLU that other libraries leave out; it is exact in onnx/model.onnx, and with --data it is refitted to
    the usual head, which loses a little: how much is printed and put on the card. A bi-encoder becomes a ranker without
    training: cosine reads both texts together, late_interaction apart, as the bi-encoder does.

    \b
    Examples:
      distilrank convert downloads/monobert --out runs/monobert
      distilrank convert downloads/simplified-tinybert --out runs/tiny --head relu
      distilrank convert downloads/tinybert-4l --out runs/tiny-classic --data runs/msmarco
      distilrank convert minilm-l6 --head late_interaction --out runs/warm
    """
    from distilrank.workflows.convert import ConvertSettings
    from distilrank.workflows.convert import convert as run

    settings = ConvertSettings(head=head, relevant=relevant, keep_classes=keep_classes, texts=texts)
    command = "distilrank " + " ".join(sys.argv[1:])
    for sentence in run(model, out, settings=settings, data=data, command=command, overwrite=overwrite):
        print(sentence)
    print(out)
