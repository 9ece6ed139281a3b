"""The end of every training verb: the folder that is left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.files import write_manifest
from distilrank.data.tokens import PairTokenizer
from distilrank.export.onnx import export_onnx
from distilrank.models.facts import count_parameters, weight_megabytes
from distilrank.models.save import save_model
from distilrank.training.loop import TrainingResult
from distilrank.workflows.model_card import ModelCard, write_model_card

RUN = "run"
"""Where in a model's folder its journal and checkpoints lie."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training verb leaves behind.

    Attributes:
        folder: Weights, tokeniser, ``onnx/model.onnx``, model card, manifest, and the journal under ``run``.
        result: How the training ended.
        parameters: Number of weights.
    """

    folder: Path
    result: TrainingResult
    parameters: int


def finish(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    folder: Path,
    *,
    verb: str,
    result: TrainingResult,
    card: ModelCard,
    settings: Mapping[str, object],
    inputs: Mapping[str, Path],
    started_from: str,
) -> Trained:
    """Save a trained network with everything it takes to use it and to explain it a year later."""
    model.to("cpu")
    save_model(model, tokenizer, folder)
    export_onnx(model, tokenizer, folder)
    parameters = count_parameters(model).total
    megabytes = weight_megabytes(folder)
    full_card = replace(card, parameters=parameters, megabytes=megabytes, max_tokens=tokenizer.max_tokens)
    write_model_card(folder, full_card)
    outputs = {"weights": folder / "model.safetensors", "onnx": folder / "onnx" / "model.onnx"}
    write_manifest(
        folder,
        verb=verb,
        settings=settings,
        inputs=inputs,
        outputs=outputs,
        extra={"started_from": started_from, "parameters": parameters},
    )
    return Trained(folder=folder, result=result, parameters=parameters)
