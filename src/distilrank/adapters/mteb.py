"""MTEB: a model of its cross-encoder protocol, as ``mteb.evaluate(model, tasks)`` takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import file_hash
from distilrank.errors import MissingExtraError
from distilrank.runtime.ranker import Ranker

try:
    from mteb.models import ModelMeta
except ModuleNotFoundError as error:
    raise MissingExtraError("mteb", extra="mteb", purpose="to be evaluated by MTEB") from error


class DistilrankCrossEncoder:
    """Re-ranks in MTEB's tasks.

    MTEB keeps results by name and revision and does not evaluate twice. So the revision is a hash of the network that
    is run: a model that was trained anew in the same folder is evaluated anew.

    Args:
        model_name: A model folder, as ``distilrank export`` leaves it.
        revision: Under which MTEB keeps the results. None: the hash.
        options: Those of ``Ranker.load``; MTEB keeps the results of others apart.

    Attributes:
        ranker: What scores.
        mteb_model_meta: What MTEB is told of the model; its name is ``distilrank/`` and the folder's.
    """

    def __init__(self, model_name: str | Path, revision: str | None = None, **options: Any) -> None:
        self.ranker = Ranker.load(model_name, **options)
        folder = self.ranker.folder.resolve()
        halves = (folder / "onnx" / "encoder.onnx", folder / "onnx" / "head.onnx")
        files = (self.ranker.file,) if self.ranker.file else halves
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": f"distilrank/{folder.name}",
                "revision": revision or "-".join(file_hash(file)[:16] for file in files),
                "model_type": ["cross-encoder"],
                "framework": ["ONNX"],
                "experiment_kwargs": {name: str(value) for name, value in options.items()} or None,
            }
        )

    def predict(
        self, inputs1: Iterable[Mapping[str, Any]], inputs2: Iterable[Mapping[str, Any]], **kwargs: Any
    ) -> NDArray[np.float32]:
        """Return one raw logit per pair, shape (pairs,).

        Args:
            inputs1: Batches with the queries under ``text``.
            inputs2: Batches with as many documents under ``text``.
            kwargs: What else MTEB tells (task, split, subset, batch size); the ranker needs none of it.
        """
        queries, documents = ([text for batch in inputs for text in batch["text"]] for inputs in (inputs1, inputs2))
        return self.ranker.score(list(zip(queries, documents, strict=True)))
