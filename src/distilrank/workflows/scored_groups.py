"""Groups with a teacher's scores as JSONL, which fine-tune, distil and FlagEmbedding read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.lines import BadLines
from distilrank.data.scored_groups import ScoredGroups, groups_of_scores
from distilrank.data.teacher_scores import TeacherScores
from distilrank.data.trec import read_run
from distilrank.errors import InputError, SettingsError
from distilrank.records import Group
from distilrank.teaching.groups import score_groups
from distilrank.workflows.progress import tracked
from distilrank.workflows.teach_input import groups_of


def write_scored_groups(
    scores: Path,
    out: Path,
    *,
    data: Path | None,
    groups: Path | None = None,
    split: str = "train",
    collection: Path | None = None,
    bad: BadLines | None = None,
) -> int:
    """Write groups with their scores as JSONL, as ``fine-tune`` and FlagEmbedding read them, and return their number.

    Args:
        scores: Folder of the scores: of groups, which are joined with them, or of a run or triples, of which groups
            are made.
        out: The file.
        data: Folder with the texts, or file of the groups.
        groups: The groups, where they lie elsewhere.
        split: Of the judgements that say what is relevant, where the folder has them.
        collection: The passages, where they lie elsewhere.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: The scores are of plain pairs, or the texts are not there.
    """
    taught = TeacherScores(scores)
    form = taught.input["form"]
    found: Iterable[Group]
    if form == "groups":
        found = ScoredGroups(GroupFile(groups if groups is not None else groups_of(data), bad=bad), taught)
    elif form == "pairs" or data is None:
        problem = (
            "scores of plain pairs make no groups" if form == "pairs" else "name the folder of the texts with --data"
        )
        raise InputError(problem, path=scores)
    else:
        folder = RankingFolder(data, collection=collection, bad=bad)
        qrels = folder.qrels(split) if split in folder.splits else {}
        found = groups_of_scores(taught, queries=folder.queries, passages=folder.passages, qrels=qrels)
    return write_groups(found, out)


def score_into_groups(
    bi_encoder: str,
    *,
    data: Path | None,
    out: Path,
    first_stage_weight: float,
    limit: int | None,
    max_tokens: int,
    precision: Literal["fp32", "bf16"],
    offline: bool,
    bad: BadLines | None = None,
) -> int:
    """Write groups with the scores of a bi-encoder and the first stage mixed, as JSONL, and return their number.

    Args:
        bi_encoder: Folder or hub name.
        data: Folder that ``prepare`` made, or JSONL file of groups.
        out: The file.
        first_stage_weight: See ``score_groups``; 0 leaves the first stage out.
        limit: Only the first so many groups. None: all.
        max_tokens: Longest text.
        precision: Of the forward pass.
        offline: Whether to use only what is on this machine.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: The folder has no groups, or no first-stage run.
    """
    from distilrank.models.answers import usual_device  # torch, which writing scored groups does without
    from distilrank.models.bi_encoder import BiEncoderScorer
    from distilrank.models.load import load_model, resolve_source
    from distilrank.models.sentence_encoder import read_encoder_form
    from distilrank.workflows.training_data import RankingData

    if limit is not None and limit < 1:
        raise SettingsError(f"--limit is {limit} but must be at least 1")
    if data is None:
        raise InputError("there is nothing to score; name a prepared folder, or a file of groups, with --data")
    ranking = RankingData.open(data, bad=bad)
    run = None
    if first_stage_weight and ranking.folder is not None:
        files = ranking.folder.runs("train")
        if not files:
            problem = "has no first-stage run of split 'train'; make one with: distilrank prepare"
            raise InputError(f"{problem}, or leave it out with --first-stage-weight 0", path=data)
        run = read_run(next(iter(files.values())))
    model, tokenizer = load_model(bi_encoder, offline=offline, max_tokens=max_tokens)
    model.to(usual_device())  # type: ignore[arg-type]
    form = read_encoder_form(resolve_source(bi_encoder), offline=offline)
    scorer = BiEncoderScorer(model, tokenizer, precision=precision, form=form)
    count = min(len(ranking.groups), limit or len(ranking.groups))
    groups = (ranking.groups[i] for i in range(count))
    scored = score_groups(groups, scorer, first_stage=run, first_stage_weight=first_stage_weight)
    return write_groups(tracked(scored, "scoring groups", total=count), out)
