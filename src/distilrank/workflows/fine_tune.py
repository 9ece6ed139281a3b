"""From a checkpoint and prepared data to a fine-tuned ranker or classifier in a folder."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel

from distilrank.data.lines import BadLines
from distilrank.data.settings_files import as_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError
from distilrank.models.cosine import BertForCosineRanking
from distilrank.models.load import load_model, stored_head, weights_identity
from distilrank.models.scorer import TorchScorer
from distilrank.procedures.fine_tune import FineTuneSettings, fine_tune_classifier, fine_tune_ranker
from distilrank.workflows.alarms import say_alarms, teacher_alarms
from distilrank.workflows.finish import RUN, Making, Trained, decisive
from distilrank.workflows.training_data import PROBLEM_TYPES, DevSettings, LabelledData, RankingData

VERB = "fine-tune"


def fine_tune_on_groups(
    model: PreTrainedModel,
    tokenizer: PairTokenizer,
    *,
    started_from: str,
    data: Path,
    out: Path,
    settings: FineTuneSettings,
    dev: DevSettings,
    groups: Path | None = None,
    scores: Path | None = None,
    command: str = "",
    bad: BadLines | None = None,
) -> Trained:
    """Fine-tune a one-logit ranker on groups and save it.

    Args:
        model: Trained in place; left as it is when the same command was finished before.
        tokenizer: Its tokeniser.
        started_from: Where the weights come from, for the card and for refusing to resume another run.
        data: A folder that ``prepare`` made, or a JSONL file of groups.
        out: Folder of the ranker; the run's journal and checkpoints go to ``out/run``.
        settings: How to train.
        dev: How to judge it on the way, when the folder has a dev split.
        groups: Groups to train on instead of the folder's own.
        scores: Folder of teacher scores that the groups are joined with.
        command: The command line, for the card.
        bad: How many bad lines may be skipped.
    """
    ranking = RankingData.open(data, groups=groups, scores=scores, bad=bad)
    told = {
        "from": weights_identity(started_from),
        "network": type(model).__name__,
        "settings": as_json(settings),
        "judged_by": None if ranking.folder is None else as_json(dev),
        **ranking.identity,
    }
    making = Making(
        verb=VERB, out=out, told=told, started_from=started_from, command=command, seed=settings.training.seed
    )
    before = making.done_before()
    if before is not None:
        return before
    scored = "listwise" in settings.objectives and settings.gains == "scores"
    alarms = teacher_alarms(ranking.groups, {"listwise": settings.temperature}) if scored else []
    say_alarms(alarms)
    tokenizer = tokenizer.with_max_tokens(settings.max_tokens)
    model.config.problem_type = None  # a ranker's one logit is neither a class nor a number
    scorer = TorchScorer(model, tokenizer, precision=settings.training.precision)
    result = fine_tune_ranker(
        model,
        tokenizer,
        ranking.groups,
        settings=settings,
        folder=out / RUN,
        command=decisive(told),
        evaluate=ranking.judge(scorer, dev),
    )
    return making.finish(
        model,
        tokenizer,
        result,
        made_by=f"fine-tuning ({' + '.join(settings.objectives)})",
        examples=f"groups of {data.name}",
        count=len(ranking.groups),
        inputs={"groups": ranking.groups_file},
        classic=not isinstance(model, BertForCosineRanking),
        losses=settings.objectives,
        alarms=alarms,
    )


def fine_tune_on_labels(
    started_from: str,
    *,
    data: Path,
    out: Path,
    settings: FineTuneSettings,
    command: str = "",
    offline: bool = False,
    bad: BadLines | None = None,
) -> Trained:
    """Fine-tune a classifier on labelled texts or pairs and save it.

    Args:
        started_from: Folder or hub name of the checkpoint; it gets a new head for the labels of the data.
        data: A folder that ``prepare`` made of classification data, or one file of examples.
        out: Folder of the classifier; the run's journal and checkpoints go to ``out/run``.
        settings: How to train.
        command: The command line, for the card.
        offline: Whether to use only what is on this machine.
        bad: How many bad lines may be skipped.
    """
    # A head that knows these labels already keeps their order: the names of its logits stay true.
    labelled = LabelledData.open(data, order=stored_head(started_from, offline=offline), bad=bad)
    kind, names = labelled.train.kind, labelled.train.label_names
    if kind == "classes" and len(names) < 2:
        raise InputError(f"all examples have the label {names[0]!r}; there is nothing to learn", path=data)
    told = {
        "from": weights_identity(started_from),
        "settings": as_json(settings),
        "labels": list(names),
        **labelled.identity,
    }
    making = Making(
        verb=VERB, out=out, told=told, started_from=started_from, command=command, seed=settings.training.seed
    )
    before = making.done_before()
    if before is not None:
        return before
    model, tokenizer = load_model(
        started_from,
        num_labels=len(names) or 1,
        label_names=names or None,
        problem_type=PROBLEM_TYPES[kind],
        head="classic",
        seed=settings.training.seed,
        offline=offline,
    )
    tokenizer = tokenizer.with_max_tokens(settings.max_tokens)
    scorer = TorchScorer(model, tokenizer, precision=settings.training.precision)
    result = fine_tune_classifier(
        model,
        tokenizer,
        labelled.train.examples,
        settings=settings,
        folder=out / RUN,
        command=decisive(told),
        evaluate=labelled.judge(scorer),
    )
    return making.finish(
        model,
        tokenizer,
        result,
        made_by="fine-tuning",
        examples=f"examples of {data.name}",
        count=len(labelled.train.examples),
        inputs={"train": labelled.train_file},
        task="text-classification",
    )
