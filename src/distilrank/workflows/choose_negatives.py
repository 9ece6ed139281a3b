"""``distilrank choose-negatives``: groups with the negatives a teacher finds hard, and without likely false ones."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from distilrank.data.files import file_hash, read_json, write_manifest
from distilrank.data.groups import write_groups
from distilrank.data.hard_negatives import NegativeCounts, NegativeSettings, choose_negatives
from distilrank.data.lines import BadLines
from distilrank.errors import InputError
from distilrank.workflows.progress import tracked
from distilrank.workflows.training_data import RankingData
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "choose-negatives"
GROUPS = "groups.jsonl"


def choose(
    data: Path,
    out: Path,
    *,
    settings: NegativeSettings,
    groups: Path | None = None,
    scores: Path | None = None,
    overwrite: bool = False,
    bad: BadLines | None = None,
) -> NegativeCounts:
    """Write groups with the negatives chosen, ``OUT/groups.jsonl``, and return what became of them.

    Args:
        data: A folder that ``prepare`` made, or a JSONL file of groups.
        out: Folder of the result; it appears whole or not at all.
        settings: How.
        groups: Groups to choose from instead of the folder's own.
        scores: Folder of teacher scores that the groups are joined with. None: the groups have scores.
        overwrite: Whether the result of another ``choose-negatives`` may be replaced.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: The groups have no scores, or none of them is left.
    """
    source = RankingData.open(data, groups=groups, scores=scores, bad=bad)
    told = {**asdict(settings), "scores": None if source.scores is None else source.scores.identity}
    inputs = {"groups": source.file}
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=told, inputs=hashes, overwrite=overwrite):
        return NegativeCounts(**read_json(out / "manifest.json")["counts"])
    counts = NegativeCounts()
    with whole_folder(out) as partial:
        seen = tracked(source.groups, "choosing negatives", total=len(source.groups))
        write_groups(choose_negatives(seen, settings, counts), partial / GROUPS)
        if not counts.groups:
            problem = f"none of {len(source.groups):,} groups is left: {counts.without_positives:,} have no relevant "
            problem += f"passage, and {counts.without_negatives:,} no negative that is not taken for one"
            raise InputError(problem, path=source.file)
        outputs = {"groups": partial / GROUPS}
        extra = {"counts": asdict(counts)}
        write_manifest(partial, verb=VERB, settings=told, inputs=inputs, outputs=outputs, extra=extra)
    return counts
