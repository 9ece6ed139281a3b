"""Other packages that score pairs, opened on a model folder as their users open them.

They are no dependencies of distilrank and are imported by name: they are here only where a user has them.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.runtime.session import open_session


def open_sentence_transformers(folder: Path) -> Any:
    """Return sentence-transformers' ``CrossEncoder`` of a folder, on the processor."""
    from distilrank.models.load import quiet_transformers

    library: Any = importlib.import_module("sentence_transformers")
    with quiet_transformers():
        return library.CrossEncoder(str(folder), device="cpu", local_files_only=True)


def open_fastembed(folder: Path, file: Path, *, threads: int | None = None) -> Any:
    """Return fastembed's ``TextCrossEncoder`` with the folder as a model of the user's own.

    Args:
        folder: Of the model.
        file: Its network, inside the folder.
        threads: Of one forward pass; None leaves it to onnxruntime.
    """
    described: Any = importlib.import_module("fastembed.common.model_description")
    cross_encoder: Any = importlib.import_module("fastembed.rerank.cross_encoder").TextCrossEncoder
    name = f"local/{file.resolve()}"
    if name.lower() not in {model["model"].lower() for model in cross_encoder.list_supported_models()}:
        within = file.relative_to(folder).as_posix()
        cross_encoder.add_custom_model(model=name, sources=described.ModelSource(hf=name), model_file=within)
    return cross_encoder(name, specific_model_path=str(folder), local_files_only=True, threads=threads)


def open_flashrank(folder: Path, file: Path, *, threads: int | None = None) -> Any:
    """Return FlashRank's ``Ranker``, whose list of models has to be told of the folder.

    Args:
        folder: Of the model.
        file: Its network, inside the folder.
        threads: Of one forward pass. FlashRank itself has no such choice, so its session is opened anew, with nothing
            else changed; None leaves it as it is.
    """
    module: Any = importlib.import_module("flashrank.Ranker")
    path = folder.resolve()
    files = module.model_file_map
    before = files.get(path.name)
    files[path.name] = file.relative_to(folder).as_posix()
    try:
        with _logging_as_it_was():
            ranker = module.Ranker(path.name, cache_dir=str(path.parent), log_level="WARNING")
    finally:
        if before is None:
            del files[path.name]
        else:
            files[path.name] = before
    if threads is not None:
        ranker.session = open_session(file, threads=threads)
    return ranker


def flashrank_scores(ranker: Any, query: str, passages: Sequence[str]) -> NDArray[np.float64]:
    """Return the scores of ``Ranker.rerank``, sigmoids, in the order of the passages."""
    request: Any = importlib.import_module("flashrank.Ranker").RerankRequest
    texts = [{"id": place, "text": passage} for place, passage in enumerate(passages)]
    found = {each["id"]: float(each["score"]) for each in ranker.rerank(request(query=query, passages=texts))}
    return np.array([found[place] for place in range(len(passages))])


@contextmanager
def _logging_as_it_was() -> Iterator[None]:
    """Put the root logger back as it was: FlashRank configures it."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
