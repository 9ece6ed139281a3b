"""``distilrank trim``: a model without the tokens that its user's text does not need."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def trim(
    model: Annotated[str, typer.Argument(help="Ranker, classifier or encoder: a folder, a hub name, or minilm-l6.")],
    out: Annotated[Path, typer.Option(help="Folder of the result; it appears whole or not at all.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder that prepare made, JSONL groups, or a file of labelled texts.")
    ] = None,
    text: Annotated[
        list[Path] | None, typer.Option(help="Plain text, or passages as .tsv or .jsonl; repeatable.")
    ] = None,
    reserve: Annotated[
        int, typer.Option(help="Tokens kept in any case: so many from the start of the vocabulary.")
    ] = 2_000,
    min_count: Annotated[int, typer.Option(help="How often a token has to be seen to be kept.")] = 1,
    skip_bad: Annotated[int, typer.Option(help="Bad lines that may be skipped; they are listed.")] = 0,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the result of another trim.")] = False,
) -> None:
    r"""Cut a WordPiece vocabulary, and the embeddings with it, down to the tokens that your text uses.

    Kept are the tokens seen in the text, single characters, so that any word can still be spelt, and a reserve. Text
    that has no removed token gets the same scores, to the bit; other words fall back to smaller pieces, and how many
    of them there are is measured on texts that were held out, printed and put on the card. The model becomes smaller,
    not faster. Queries of test splits are not looked at.

    Trim a teacher before you distil and its students start with the small vocabulary too.

    \b
    Examples:
      distilrank trim runs/student --data runs/nfcorpus --out runs/student-trimmed
      distilrank trim minilm-l6 --text passages.tsv.xz --reserve 5000 --min-count 3 --out runs/minilm-small
      distilrank distil --teacher runs/teacher --student runs/minilm-small --procedure standard --data runs/nfcorpus \
        --out runs/student
    """
    from distilrank.data.lines import BadLines
    from distilrank.workflows.trim import TrimSettings
    from distilrank.workflows.trim import trim as run

    bad = BadLines(allowed=skip_bad)
    trimmed = run(
        model,
        out,
        settings=TrimSettings(min_count=min_count, reserve=reserve),
        data=data,
        texts=tuple(text or ()),
        command="distilrank " + " ".join(sys.argv[1:]),
        offline=offline,
        overwrite=overwrite,
        bad=bad,
    )
    for error in bad.skipped:
        print(f"skipped: {error}", file=sys.stderr)
    print(f"{trimmed.folder}: {trimmed.sentences()[0]}")
    for sentence in trimmed.sentences()[1:]:
        print(sentence)
