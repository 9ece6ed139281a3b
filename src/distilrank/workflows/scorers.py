"""A model that a user names, opened as something that scores."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from distilrank.errors import MissingExtraError, ModelError
from distilrank.scorer import Scorer

if TYPE_CHECKING:
    from distilrank.models.scorer import TorchScorer


def load_scorer(model: str | Path, *, threads: int | None = None, offline: bool = False) -> Scorer:
    """Open a ranker: the exported network of a folder, which needs no torch, or else its torch network.

    Args:
        model: A model folder, a name on the hub, or an alias that ``load_model`` knows.
        threads: Processor threads; None takes all cores.
        offline: Never use the network.

    Raises:
        ModelError: There is no such model, it cannot be loaded, or it has more than one logit.
        OfflineError: It would have to be downloaded, and may not or could not.
        MissingExtraError: It needs torch, which is not installed.
    """
    if _export_of(model).is_file():
        from distilrank.runtime.ranker import Ranker

        return Ranker.load(model, threads=threads)
    scorer = load_network(model, threads=threads, offline=offline)
    labels = int(scorer.model.config.num_labels or 0)
    if labels != 1:
        raise ModelError(f"a ranker has one logit, {model} has {labels}")
    return scorer


def load_network(model: str | Path, *, threads: int | None = None, offline: bool = False) -> TorchScorer:
    """Open the torch network of a ranker or classifier with its tokeniser; see ``load_scorer``."""
    if find_spec("torch") is None:
        raise MissingExtraError("torch", extra="train", purpose=f"because {model} holds no onnx/model.onnx")
    import torch

    from distilrank.models.load import load_model
    from distilrank.models.scorer import TorchScorer

    if threads is not None:
        torch.set_num_threads(threads)
    return TorchScorer(*load_model(model, offline=offline))


def weight_files(model: str | Path) -> list[Path]:
    """Return the files of a folder that decide what ``load_scorer`` makes of it; none for a model of the hub."""
    folder = Path(model)
    if not folder.is_dir():
        return []
    exported = _export_of(folder)
    return [exported] if exported.is_file() else sorted(folder.glob("*.safetensors"))


def _export_of(model: str | Path) -> Path:
    return Path(model) / "onnx" / "model.onnx"
