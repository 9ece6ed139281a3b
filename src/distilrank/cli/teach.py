"""``distilrank teach``: teacher scores for training groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def teach(
    data: Annotated[Path, typer.Option(help="Folder that prepare made.")],
    out: Annotated[Path, typer.Option(help="JSONL file of scored groups to write.")],
    bi_encoder: Annotated[
        str, typer.Option(help="Bi-encoder checkpoint (mean pooling): a folder, a hub name, or minilm-l6.")
    ] = "minilm-l6",
    first_stage_weight: Annotated[
        float, typer.Option(help="Weight of the first stage's scores, in standard deviations of a group.")
    ] = 0.15,
    limit: Annotated[int | None, typer.Option(help="Score only so many groups, the first ones.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest text.")] = 256,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Of the forward pass.")] = "fp32",
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Score the passages of training groups with a bi-encoder and the first stage.

    The scores go into pos_scores and neg_scores; fine-tune learns from them with --objective listwise --set
    gains=scores.

    \b
    Examples:
      distilrank teach --data runs/openqa --out runs/openqa/groups/scored.jsonl --limit 10000
      distilrank fine-tune --data runs/openqa --groups runs/openqa/groups/scored.jsonl --head cosine \
        --objective listwise --set gains=scores --out runs/teacher
    """
    from distilrank.data.groups import write_groups
    from distilrank.data.trec import read_run
    from distilrank.errors import InputError, SettingsError
    from distilrank.models.answers import usual_device
    from distilrank.models.bi_encoder import BiEncoderScorer
    from distilrank.models.load import load_model
    from distilrank.teaching.groups import score_groups
    from distilrank.workflows.progress import tracked
    from distilrank.workflows.training_data import RankingData

    if limit is not None and limit < 1:
        raise SettingsError(f"--limit is {limit} but must be at least 1")
    ranking = RankingData.open(data)
    run = None
    if first_stage_weight and ranking.folder is not None:
        files = ranking.folder.runs("train")
        if not files:
            problem = "has no first-stage run of split 'train'; make one with: distilrank prepare"
            raise InputError(f"{problem}, or leave it out with --first-stage-weight 0", path=data)
        run = read_run(next(iter(files.values())))
    model, tokenizer = load_model(bi_encoder, offline=offline, max_tokens=max_tokens)
    model.to(usual_device())  # type: ignore[arg-type]
    scorer = BiEncoderScorer(model, tokenizer, precision=precision)
    count = min(len(ranking.groups), limit or len(ranking.groups))
    groups = (ranking.groups[i] for i in range(count))
    scored = score_groups(groups, scorer, first_stage=run, first_stage_weight=first_stage_weight)
    written = write_groups(tracked(scored, "scoring groups", total=count), out)
    print(f"{out}: {written:,} scored groups")
