"""The folder of a model that was made without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.files import write_manifest
from distilrank.data.tokens import PairTokenizer
from distilrank.export.onnx import export_onnx
from distilrank.models.facts import weight_megabytes
from distilrank.models.save import save_model
from distilrank.workflows.model_card import ModelCard, card_as_json, write_model_card


def write_model_folder(
    folder: Path,
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    card: ModelCard,
    *,
    verb: str,
    settings: Mapping[str, object],
    inputs: Mapping[str, Path],
    extra: Mapping[str, object],
) -> None:
    """Write weights, tokeniser, ONNX, card and manifest.

    Args:
        folder: There already, and empty.
        model: Goes into it.
        tokenizer: Likewise.
        card: Gets the size of the weights.
        verb: Of the command line.
        settings: Of the verb, as JSON values.
        inputs: Name -> file that was read.
        extra: What else the manifest says.
    """
    save_model(model, tokenizer, folder)
    outputs = {"weights": folder / "model.safetensors", "onnx": export_onnx(model, tokenizer, folder)}
    card = replace(card, megabytes=weight_megabytes(folder))
    write_model_card(folder, card)
    full = {**extra, "parameters": card.parameters, "card": card_as_json(card)}
    write_manifest(folder, verb=verb, settings=settings, inputs=inputs, outputs=outputs, extra=full)
