"""From a teacher folder and prepared data to a distilled student in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distilrank.data.files import file_hash
from distilrank.data.lines import BadLines
from distilrank.data.settings_files import as_json
from distilrank.data.tokens import PairTokenizer
from distilrank.data.triples import SampledPairs
from distilrank.errors import ModelError, SettingsError, nearest
from distilrank.evaluation.diagnostics import Finding
from distilrank.models.answers import usual_device
from distilrank.models.load import load_model, stored_label_names, weights_identity
from distilrank.models.matching import require_names_in_order, require_positions
from distilrank.models.scorer import TorchScorer
from distilrank.models.two_logits import fold_two_logits
from distilrank.procedures import bert_rankers, score_distillation, simplified_tinybert, standard_distillation, tinybert
from distilrank.procedures.bert_rankers import BertRankersSettings
from distilrank.procedures.score_distillation import ScoreDistillationSettings
from distilrank.procedures.simplified_tinybert import SimplifiedTinyBertSettings
from distilrank.procedures.standard_distillation import StandardDistillationSettings
from distilrank.procedures.tinybert import TinyBertSettings
from distilrank.records import Group
from distilrank.scorer import Scorer
from distilrank.workflows.alarms import say_alarms, teacher_alarms
from distilrank.workflows.filtered_positives import filtered_groups
from distilrank.workflows.finish import RUN, Making, Trained, decisive
from distilrank.workflows.student import StudentSettings
from distilrank.workflows.training_data import (
    PROBLEM_TYPES,
    DevSettings,
    LabelledData,
    RankingData,
    is_labelled,
    transfer_set,
)

VERB = "distil"
Settings = (
    BertRankersSettings
    | ScoreDistillationSettings
    | SimplifiedTinyBertSettings
    | StandardDistillationSettings
    | TinyBertSettings
)


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """A way to distil.

    Attributes:
        settings: The class of its settings.
        distil: Its function.
        paper: How its paper is named on a card.
        augments: Whether it learns from augmented examples besides the data's own.
        groups: Whether it learns from whole groups, a query with its passages, instead of pairs.
        bilstm: Whether its student may be a BiLSTM.
        tasks: Task -> dotted names of settings -> what they are for it unless told otherwise.
    """

    settings: type[Settings]
    distil: Callable[..., Any]
    paper: str
    augments: bool = False
    groups: bool = False
    bilstm: bool = False
    tasks: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


PROCEDURES: dict[str, Procedure] = {
    "simplified_tinybert": Procedure(
        settings=SimplifiedTinyBertSettings,
        distil=simplified_tinybert.distil,
        paper="Simplified TinyBERT (Chen et al. 2021, arXiv 2009.07531)",
    ),
    "bert_rankers": Procedure(
        settings=BertRankersSettings,
        distil=bert_rankers.distil,
        paper="BERT rankers under distillation (Gao, Dai, Callan 2020, arXiv 2007.11088)",
    ),
    "tinybert": Procedure(
        settings=TinyBertSettings,
        distil=tinybert.distil,
        paper="TinyBERT (Jiao et al. 2020, arXiv 1909.10351)",
        augments=True,
        tasks=tinybert.TASKS,
    ),
    "standard": Procedure(
        settings=StandardDistillationSettings,
        distil=standard_distillation.distil,
        paper="standard distillation (Hinton et al. 2015, arXiv 1503.02531)",
    ),
    "scores": Procedure(
        settings=ScoreDistillationSettings,
        distil=score_distillation.distil,
        paper="distillation of a teacher's scores",
        groups=True,
        bilstm=True,
    ),
}


def procedure_named(name: str) -> Procedure:
    """Return a procedure by its name on the command line.

    Raises:
        SettingsError: There is none of that name.
    """
    if name not in PROCEDURES:
        known = [*PROCEDURES, "bilstm"]  # whose student is no BERT: see distil_bilstm
        raise SettingsError(f"procedure {name!r} is unknown{nearest(name, known)}; there are {', '.join(known)}")
    return PROCEDURES[name]


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
    scores: Path | None = None,
    augmented: Sequence[Path] = (),
    filter_positives: float | None = None,
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
        scores: Folder of teacher scores that the groups are joined with.
        augmented: Files of examples, as ``augment`` writes them, that join the data's own where TinyBERT learns from
            the teacher.
        filter_positives: Least probability, by the teacher, of a passage of a relevant document that is trained on as
            relevant; see ``data.document_triples``. None: all passages of relevant documents are.
        command: The command line, for the card.
        offline: Whether to use only what is on this machine.
        bad: How many bad lines may be skipped.
    """
    procedure = procedure_named(name)
    if augmented and not procedure.augments:
        able = ", ".join(other for other, each in PROCEDURES.items() if each.augments)
        raise SettingsError(f"{name} takes no augmented examples, but {able} does; or make them the data")
    teacher_model, teacher_tokenizer = load_model(teacher, offline=offline)
    source = open_for_teacher(
        data, teacher_model, groups=groups, scores=scores, filter_positives=filter_positives, bad=bad
    )
    if procedure.groups:
        require_groups(name, source, triples)
    told: dict[str, object] = {
        "procedure": name,
        "teacher": weights_identity(teacher),
        "student": student.identity,
        "settings": as_json(settings),
        "triples": triples,
        "filter_positives": filter_positives,
        "augmented": [file_hash(file) for file in augmented] or None,
        "judged_by": as_json(dev) if isinstance(source, RankingData) and source.folder is not None else None,
        **source.identity,
    }
    seed, begun = settings.training.seed, student.start or teacher
    making = Making(verb=VERB, out=out, told=told, started_from=begun, teacher=teacher, command=command, seed=seed)
    before = making.done_before()
    if before is not None:
        return before
    network, tokenizer = student.build(
        teacher_model, teacher_tokenizer, seed=seed, offline=offline, bilstm=procedure.bilstm
    )
    tokenizer = tokenizer.with_max_tokens(settings.max_tokens)
    alarms: list[Finding] = []
    if isinstance(source, RankingData) and isinstance(settings, ScoreDistillationSettings):
        alarms = teacher_alarms(source.groups, {asked.name: asked.temperature for asked in settings.objectives})
        say_alarms(alarms)
    reader = None if filter_positives is None else _reader(teacher_model, teacher_tokenizer, settings)
    whole, threshold = procedure.groups, filter_positives
    examples = _examples(
        source, settings, reader, triples=triples, whole=whole, threshold=threshold, told=told, out=out
    )
    transfer = {"augmented": transfer_set(examples, augmented, bad=bad)} if augmented else {}
    added = len(transfer["augmented"]) - len(examples) if transfer else 0
    result = procedure.distil(
        network,
        teacher_model,
        tokenizer,
        examples,
        teacher_tokenizer=teacher_tokenizer,
        settings=settings,
        folder=out / RUN,
        command=decisive(told),
        evaluate=_judge(source, network, tokenizer, settings, dev),
        **transfer,
    )
    losses = [asked.name for asked in settings.objectives] if isinstance(settings, ScoreDistillationSettings) else []
    return making.finish(
        network,
        tokenizer,
        result,
        made_by=procedure.paper + (f" ({', '.join(losses)})" if losses else ""),
        losses=losses,
        examples=f"{'groups' if procedure.groups else 'examples'} from {data.name}"
        + (f" and {added:,} augmented ones" if added else ""),
        count=len(examples),
        inputs={"data": source.file, **{f"augmented {number}": file for number, file in enumerate(augmented, start=1)}},
        task="text-classification" if isinstance(source, LabelledData) else "text-ranking",
        classic=not getattr(settings, "as_published", False),  # its head has a ReLU
        alarms=alarms,
    )


def _examples(
    source: LabelledData | RankingData,
    settings: Settings,
    teacher: Scorer | None,
    *,
    triples: int | None,
    whole: bool,
    threshold: float | None,
    told: Mapping[str, object],
    out: Path,
) -> Sequence[Any]:
    """Return what is trained on: labelled texts, or triples drawn from groups (or whole groups), perhaps filtered."""
    if isinstance(source, LabelledData):
        return source.train.examples
    groups: Sequence[Group] = source.groups
    if threshold is not None and teacher is not None:
        filtering = {"teacher": told["teacher"], "max_tokens": settings.max_tokens, **source.identity}
        groups = filtered_groups(groups, teacher, threshold=threshold, folder=out / RUN, command=filtering)
    if whole:
        return groups
    count = 2 * len(groups) if triples is None else triples
    return SampledPairs(groups, triples=count, seed=settings.training.seed)


def require_groups(name: str, source: LabelledData | RankingData, triples: int | None) -> None:
    """Refuse what a procedure that learns from whole groups has no use for.

    Raises:
        SettingsError: The data is labelled texts, or triples are to be drawn.
    """
    if isinstance(source, LabelledData):
        raise SettingsError(f"{name} learns from a query's passages, and the data is labelled texts; take standard")
    if triples is not None:
        raise SettingsError(f"{name} learns from whole groups, so --triples has no meaning; give --epochs or --steps")


def _judge(
    source: LabelledData | RankingData,
    student: PreTrainedModel,
    tokenizer: PairTokenizer,
    settings: Settings,
    dev: DevSettings,
) -> Callable[[], Mapping[str, float]] | None:
    """Give the student the data's kind of problem, and return what measures it; None where nothing can."""
    scorer = TorchScorer(student, tokenizer, precision=settings.training.precision)
    if isinstance(source, LabelledData):
        student.config.problem_type = PROBLEM_TYPES[source.train.kind]
        return source.judge(scorer)
    student.config.problem_type = None  # a ranker's one logit is neither a class nor a number
    return source.judge(scorer, dev)


def settings_for(task: str | None, procedure: str) -> Mapping[str, object]:
    """Return what a task changes in a procedure's settings, by dotted name; nothing for None.

    Raises:
        SettingsError: The procedure knows no such task.
    """
    if task is None:
        return {}
    tasks = procedure_named(procedure).tasks
    if task not in tasks:
        known = f"; there are {', '.join(tasks)}" if tasks else f"; {procedure} is the same for every task"
        raise SettingsError(f"task {task!r} is unknown{nearest(task, tasks)}{known}")
    return tasks[task]


def _reader(teacher: PreTrainedModel, tokenizer: PairTokenizer, settings: Settings) -> TorchScorer:
    """Return the teacher as what scores passages before any training."""
    require_positions(teacher, settings.max_tokens)
    teacher.to(usual_device())  # type: ignore[arg-type]
    limited = tokenizer.with_max_tokens(settings.max_tokens)
    return TorchScorer(teacher, limited, precision=settings.training.precision)


def open_for_teacher(
    data: Path,
    teacher: PreTrainedModel,
    *,
    groups: Path | None,
    filter_positives: float | None,
    bad: BadLines | None,
    scores: Path | None = None,
) -> LabelledData | RankingData:
    """Open what is trained on, fold a ranker's two logits into one, and refuse a teacher whose logits do not fit.

    Raises:
        ModelError: With the teacher's number of labels and the data's.
        SettingsError: Positives are to be filtered where there are none.
    """
    labels = len(stored_label_names(teacher.config))
    if not is_labelled(data):
        if labels == 2:
            fold_two_logits(teacher)
        elif labels != 1:
            raise ModelError(
                f"the teacher has {labels} logits and a ranker has one, or two to be folded; "
                "make one with: distilrank fine-tune"
            )
        return RankingData.open(data, groups=groups, scores=scores, bad=bad)
    if filter_positives is not None:
        raise SettingsError("--filter-positives is for groups of passages, not for labelled texts")
    if scores is not None:
        raise SettingsError("--scores is for groups of passages, not for labelled texts")
    labelled = LabelledData.open(data, order=stored_label_names(teacher.config), bad=bad)
    needed = len(labelled.train.label_names) or 1
    problem = PROBLEM_TYPES[labelled.train.kind]
    if labels != needed or teacher.config.problem_type not in (None, problem):
        kind = teacher.config.problem_type or "no problem_type"
        raise ModelError(
            f"the teacher has {labels} label(s) and {kind}, but the data needs {needed} and {problem}; "
            "fine-tune a teacher on this data first"
        )
    own, names = stored_label_names(teacher.config), labelled.train.label_names
    require_names_in_order(names, own, of="the data", others_of="the teacher")
    return labelled
