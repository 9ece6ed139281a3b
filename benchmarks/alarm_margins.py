"""How far rankers that work are from every threshold of the alarms about scores.

    python benchmarks/alarm_margins.py --json results/alarms/margins.json \
      student=runs/openqa/student.trec@data/runs/dev.trec.gz teacher=runs/openqa/scored.jsonl

Each argument is NAME=RUN@FIRST_STAGE, two TREC runs, or NAME=GROUPS, a JSONL file of groups with a teacher's scores.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
from scipy import special

from distilrank.data.files import library_versions, write_json
from distilrank.data.groups import GroupFile
from distilrank.data.trec import ranking, read_run
from distilrank.evaluation.diagnostics.alarms.scores import MIN_PASSAGES, TOP, score_alarms

GROUPS = 2_000


def scores_of(where: str) -> dict[str, list[float]]:
    """Return query -> scores in the order in which its passages were given."""
    run, at, first_stage = where.partition("@")
    if not at:
        groups = GroupFile(run)
        return {str(i): list(groups[i].scores or ()) for i in range(min(GROUPS, len(groups)))}
    scored, first = read_run(run), read_run(first_stage)
    return {
        query_id: [scores[doc_id] for doc_id in ranking(first[query_id]) if doc_id in scores]
        for query_id, scores in scored.items()
    }


def margins(scores: dict[str, list[float]], *, ordered: bool) -> dict[str, object]:
    """Return what the rules look at."""
    queries = [np.array(values) for values in scores.values() if len(values) >= MIN_PASSAGES]
    every = np.concatenate(queries)
    within = float(np.median([values.std() for values in queries]))
    best = [np.sort(values)[::-1][:TOP] for values in queries]
    flat = [special.entr(special.softmax(values)).sum() / np.log(len(values)) for values in queries]
    return {
        "queries": len(queries),
        "within_a_query": within,
        "share_of_all": within / float(every.std()),
        "different_among_the_best": float(np.mean([len(np.unique(values)) / len(values) for values in best])),
        "in_the_order_given": float(np.mean([np.all(np.diff(values) <= 0) for values in queries])) if ordered else None,
        "entropy": float(np.mean(flat)),
        "alarms": [finding.check for finding in score_alarms(scores, name="it", ordered=ordered)],
    }


def main() -> None:
    """Measure, print a line each, and write all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scores", nargs="+", metavar="NAME=SCORES")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    found = {}
    for text in options.scores:
        name, _, where = text.partition("=")
        found[name] = margins(scores_of(where), ordered="@" in where)
        print(name, {key: f"{value:.3f}" if isinstance(value, float) else value for key, value in found[name].items()})
    command = shlex.join(["python", *sys.argv])
    write_json(options.json, {"command": command, "versions": library_versions(), "scores": found})


if __name__ == "__main__":
    main()
