"""The end of every training verb: the folder that is left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distilrank.data.files import read_json, write_manifest
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ResumeError
from distilrank.export.onnx import export_onnx, require_libraries
from distilrank.models.facts import count_parameters, weight_megabytes
from distilrank.models.save import save_model
from distilrank.training.loop import WITHOUT_EFFECT, TrainingResult
from distilrank.training.run_folder import first_difference
from distilrank.workflows.model_card import ModelCard, card_as_json, write_model_card

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


def decisive(command: Mapping[str, object]) -> dict[str, object]:
    """Return what makes a command another one, as JSON values: all of it but how the loop logs and saves.

    Args:
        command: Hashes of models and data, and under ``settings`` the procedure's.
    """
    content: dict[str, Any] = json.loads(json.dumps(command))
    for name in WITHOUT_EFFECT:
        content.get("settings", {}).get("training", {}).pop(name, None)
    return content


def finished(folder: Path, *, verb: str, command: Mapping[str, object]) -> Trained | None:
    """Return what the same command left in a folder before; None when there is something to do.

    Raises:
        InputError: Another verb made the folder.
        ResumeError: The same verb made it by another command.
        MissingExtraError: ``finish`` could not export the model; better known before the training than after.
    """
    require_libraries()
    if not (folder / "manifest.json").is_file():
        return None
    manifest = read_json(folder / "manifest.json")
    if manifest.get("verb") != verb:
        problem = f"was made by distilrank {manifest.get('verb')}, not {verb}; give --out another folder"
        raise InputError(problem, path=folder)
    difference = first_difference(decisive(manifest["settings"]), decisive(command))
    if difference:
        raise ResumeError(f"{folder} holds the result of another command: {difference}; give --out another folder")
    done = folder / RUN / "done.json"
    if not (done.is_file() and (folder / "config.json").is_file()):
        return None
    state = read_json(done)
    result = TrainingResult(
        steps=state["step"],
        best_step=state["best_step"],
        best_value=state["best_value"],
        history=folder / RUN / "journal.jsonl",
    )
    return Trained(folder=folder, result=result, parameters=manifest["parameters"])


def finish(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    folder: Path,
    *,
    verb: str,
    result: TrainingResult,
    card: ModelCard,
    command: Mapping[str, object],
    inputs: Mapping[str, Path],
    started_from: str,
) -> Trained:
    """Save a trained network with everything it takes to use it and to explain it a year later.

    Args:
        model: Trained; it is moved to the CPU.
        tokenizer: Its tokeniser, with the limit on tokens that it was trained with.
        folder: Of the model.
        verb: Of the command line.
        result: How the training ended.
        card: Without size and limit on tokens, which are filled in here.
        command: What was told to do; ``finished`` compares it.
        inputs: Files that were trained on.
        started_from: Folder or hub name of the checkpoint, to trace ancestry by.
    """
    model.to("cpu")  # type: ignore[arg-type]
    save_model(model, tokenizer, folder)
    export_onnx(model, tokenizer, folder)
    parameters = count_parameters(model).total
    megabytes = weight_megabytes(folder)
    full_card = replace(card, parameters=parameters, megabytes=megabytes, max_tokens=tokenizer.max_tokens)
    write_model_card(folder, full_card)
    outputs = {"weights": folder / "model.safetensors", "onnx": folder / "onnx" / "model.onnx"}
    extra = {"started_from": started_from, "parameters": parameters, "card": card_as_json(full_card)}
    write_manifest(folder, verb=verb, settings=command, inputs=inputs, outputs=outputs, extra=extra)
    return Trained(folder=folder, result=result, parameters=parameters)
