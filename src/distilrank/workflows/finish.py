"""The end of every training verb: the folder that is left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distilrank.data.differences import first_difference
from distilrank.data.files import read_json, write_manifest
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ResumeError
from distilrank.evaluation.diagnostics.findings import Finding
from distilrank.export.onnx import export_onnx, require_libraries
from distilrank.models.bilstm import BiLstmForSequenceClassification
from distilrank.models.facts import count_parameters, weight_megabytes
from distilrank.models.save import save_model
from distilrank.training.journal import Journal, read_events
from distilrank.training.loop import WITHOUT_EFFECT, TrainingResult
from distilrank.training.processes import from_first
from distilrank.workflows.ancestry import known_ancestry
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
        alarms: What is suspicious about the teacher's scores, and about the model's on dev.
    """

    folder: Path
    result: TrainingResult
    parameters: int
    alarms: Sequence[Finding] = ()


def decisive(command: Mapping[str, object]) -> dict[str, object]:
    """Return what makes a command another one, as JSON values: all of it but how the loop logs and saves.

    Args:
        command: Hashes of models and data, and under ``settings`` the procedure's.
    """
    content: dict[str, Any] = json.loads(json.dumps(command))
    stages = [table for table in content.get("settings", {}).values() if isinstance(table, dict)]  # such as training
    for name in WITHOUT_EFFECT:
        for stage in stages:
            stage.pop(name, None)
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
    history = folder / manifest.get("journal", f"{RUN}/journal.jsonl")
    done = history.with_name("done.json")
    if not (done.is_file() and (folder / "config.json").is_file()):
        return None
    state = read_json(done)
    result = TrainingResult(
        steps=state["step"],
        best_step=state["best_step"],
        best_value=state["best_value"],
        history=history,
    )
    return Trained(folder=folder, result=result, parameters=manifest["parameters"], alarms=alarms_of(result))


def alarms_of(result: TrainingResult) -> list[Finding]:
    """Return the alarms in a run's journal that concern the weights it ended with, each once."""
    events = read_events(result.history, "alarm") if result.history.is_file() else []
    found = [
        Finding(check=event["check"], level=event["level"], message=event["message"])
        for event in events
        if event["step"] in (0, result.best_step)
    ]
    return list(dict.fromkeys(found))


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
    alarms: Sequence[Finding] = (),
) -> Trained:
    """Save a trained network with everything it takes to use it and to explain it a year later.

    Of several processes the first one saves, and the others wait.

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
        alarms: What was suspicious before the training; the journal gets them, and the card has all.
    """

    def save() -> Trained:
        with Journal(result.history, stage="before training") as journal:
            for each in alarms:
                journal.write("alarm", step=0, check=each.check, level=each.level, message=each.message)
        raised = alarms_of(result)
        model.to("cpu")  # type: ignore[arg-type]
        save_model(model, tokenizer, folder)
        if card.onnx:
            export_onnx(model, tokenizer, folder)
        parameters = count_parameters(model).total
        megabytes = weight_megabytes(folder)
        full_card = replace(
            card,
            parameters=parameters,
            megabytes=megabytes,
            max_tokens=tokenizer.max_tokens,
            limits=[*card.limits, *(finding.message for finding in raised)],
        )
        write_model_card(folder, full_card)
        outputs = {"weights": folder / "model.safetensors"}
        if card.onnx:
            outputs["onnx"] = folder / "onnx" / "model.onnx"
        extra = {
            "started_from": started_from,
            "parameters": parameters,
            "journal": result.history.relative_to(folder).as_posix(),
            "card": card_as_json(full_card),
        }
        write_manifest(folder, verb=verb, settings=command, inputs=inputs, outputs=outputs, extra=extra)
        return Trained(folder=folder, result=result, parameters=parameters, alarms=raised)

    return from_first(save)


@dataclass(frozen=True, kw_only=True)
class Making:
    """A training verb at work.

    Attributes:
        verb: Of the command line.
        out: Folder of the model that is made.
        told: What was told to do; see ``finish``.
        started_from: Folder or hub name of the checkpoint that is trained.
        teacher: Folder or hub name, where there is one.
        command: The command line.
        seed: Of the training.
    """

    verb: str
    out: Path
    told: Mapping[str, object]
    started_from: str
    teacher: str | None = None
    command: str
    seed: int

    def done_before(self) -> Trained | None:
        """Return what the same command left before; see ``finished``."""
        return finished(self.out, verb=self.verb, command=self.told)

    def finish(
        self,
        model: PreTrainedModel,
        tokenizer: PairTokenizer,
        result: TrainingResult,
        *,
        made_by: str,
        examples: str,
        count: int,
        inputs: Mapping[str, Path],
        task: str = "text-ranking",
        classic: bool = True,
        onnx: bool = True,
        losses: Sequence[str] = (),
        alarms: Sequence[Finding] = (),
    ) -> Trained:
        """Save what was trained, with its card; see ``finish`` and ``ModelCard``.

        Args:
            model: Trained.
            tokenizer: Its tokeniser.
            result: How the training ended.
            made_by: Procedure and objective.
            examples: What was trained on, as in "groups of nfcorpus".
            count: How many of them.
            inputs: Files that were trained on.
            task: As the hub names it.
            classic: Whether transformers alone loads it, unless it is a BiLSTM.
            onnx: Whether it is exported.
            losses: Names of the terms.
            alarms: What was suspicious before the training.
        """
        ancestry = known_ancestry(self.teacher or self.started_from)
        bilstm = isinstance(model, BiLstmForSequenceClassification)
        card = ModelCard(
            name=self.out.name,
            made_by=made_by,
            data=f"{count:,} {examples}",
            classic=classic and not bilstm,
            reads_apart=bilstm,
            onnx=onnx,
            task=task,
            ancestry=ancestry,
            base_model=self.started_from if self.teacher is None and ancestry is None else None,
            teacher=None if self.teacher is None else Path(self.teacher).name,
            losses=losses,
            training_examples=count,
            command=self.command,
            seed=self.seed,
        )
        return finish(
            model,
            tokenizer,
            self.out,
            verb=self.verb,
            result=result,
            card=card,
            command=self.told,
            inputs=inputs,
            started_from=self.started_from,
            alarms=alarms,
        )
