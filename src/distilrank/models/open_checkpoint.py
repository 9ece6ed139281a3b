"""Checkpoints of TinyBERT's and older code: what their files leave unsaid, and the ReLU in their head.

The code of the TinyBERT family (huawei-noah/Pretrained-Language-Model, cxa-unique/Simplified-TinyBERT) computes
``W relu(pooled) + b`` and saves ``pytorch_model.bin`` with the weights of its projection, ``fit_dense``, beside a
``config.json`` that names neither family nor network. transformers cannot open such a folder, and where it can, it
leaves the ReLU out without a word.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from distilrank.data.files import read_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import ModelError
from distilrank.models.load import load_model
from distilrank.models.relu_head import MARK, use_relu_head

Head = Literal["relu", "plain"]
BIN, SAFE = "pytorch_model.bin", "model.safetensors"


def open_checkpoint(folder: Path, *, head: Head | None = None) -> tuple[PreTrainedModel, PairTokenizer]:
    """Load a ranker or classifier with the head it was trained with.

    Args:
        folder: With ``config.json``, ``model.safetensors`` or ``pytorch_model.bin``, and the tokeniser's files.
        head: "relu" or "plain" where the folder does not say which. None: it does.

    Raises:
        ModelError: The folder is not whole, has no head, or does not say which one and neither does ``head``.
    """
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no config.json; give the folder of a saved model")
    config, rows = read_json(folder / "config.json"), weight_rows(folder)
    head = head or known_head(config, rows)
    if head is None:
        raise ModelError(
            f"nothing in {folder} says whether its classifier reads what is positive of the pooled output, as "
            "TinyBERT's code does, or all of it, as transformers does; say --head relu or --head plain"
        )
    if not any(name.startswith(("classifier.", "head.")) for name in rows):
        raise ModelError(f"{folder} has no ranking or classification head; fine-tune it, or distil into it")
    completed = _complete(config, rows.get("classifier.weight"))
    if completed == config and (folder / SAFE).is_file():
        model, tokenizer = load_model(folder, offline=True)
    else:
        with tempfile.TemporaryDirectory(prefix="distilrank-") as temporary:
            whole = Path(temporary) / folder.name
            whole.mkdir()
            for path in folder.iterdir():
                if path.is_file() and path.name not in ("config.json", BIN):
                    (whole / path.name).symlink_to(path.resolve())
            if not (folder / SAFE).is_file():
                save_file({name: weight.clone() for name, weight in _tensors(folder).items()}, whole / SAFE)
            (whole / "config.json").write_text(json.dumps(completed), encoding="utf-8")
            model, tokenizer = load_model(whole, offline=True)
    if head == "relu":
        use_relu_head(model)
    return model, tokenizer


def known_head(config: Mapping[str, Any], names: Mapping[str, int]) -> Head | None:
    """Return what a checkpoint says of its head; None when it says nothing.

    Args:
        config: Content of ``config.json``.
        names: The checkpoint's weights by name.
    """
    if config.get("distilrank_head") == MARK or any(name.startswith("fit_dense") for name in names):
        return "relu"
    # Written by transformers (or distilrank) from a network of its own, none of which has the ReLU.
    return "plain" if "transformers_version" in config and config.get("architectures") else None


def weight_rows(folder: Path) -> dict[str, int]:
    """Return the number of rows of each weight of a checkpoint.

    Raises:
        ModelError: The folder has no weights, or they cannot be read.
    """
    try:
        if (folder / SAFE).is_file():
            with safe_open(folder / SAFE, "pt") as file:
                shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (it is no dict)
        elif (folder / BIN).is_file():
            shapes = {name: list(weight.shape) for name, weight in _tensors(folder).items()}
        else:
            raise ModelError(f"{folder} holds neither model.safetensors nor {BIN}; give the folder of a saved model")
    except ModelError:
        raise
    except Exception as error:  # torch's unpickler and safetensors raise whatever comes
        raise ModelError(f"the weights in {folder} cannot be read ({str(error).splitlines()[0]})") from error
    return {name: shape[0] if shape else 1 for name, shape in shapes.items()}


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of a pickle, in which anything else is refused."""
    weights: dict[str, Tensor] = torch.load(folder / BIN, map_location="cpu", weights_only=True)
    return weights


def _complete(config: Mapping[str, Any], labels: int | None) -> dict[str, Any]:
    """Return what transformers needs to open the folder as what it is; the ReLU is put in afterwards.

    Args:
        config: Content of ``config.json``.
        labels: Rows of ``classifier.weight``. None: the head has another form, so the network is a family of
            transformers', which names itself.
    """
    completed = {name: value for name, value in config.items() if name != "distilrank_head"}
    if labels is None:
        return completed
    completed.setdefault("model_type", "bert")
    if not any("ForSequenceClassification" in name for name in config.get("architectures") or ()):
        completed["architectures"] = ["BertForSequenceClassification"]
    if len(completed.get("id2label") or ()) != labels:
        completed["id2label"] = {str(label): f"LABEL_{label}" for label in range(labels)}
        completed["label2id"] = {f"LABEL_{label}": label for label in range(labels)}
    return completed
