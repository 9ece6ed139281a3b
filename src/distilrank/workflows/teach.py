"""From pairs and a teacher to a folder of scores that is whole, resumable, and says whose scores of what they are."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from distilrank.data.files import library_versions, read_json
from distilrank.data.given_scores import GivenScores
from distilrank.data.pairs import Pairs
from distilrank.data.teacher_scores import JOURNAL, MANIFEST, SHARD_PAIRS, ScoresInTheMaking, Shard
from distilrank.errors import InputError, SettingsError
from distilrank.teaching.crew import Alone, Crew, Processes
from distilrank.teaching.shards import score_missing
from distilrank.teaching.teachers import BiEncoderTeacher, CrossEncoderTeacher, OnnxTeacher, Teacher
from distilrank.training.journal import Journal
from distilrank.workflows.progress import paced

Engine = Literal["local", "ray"]


@dataclass(frozen=True, kw_only=True)
class TeachSettings:
    """How the work is shared out.

    Attributes:
        engine: "local": this machine; "ray": a Ray cluster.
        address: Of the cluster. None: a cluster is started on this machine.
        processes: Workers.
        threads: Processor threads of each; for exported networks and bi-encoders, part of what decides the last
            digits. None: what the folder was begun with, else the processor's cores shared out among the workers.
        shard_pairs: Pairs of a shard.
    """

    engine: Engine = "local"
    address: str | None = None
    processes: int = 1
    threads: int | None = None
    shard_pairs: int = SHARD_PAIRS

    def __post_init__(self) -> None:
        """Refuse what makes no work."""
        if self.processes < 1:
            raise SettingsError(f"processes is {self.processes} but must be at least 1")
        if self.address is not None and self.engine != "ray":
            raise SettingsError("an address is that of a Ray cluster; add --engine ray")


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What ``teach`` leaves behind.

    Attributes:
        folder: Of the scores.
        pairs: How many it holds.
        scored: How many of them were scored now.
    """

    folder: Path
    pairs: int
    scored: int


def teach(teachers: Sequence[Teacher], pairs: Pairs, out: Path, *, settings: TeachSettings) -> list[Taught]:
    """Score pairs with each teacher; run again, a stopped run goes on.

    Args:
        teachers: One writes into ``out`` itself, several into folders in it that are named after them.
        pairs: What is scored.
        out: Folder of the scores.
        settings: How.

    Raises:
        ResumeError: A folder holds the scores of another command.
    """
    if len(teachers) == 1:
        return [_teach(teachers[0], pairs, out, settings)]
    if (out / MANIFEST).is_file():
        raise InputError("holds the scores of a single teacher; give several teachers another folder", path=out)
    for teacher in teachers:
        teacher.describe()  # one that cannot score is better found before another has scored for hours
    names = [teacher.name for teacher in teachers]
    folders = [
        f"{name}-{names[:place].count(name) + 1}" if name in names[:place] else name for place, name in enumerate(names)
    ]
    return [_teach(teacher, pairs, out / folder, settings) for teacher, folder in zip(teachers, folders, strict=True)]


def _teach(teacher: Teacher, pairs: Pairs, out: Path, settings: TeachSettings) -> Taught:
    teacher = _with_threads(teacher, out, settings)
    described = teacher.describe()
    making = ScoresInTheMaking(
        out,
        description={"scores": teacher.meaning, "teacher": described, "input": pairs.identity},
        pairs=len(pairs),
        shard_pairs=settings.shard_pairs,
    )
    work = partial(_score, teacher=teacher, described=described, pairs=pairs, settings=settings)
    return _fill(making, f"scoring with {teacher.name}", work)


def keep_given_scores(given: GivenScores, out: Path, *, shard_pairs: int = SHARD_PAIRS) -> Taught:
    """Put scores that somebody else made into the same form.

    Args:
        given: The scores.
        out: Folder of the scores.
        shard_pairs: Pairs of a shard.
    """
    making = ScoresInTheMaking(
        out,
        description={"scores": "given", "teacher": {"kind": "given"}, "input": given.identity},
        pairs=len(given),
        shard_pairs=shard_pairs,
    )

    def keep(making: ScoresInTheMaking, report: Callable[..., None]) -> int:
        done = 0
        for number in making.missing():
            query_ids, doc_ids, scores = given.rows(*making.bounds(number))
            making.write(number, Shard(query_ids=query_ids, doc_ids=doc_ids, scores=scores))
            report("end", shard=number, pairs=len(scores))
            done += len(scores)
        return done

    return _fill(making, "keeping given scores", keep)


def _fill(
    making: ScoresInTheMaking, what: str, work: Callable[[ScoresInTheMaking, Callable[..., None]], int]
) -> Taught:
    """Have the missing shards made, between the first and the last words of the journal."""
    making.claim()
    missing = making.missing()
    before = making.pairs - sum(stop - start for start, stop in map(making.bounds, missing))
    scored = 0
    if missing:
        with Journal(making.folder / JOURNAL, stage="teach") as journal:
            journal.write(
                "start", step=len(making) - len(missing), host=socket.gethostname(), versions=library_versions()
            )
            with paced(what, total=making.pairs, done=before) as advance:

                def report(event: str, **facts: Any) -> None:
                    journal.write(event, step=facts["shard"], **facts)
                    if event == "end":
                        advance(int(facts["pairs"]))

                scored = work(making, report)
            journal.write("done", step=len(making), scored=scored)
    making.finish()
    return Taught(folder=making.folder, pairs=making.pairs, scored=scored)


def _score(
    making: ScoresInTheMaking,
    report: Callable[..., None],
    *,
    teacher: Teacher,
    described: dict[str, object],
    pairs: Pairs,
    settings: TeachSettings,
) -> int:
    workers = min(settings.processes, len(making.missing()))
    crew: Crew
    if settings.engine == "ray":
        from distilrank.teaching.ray_crew import RayCrew

        crew = RayCrew(teacher, workers, description=described, address=settings.address)
    elif workers == 1:
        crew = Alone(teacher)
    else:
        crew = Processes(teacher, workers, description=described)
    with crew:
        return score_missing(pairs, making, crew, report=report)


def _with_threads(teacher: Teacher, out: Path, settings: TeachSettings) -> Teacher:
    """Fill in the threads of a network: what is asked for, what the folder was begun with, or what there is."""
    if not isinstance(teacher, CrossEncoderTeacher | BiEncoderTeacher | OnnxTeacher):
        return teacher
    threads = settings.threads
    if threads is None and (out / MANIFEST).is_file():
        threads = read_json(out / MANIFEST).get("teacher", {}).get("running", {}).get("threads")
    threads = threads or max(1, _cores() // settings.processes)
    return replace(teacher, running=replace(teacher.running, threads=threads))


def _cores() -> int:
    """Return how many threads this process may run at once."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, int(limit)) if limit.isdecimal() and int(limit) else here


def require_one_source(teachers: Sequence[Teacher], given: Path | None) -> None:
    """Refuse a command that names nobody to score, or both a teacher and scores.

    Raises:
        SettingsError: One or the other.
    """
    if not teachers and given is None:
        raise SettingsError(
            "there is nobody to score; name a --teacher, a --bi-encoder, an --endpoint or --scores-from"
        )
    if teachers and given is not None:
        raise SettingsError("--scores-from brings scores, so no teacher is asked; leave out one or the other")
