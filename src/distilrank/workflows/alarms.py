"""Alarms where models are measured: what the rules are asked, and how what they find is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from distilrank.data.classification import read_examples
from distilrank.data.files import read_json
from distilrank.data.folder import RankingFolder
from distilrank.data.groups import GroupFile
from distilrank.data.trec import ranking
from distilrank.evaluation.diagnostics import Finding
from distilrank.evaluation.diagnostics.alarms import (
    Compares,
    leaked_texts,
    no_better_than_first_stage,
    scale_alarm,
    score_alarms,
)
from distilrank.evaluation.diagnostics.labels import pair_text
from distilrank.evaluation.intervals import mean_interval
from distilrank.evaluation.measures import Measures
from distilrank.records import Example, Group, Qrels, Query, Run

COMPARES: dict[str, Compares] = {
    "mse": "values",
    "margin_mse": "margins",
    "bce": "probabilities",
    "kl": "softmax",
    "listwise": "softmax",
}
"""What objectives look at in a teacher's scores; those that are not here look at their order, or at labels."""
GROUPS_LOOKED_AT = 500
LARGEST_FILE = 200_000_000
"""Bytes of a file of groups or examples that is read to the end for its texts; a prepared folder has them apart."""


def say_alarms(findings: Iterable[Finding]) -> None:
    """Print each on a line of standard error; of several processes the first one does."""
    for finding in findings if os.environ.get("RANK", "0") == "0" else ():
        print(f"{'alarm' if finding.level == 'problem' else 'note'}: {finding.message}", file=sys.stderr)


def ranker_alarms(
    run: Run, candidates: Run, *, name: str, first_stage: str, measured: Measures, first_measured: Measures
) -> list[Finding]:
    """Return what is suspicious about a re-ranking.

    Args:
        run: The ranker's scores of the candidates, before any aggregation.
        candidates: The first stage's.
        name: What the ranker is called.
        first_stage: What the first stage is called.
        measured: The ranker's measures; the first of them is looked at.
        first_measured: The first stage's, over the same queries.
    """
    given = {
        query_id: [scores[doc_id] for doc_id in ranking(candidates.get(query_id, {})) if doc_id in scores]
        for query_id, scores in run.items()
    }
    measure = measured.names[0]
    worse = no_better_than_first_stage(
        mean_interval(measured.values(measure) - first_measured.values(measure)),
        name=name,
        first_stage=first_stage,
        measure=measure,
        queries=len(measured.query_ids),
    )
    return [*score_alarms(given, name=name), *([] if worse is None else [worse])]


def teacher_alarms(groups: Sequence[Group], objectives: Mapping[str, float]) -> list[Finding]:
    """Return what is suspicious about the teacher's scores that stand in groups; nothing where one has none.

    Args:
        groups: To be trained on; the first of them are looked at.
        objectives: Name -> its temperature, 1 where it has none.
    """
    looked_at = [groups[place] for place in range(min(len(groups), GROUPS_LOOKED_AT))]
    scores = {str(place): group.scores for place, group in enumerate(looked_at) if group.scores is not None}
    if len(scores) < len(looked_at):  # then nobody reads them
        return []
    # Positives come first in a group, and negatives may have been chosen by these very scores.
    found = score_alarms(scores, name="the teacher", ordered=False)
    for objective, temperature in objectives.items():
        if objective in COMPARES:
            alarm = scale_alarm(scores, objective=objective, compares=COMPARES[objective], temperature=temperature)
            found += [] if alarm is None else [alarm]
    return found


def query_leak(model: str | None, *, name: str, queries: Mapping[str, Query], qrels: Qrels) -> list[Finding]:
    """Return whether a ranker that distilrank made was trained on queries it is measured on.

    Args:
        model: Its folder or hub name; None for a run.
        name: What it is called.
        queries: Texts.
        qrels: Judgements; their queries are measured on.
    """
    trained = None if model is None else _trained_queries(_trained_on(model))
    if not trained:
        return []
    tested = {query_id: queries[query_id].text for query_id in qrels if query_id in queries}
    found = leaked_texts(trained, tested, name=name)
    return [] if found is None else [found]


def example_leak(model: str | None, *, name: str, examples: Sequence[Example]) -> list[Finding]:
    """Return whether a classifier that distilrank made was trained on texts it is measured on; see ``query_leak``."""
    file = None if model is None else _trained_on(model)
    if file is None or file.stat().st_size > LARGEST_FILE:
        return []
    trained = {str(place): pair_text(each) for place, each in enumerate(read_examples(file, labelled=False).examples)}
    tested = {f"#{place}": pair_text(each) for place, each in enumerate(examples, start=1)}
    found = leaked_texts(trained, tested, name=name, what="examples")
    return [] if found is None else [found]


def _trained_on(model: str) -> Path | None:
    """Return the file that the manifest of a model's folder says it was trained on, where it still is."""
    manifest = Path(model) / "manifest.json"
    inputs = read_json(manifest).get("inputs", {}) if manifest.is_file() else {}
    named = next((inputs[name] for name in ("groups", "train", "data") if name in inputs), None)
    file = None if named is None else Path(named["path"])
    return file if file is not None and file.is_file() else None


def _trained_queries(file: Path | None) -> dict[str, str]:
    """Return the queries of a file of groups, from the prepared folder around it where there is one."""
    if file is None:
        return {}
    folder = file.parent.parent
    if file.parent.name == "groups" and (folder / "qrels").is_dir():
        source = RankingFolder(folder)
        return {query_id: source.queries[query_id].text for query_id in source.qrels("train")}
    if file.stat().st_size > LARGEST_FILE:
        return {}
    return {str(place): group.query for place, group in enumerate(GroupFile(file))}
