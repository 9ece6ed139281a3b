"""From a siamese ranker and a collection to the collection's vectors, so that ranking encodes queries only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from distilrank.data.files import file_hash
from distilrank.data.folder import RankingFolder
from distilrank.data.lines import BadLines
from distilrank.data.passage_vectors import FOLDER, vectors_identity, write_passage_vectors
from distilrank.models.answers import usual_device
from distilrank.models.bilstm import load_bilstm
from distilrank.models.siamese_scorer import SiameseScorer
from distilrank.workflows.progress import counted


def encode_passages(
    model: Path,
    *,
    data: Path,
    collection: Path | None = None,
    out: Path | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    bad: BadLines | None = None,
) -> tuple[Path, int]:
    """Encode every passage of a folder; run again, a stopped run goes on.

    Args:
        model: Folder of a siamese BiLSTM with one logit.
        data: Folder with the passages.
        collection: The passages, when they lie elsewhere.
        out: Folder of the vectors. None: ``passage-vectors`` in the model's folder, where ``rank`` and ``evaluate``
            find them.
        dtype: Of the vectors on disk.
        bad: How many bad lines may be skipped.

    Returns:
        The folder, and the number of passages.

    Raises:
        ModelError: The model is no siamese BiLSTM with one logit.
        ResumeError: ``out`` holds a part of other vectors.
    """
    network, tokenizer = load_bilstm(model)
    network.to(usual_device())  # type: ignore[arg-type]
    scorer = SiameseScorer(network, tokenizer)
    folder = RankingFolder(data, collection=collection, bad=bad)
    out = model / FOLDER if out is None else out
    with counted("encoding passages") as count:
        written = write_passage_vectors(
            out,
            folder.passages,
            scorer.encode,
            width=scorer.width,
            identity=vectors_identity(model, tokenizer),
            collection=file_hash(folder.collection),
            dtype=dtype,
            progress=count,
        )
    return out, written
