"""The whole line on a collection that every machine has: from raw text to a small ranker and proof of what it kept.

Sized by steps, never by the clock, for under 15 minutes on two cores; run again, it goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from distilrank.data.files import library_versions, read_json, write_json
from distilrank.data.settings_files import as_json
from distilrank.errors import ResumeError
from distilrank.models.load import load_model
from distilrank.procedures.fine_tune import FineTuneSettings
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings
from distilrank.procedures.standard_distillation import StandardDistillationSettings
from distilrank.training.settings import Precision, TrainingSettings
from distilrank.workflows.distil import distil
from distilrank.workflows.docstrings import write_collection
from distilrank.workflows.fine_tune import fine_tune_on_groups
from distilrank.workflows.first_stage import FirstStageSettings
from distilrank.workflows.prepare import PrepareSettings, prepare_ranking
from distilrank.workflows.quickstart_report import PLAIN, STUDENT, TEACHER, Judged, judge
from distilrank.workflows.student import StudentSettings
from distilrank.workflows.training_data import DevSettings
from distilrank.workflows.training_groups import GroupSettings


@dataclass(frozen=True, kw_only=True)
class QuickstartSettings:
    """How large everything is.

    Attributes:
        checkpoint: What the teacher starts from.
        layers: Of the student, copied from the teacher.
        test_queries: Never trained on and never looked at before the end.
        dev_queries: Decide nothing here but are there for the user's own trials.
        depth: BM25 candidates that are re-ranked.
        negatives: Per training group of the teacher ...
        negatives_from: ... drawn from this many of the best candidates.
        warm_steps: Optimiser steps of ``teacher_batch`` groups that the teacher is trained with a cosine head ...
        teacher_steps: ... and those that follow with its own head.
        teacher_batch: Groups per step.
        student_steps: Optimiser steps of ``student_batch`` pairs, the same for both students.
        student_batch: Pairs per step.
        warm_learning_rate: The highest one of the teacher's run with the cosine head ...
        teacher_learning_rate: ... and of the one with its own head.
        student_learning_rate: The same of both students.
        dropout: Of all trainings; they are too short to need any.
        max_tokens: Longest pair.
        precision: Of training. None: bf16 where the processor computes it, else fp32.
        seed: Of splits, draws, order, dropout and new weights.
    """

    checkpoint: str = "minilm-l6"
    layers: int = 3
    test_queries: int = 400
    dev_queries: int = 100
    depth: int = 20
    negatives: int = 7
    negatives_from: int = 50
    warm_steps: int = 180
    teacher_steps: int = 150
    teacher_batch: int = 8
    student_steps: int = 200
    student_batch: int = 64
    warm_learning_rate: float = 1e-4
    teacher_learning_rate: float = 2e-4
    student_learning_rate: float = 3e-4
    dropout: float = 0.0
    max_tokens: int = 96
    precision: Precision | None = None
    seed: int = 42


def quickstart(
    out: Path, settings: QuickstartSettings, *, say: Callable[[str], None] = print, command: str = ""
) -> Judged:
    """Run the line and leave ``teacher``, ``student``, ``data`` (BEIR form), ``report.html`` and ``results.json``.

    Args:
        out: Folder to fill.
        settings: How large everything is.
        say: Told what begins.
        command: The command line, for the record.
    """
    _claim(out, settings)
    prepared, plain = out / "prepared", out / "labels-only"
    stages: dict[str, Callable[[], None]] = {
        "Reading the docstrings of Python's standard library": lambda: _collection(out / "data", settings),
        "Ranking candidates with BM25": lambda: _prepare(out / "data", prepared, settings),
        "Fine-tuning the teacher": lambda: _teacher(prepared, out / TEACHER, settings, command),
        "Distilling the student (Simplified TinyBERT)": lambda: _student(prepared, out, settings, command),
        "Training the same student on labels only": lambda: _plain(prepared, out, plain, settings, command),
    }
    seconds: dict[str, float] = {}
    for number, (name, work) in enumerate(stages.items(), start=1):
        say(f"{number}/6  {name}")
        began = time.perf_counter()
        work()
        seconds[name] = round(time.perf_counter() - began, 1)
    say("6/6  Re-ranking unseen queries")
    models = {TEACHER: out / TEACHER, STUDENT: out / STUDENT, PLAIN: plain}
    facts = _facts(out, settings, seconds, command)
    return judge(out, prepared, models, depth=settings.depth, facts=facts, seconds=seconds)


def _claim(out: Path, settings: QuickstartSettings) -> None:
    """Refuse a folder in which another quickstart was begun."""
    file, now = out / "settings.json", as_json(settings)
    before = read_json(file) if file.is_file() else now
    for name, value in now.items():
        if before.get(name) != value:
            raise ResumeError(
                f"{out} holds a quickstart with {name} {before.get(name)!r}, not {value!r}; give another --out"
            )
    write_json(file, now)


def _facts(out: Path, settings: QuickstartSettings, seconds: Mapping[str, float], command: str) -> dict[str, str]:
    collection = read_json(out / "data" / "collection.json")
    return {
        "Command": command,
        "Collection": f"docstrings of Python's standard library, {collection['passages']:,} passages",
        "Training": f"{collection['queries']['train']:,} queries",
        "Test": f"{settings.test_queries} unseen queries, the best {settings.depth} of BM25 re-ranked",
        "Seed": str(settings.seed),
        "Versions": ", ".join(f"{name} {version}" for name, version in library_versions().items()),
        "Time": ", ".join(f"{name}: {spent:.0f} s" for name, spent in seconds.items()),
    }


def _collection(data: Path, settings: QuickstartSettings) -> None:
    if not (data / "collection.json").is_file():
        made = write_collection(data, test=settings.test_queries, dev=settings.dev_queries, seed=settings.seed)
        write_json(data / "collection.json", {"passages": made.passages, "queries": made.queries})


def _prepare(data: Path, prepared: Path, settings: QuickstartSettings) -> None:
    groups = GroupSettings(negatives=settings.negatives, negatives_from=settings.negatives_from, seed=settings.seed)
    prepare = PrepareSettings(first_stage=FirstStageSettings(depth=100), groups=groups, max_tokens=settings.max_tokens)
    prepare_ranking(data, prepared, settings=prepare)


def _training(settings: QuickstartSettings, *, steps: int, batch: int, learning_rate: float) -> TrainingSettings:
    precision = settings.precision or ("bf16" if computes_bf16() else "fp32")
    return TrainingSettings(
        max_steps=steps,
        batch_size=batch,
        learning_rate=learning_rate,
        precision=precision,
        dropout=settings.dropout,
        seed=settings.seed,
        trackers=(),
    )


def computes_bf16() -> bool:
    """Tell whether the processor multiplies bf16 matrices itself; elsewhere bf16 is slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _teacher(prepared: Path, out: Path, settings: QuickstartSettings, command: str) -> None:
    """Train twice: with the warm head, which uses what the checkpoint knows, then with the classic one."""
    warm = out.with_name(f"{out.name}-warm")
    runs: tuple[tuple[str, Path, Literal["cosine", "classic"], int, float, int], ...] = (
        (settings.checkpoint, warm, "cosine", settings.warm_steps, settings.warm_learning_rate, 0),
        (str(warm), out, "classic", settings.teacher_steps, settings.teacher_learning_rate, 100),
    )
    for start, folder, head, steps, rate, calibration in runs:
        model, tokenizer = load_model(start, num_labels=1, head=head, seed=settings.seed)
        training = _training(settings, steps=steps, batch=settings.teacher_batch, learning_rate=rate)
        fine_tune_on_groups(
            model,
            tokenizer,
            started_from=start,
            data=prepared,
            out=folder,
            settings=FineTuneSettings(
                max_tokens=settings.max_tokens, calibration_groups=calibration, training=training
            ),
            dev=DevSettings(split="none"),
            command=command,
        )


def _student(prepared: Path, out: Path, settings: QuickstartSettings, command: str) -> None:
    training = _student_training(settings)
    distilled = SimplifiedTinyBertSettings(max_tokens=settings.max_tokens, training=training)
    _distil("simplified_tinybert", prepared, out, out / STUDENT, distilled, settings, command)


def _plain(prepared: Path, out: Path, plain: Path, settings: QuickstartSettings, command: str) -> None:
    """Train the student on the same pairs for equal steps without its teacher: alpha 0 leaves only the labels."""
    labels = StandardDistillationSettings(
        alpha=0.0, max_tokens=settings.max_tokens, training=_student_training(settings)
    )
    _distil("standard", prepared, out, plain, labels, settings, command)


def _student_training(settings: QuickstartSettings) -> TrainingSettings:
    return _training(
        settings,
        steps=settings.student_steps,
        batch=settings.student_batch,
        learning_rate=settings.student_learning_rate,
    )


def _distil(
    procedure: str,
    prepared: Path,
    out: Path,
    folder: Path,
    chosen: SimplifiedTinyBertSettings | StandardDistillationSettings,
    settings: QuickstartSettings,
    command: str,
) -> None:
    distil(
        procedure,
        teacher=str(out / TEACHER),
        data=prepared,
        out=folder,
        student=StudentSettings(layers=settings.layers),
        settings=chosen,
        dev=DevSettings(split="none"),
        triples=settings.student_steps * settings.student_batch // 2,
        command=command,
    )
