"""From a teacher folder and prepared data to a distilled student in a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distilrank.data.files import file_hash
from distilrank.data.lines import BadLines
from distilrank.data.settings_files import as_json
from distilrank.data.triples import SampledPairs
from distilrank.errors import SettingsError, nearest
from distilrank.models.load import load_model, weights_identity
from distilrank.models.scorer import TorchScorer
from distilrank.models.students import (
    STUDENT_SHAPES,
    CopyRule,
    layers_to_copy,
    parse_shape,
    student_from_layers,
    student_from_shape,
)
from distilrank.procedures import simplified_tinybert, standard_distillation
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings
from distilrank.procedures.standard_distillation import StandardDistillationSettings
from distilrank.records import Example
from distilrank.workflows.ancestry import known_ancestry
from distilrank.workflows.finish import RUN, Trained, finish
from distilrank.workflows.model_card import ModelCard
from distilrank.workflows.training_data import DevSettings, LabelledData, RankingData, is_labelled

Settings = SimplifiedTinyBertSettings | StandardDistillationSettings


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """A way to distil: its settings, its function, and how its paper is named on a card."""

    settings: type[Settings]
    distil: Callable[..., Any]
    paper: str


PROCEDURES: dict[str, Procedure] = {
    "simplified_tinybert": Procedure(
        settings=SimplifiedTinyBertSettings,
        distil=simplified_tinybert.distil,
        paper="Simplified TinyBERT (Chen et al. 2021, arXiv 2009.07531)",
    ),
    "standard": Procedure(
        settings=StandardDistillationSettings,
        distil=standard_distillation.distil,
        paper="standard distillation (Hinton et al. 2015, arXiv 1503.02531)",
    ),
}


def procedure_named(name: str) -> Procedure:
    """Return a procedure by its name on the command line.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in PROCEDURES:
        raise SettingsError(
            f"procedure {name!r} is unknown{nearest(name, PROCEDURES)}; there are {', '.join(PROCEDURES)}"
        )
    return PROCEDURES[name]


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """What the student is before it is trained: exactly one of the four.

    Attributes:
        shape: layers/hidden/feed-forward/heads, such as 3/384/1536/12; weights are drawn at random.
        layers: How many layers of the teacher it starts from ...
        copy: ... and which: "uniform", "first", "last".
        copy_layers: The teacher's layers themselves, from 1.
        start: Folder or hub name of a checkpoint.
    """

    shape: str | None = None
    layers: int | None = None
    copy: CopyRule = "uniform"
    copy_layers: tuple[int, ...] | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        """Refuse none and several."""
        given = [name for name in ("shape", "layers", "copy_layers", "start") if getattr(self, name) is not None]
        if len(given) != 1:
            shapes = ", ".join(STUDENT_SHAPES)
            raise SettingsError(
                "say what the student is with exactly one of a shape (such as "
                f"{shapes}), a number of the teacher's layers, a list of them, or a checkpoint; given: "
                f"{', '.join(given) or 'none'}"
            )

    def build(self, teacher: PreTrainedModel, *, seed: int, offline: bool = False) -> PreTrainedModel:
        """Return the untrained student, with the teacher's labels."""
        labels = teacher.config.num_labels
        if self.start is not None:
            student, _ = load_model(self.start, num_labels=labels, head="classic", seed=seed, offline=offline)
            return student
        if self.shape is not None:
            return student_from_shape(teacher.config, parse_shape(self.shape), num_labels=labels, seed=seed)
        chosen = self.copy_layers or layers_to_copy(teacher.config.num_hidden_layers, self.layers or 0, self.copy)
        return student_from_layers(teacher, chosen, num_labels=labels, seed=seed)


def distil(
    name: str,
    *,
    teacher: str,
    data: Path,
    out: Path,
    student: StudentSettings,
    settings: Settings,
    dev: DevSettings,
    triples: int | None = None,
    groups: Path | None = None,
    command: str = "",
    offline: bool = False,
    bad: BadLines | None = None,
) -> Trained:
    """Distil a teacher into a student by a named procedure and save the student.

    Args:
        name: A key of ``PROCEDURES``.
        teacher: Folder or hub name.
        data: A folder that ``prepare`` made, a JSONL file of groups, or labelled texts.
        out: Folder of the student; the run's journal and checkpoints go to ``out/run``.
        student: What it is at the start.
        settings: Of the procedure.
        dev: How to judge a ranker on the way, when the folder has a dev split.
        triples: How many triples are drawn for a ranker. None: two for each group.
        groups: Groups to train on instead of the folder's own.
        command: The command line, for the card.
        offline: Whether to use only what is on this machine.
        bad: How many bad lines may be skipped.
    """
    procedure = procedure_named(name)
    teacher_model, teacher_tokenizer = load_model(teacher, offline=offline)
    student_model = student.build(teacher_model, seed=settings.training.seed, offline=offline)
    tokenizer = teacher_tokenizer.with_max_tokens(settings.max_tokens)
    scorer = TorchScorer(student_model, tokenizer, precision=settings.training.precision)
    examples: Sequence[Example]
    if is_labelled(data):
        labelled = LabelledData.open(data, bad=bad)
        examples, file, judge = labelled.train.examples, labelled.train_file, labelled.judge(scorer)
    else:
        ranking = RankingData.open(data, groups=groups, bad=bad)
        file, judge = ranking.groups_file, ranking.judge(scorer, dev)
        examples = SampledPairs(ranking.groups, triples=triples or 2 * len(ranking.groups), seed=settings.training.seed)
    identity = {
        "procedure": name,
        "teacher": weights_identity(teacher),
        "student": as_json(student),
        "settings": as_json(settings),
        "data": file_hash(file),
    }
    result = procedure.distil(
        student_model,
        teacher_model,
        tokenizer,
        examples,
        teacher_tokenizer=teacher_tokenizer,
        settings=settings,
        folder=out / RUN,
        command=identity,
        evaluate=judge,
    )
    card = ModelCard(
        name=out.name,
        made_by=procedure.paper,
        data=f"{len(examples):,} examples from {data.name}",
        task="text-classification" if is_labelled(data) else "text-ranking",
        ancestry=known_ancestry(teacher),
        teacher=Path(teacher).name,
        training_examples=len(examples),
        command=command,
        seed=settings.training.seed,
    )
    return finish(
        student_model,
        tokenizer,
        out,
        verb="distil",
        result=result,
        card=card,
        settings=identity,
        inputs={"data": file},
        started_from=student.start or teacher,
    )
