"""``distilrank export``: make a model folder run without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    model: Annotated[Path, typer.Argument(help="Model folder, as distil or fine-tune leaves it.")],
) -> None:
    r"""Write onnx/model.onnx into a model folder, after comparing it with torch.

    The file holds the weights, takes any batch and length, and is written only when its logits equal torch's to
    1e-4. After this, rank and Ranker need no torch.

    \b
    Examples:
      distilrank export runs/student
      python -c 'from distilrank import Ranker; print(Ranker.load("runs/student").rank("a query", ["one", "two"]))'
    """
    from distilrank.export.onnx import export_onnx
    from distilrank.models.load import load_model

    path = export_onnx(*load_model(model, offline=True), model)
    print(f"{path}\t{path.stat().st_size / 1e6:.1f} MB")
