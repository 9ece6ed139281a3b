"""``distilrank mix-scores``: the scores of several teachers as groups with one score for each passage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from distilrank.data.files import file_hash, read_json, write_manifest
from distilrank.data.groups import GroupFile, write_groups
from distilrank.data.lines import BadLines
from distilrank.data.teacher_scores import MANIFEST
from distilrank.errors import InputError
from distilrank.records import Group
from distilrank.teaching.mixing import (
    Agreement,
    MixSettings,
    Scores,
    agreement,
    mix_scores,
    require_same_groups,
    with_scores,
)
from distilrank.workflows.progress import tracked
from distilrank.workflows.training_data import RankingData
from distilrank.workflows.whole_folder import is_done, whole_folder

VERB = "mix-scores"
GROUPS = "groups.jsonl"
MIX = "the mix"


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """What ``mix-scores`` leaves behind.

    Attributes:
        groups: File of the groups with the mixed scores.
        count: How many groups.
        agreements: Two teachers, or a teacher and the mix -> how alike they are.
    """

    groups: Path
    count: int
    agreements: Mapping[tuple[str, str], Agreement]


def mix(
    teachers: Sequence[Path],
    out: Path,
    *,
    settings: MixSettings,
    groups: Path | None = None,
    overwrite: bool = False,
    bad: BadLines | None = None,
) -> Mixed:
    """Mix the scores of teachers and write them with their groups, ``OUT/groups.jsonl``.

    Args:
        teachers: Scored groups (JSONL), or folders that ``teach`` made.
        out: Folder of the result; it appears whole or not at all.
        settings: How.
        groups: The groups that were scored, for teachers that are folders.
        overwrite: Whether the result of another ``mix-scores`` may be replaced.
        bad: How many bad lines may be skipped.

    Raises:
        InputError: The teachers scored different groups, or something cannot be read.
        SettingsError: There are weights for another number of teachers.
    """
    if len(teachers) < 2:
        raise InputError("one teacher alone cannot be mixed; name the scores of two or more")
    names = _names(teachers)
    inputs = {f"teacher {name}": _file(path) for name, path in zip(names, teachers, strict=True)}
    if groups is not None:
        inputs["groups"] = groups
    told = {"teachers": names, **asdict(settings)}
    hashes = {name: file_hash(path) for name, path in inputs.items()}
    if is_done(out, verb=VERB, settings=told, inputs=hashes, overwrite=overwrite):
        return _opened(out)
    opened = {name: _scored(path, groups, bad) for name, path in zip(names, teachers, strict=True)}
    require_same_groups(opened)
    scores = {name: Scores.of(own, name=name) for name, own in opened.items()}
    mixed = mix_scores(list(scores.values()), settings)
    agreements = {
        (one, other): agreement(ours, theirs)
        for (one, ours), (other, theirs) in combinations({**scores, MIX: mixed}.items(), 2)
    }
    base = opened[names[0]]
    with whole_folder(out) as partial:
        written = tracked(with_scores(base, mixed), "writing mixed scores", total=len(base))
        count = write_groups(written, partial / GROUPS)
        stated = [{"between": pair, **asdict(found)} for pair, found in agreements.items()]
        write_manifest(
            partial,
            verb=VERB,
            settings=told,
            inputs=inputs,
            outputs={"groups": partial / GROUPS},
            extra={"count": count, "agreement": stated},
        )
    return Mixed(groups=out / GROUPS, count=count, agreements=agreements)


def _names(teachers: Sequence[Path]) -> list[str]:
    """Return a name for each teacher: that of its file or folder, or its path where two would share one."""
    short = [path.name.removesuffix(".gz").removesuffix(".jsonl") for path in teachers]
    return [name if short.count(name) == 1 else path.as_posix() for name, path in zip(short, teachers, strict=True)]


def _file(teacher: Path) -> Path:
    """Return the file that tells a teacher's scores from others."""
    return teacher / MANIFEST if teacher.is_dir() else teacher


def _scored(teacher: Path, groups: Path | None, bad: BadLines | None) -> Sequence[Group]:
    """Open scored groups, or join a folder of scores with its groups."""
    if not teacher.is_dir():
        return GroupFile(teacher, bad=bad)
    if groups is None:
        raise InputError("holds scores without texts; name the groups that were scored with --groups", path=teacher)
    return RankingData.open(groups, scores=teacher, bad=bad).groups


def _opened(folder: Path) -> Mixed:
    """Return what the manifest of a finished folder says."""
    manifest = read_json(folder / "manifest.json")
    agreements = {}
    for stated in manifest["agreement"]:
        one, other = stated.pop("between")
        agreements[one, other] = Agreement(**stated)
    return Mixed(groups=folder / GROUPS, count=manifest["count"], agreements=agreements)
