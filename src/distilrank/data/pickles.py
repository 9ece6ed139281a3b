"""Pickles: files of weights that may run code when they are loaded, and that distilrank never loads as such.

The one door is ``distilrank convert``, which reads the tensors of a ``pytorch_model.bin`` with everything else refused
(``torch.load(weights_only=True)``) and leaves safetensors.
"""

from __future__ import annotations

from pathlib import Path

from distilrank.errors import ModelError

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Their suffixes."""


def pickles_in(folder: Path) -> list[Path]:
    """Return the pickles of a model folder."""
    return sorted(path for path in folder.iterdir() if path.suffix in PICKLES)


def refuse_pickles(folder: Path) -> None:
    """Refuse a model folder that has its weights in nothing else.

    Raises:
        ModelError: It has.
    """
    found = pickles_in(folder)
    if found and not [*folder.glob("*.safetensors"), *folder.glob("onnx/*.onnx")]:
        raise ModelError(
            f"{folder} has its weights in {found[0].name}, a pickle, which can run code when it is loaded and is never "
            "read; a ranker or classifier becomes safetensors with: distilrank convert"
        )
