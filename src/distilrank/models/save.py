"""A network to a classic Hugging Face folder, the form that every consumer loads."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import PreTrainedModel

from distilrank.data.tokens import PairTokenizer
from distilrank.models.load import name_labels, quiet_transformers, stored_label_names

RAW_LOGITS = {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.0.0"}
"""Read by sentence-transformers from 4.0.0 on; without it ``CrossEncoder`` squashes one-logit scores with a
sigmoid, which saturates."""


def save_model(
    model: PreTrainedModel, tokenizer: PairTokenizer, folder: str | Path, *, card: str | None = None
) -> None:
    """Write config, fp32 safetensors, tokeniser files and model card; all or nothing.

    Other files already in the folder (journal, checkpoints) stay, except a stale ``onnx`` folder.

    Args:
        model: Its device and dtype do not matter and are left as they are.
        tokenizer: Its ``max_tokens`` becomes ``model_max_length``.
        folder: Made when missing.
        card: Content of ``README.md``; None writes none.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    num_labels = len(stored_label_names(model.config))
    name_labels(model.config, None, num_labels=num_labels)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        staging = Path(temporary) / folder.name
        _write_weights(model, staging)
        _complete_config(staging / "config.json", one_logit=num_labels == 1)
        tokenizer.save(staging)
        if card is not None:
            (staging / "README.md").write_text(card, encoding="utf-8", newline="\n")
        _move(staging, folder)


def _write_weights(model: PreTrainedModel, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` in fp32 without touching the network."""
    weights = {name: weight.detach().to("cpu", torch.float32) for name, weight in model.state_dict().items()}
    with quiet_transformers():
        model.save_pretrained(folder, state_dict=weights)
    # safetensors makes its files readable by their owner only.
    for path in folder.glob("*.safetensors"):
        shutil.copymode(folder / "config.json", path)


def _complete_config(path: Path, *, one_logit: bool) -> None:
    """State the dtype written, and ask for raw logits from rankers."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    config.pop("sentence_transformers", None)
    if one_logit:
        config["sentence_transformers"] = RAW_LOGITS
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8", newline="\n")


def _move(staging: Path, folder: Path) -> None:
    """Put a finished folder in place: by one rename when there is none yet, else file by file.

    ``config.json`` goes last: a folder without one is refused when loading, so a kill in between leaves
    either the old model, or one that says that it is not whole.
    """
    if not folder.exists():
        staging.rename(folder)
        return
    (folder / "config.json").unlink(missing_ok=True)
    # An export of the former weights would go on answering for the new ones.
    shutil.rmtree(folder / "onnx", ignore_errors=True)
    for path in sorted(staging.iterdir(), key=lambda path: path.name == "config.json"):
        path.replace(folder / path.name)
