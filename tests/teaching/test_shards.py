from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.data.teacher_scores import ScoresInTheMaking, TeacherScores
from distilrank.errors import ModelError
from distilrank.teaching.crew import Alone, Crew, Desk, Processes, read_answer
from distilrank.teaching.shards import MOST_DEATHS, score_missing
from tests.teaching.crews import Lengths, StubTeacher, WordPairs

PAIRS = 23
SHARD = 5


class Diary:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.events if name == event]


def begin(folder: Path, pairs: WordPairs) -> ScoresInTheMaking:
    description = {"scores": "given", "teacher": {}, "input": {"form": "pairs"}}
    making = ScoresInTheMaking(folder, description=description, pairs=len(pairs), shard_pairs=SHARD)
    making.claim()
    return making


def score(folder: Path, pairs: WordPairs, crew: Crew) -> Diary:
    diary, making = Diary(), begin(folder, pairs)
    with crew:
        score_missing(pairs, making, crew, report=diary)
    making.finish()
    return diary


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def alone(teacher: StubTeacher) -> Crew:
    return Alone(teacher)


def processes(teacher: StubTeacher) -> Crew:
    return Processes(teacher, 2, description=teacher.describe())


@pytest.mark.parametrize("crew", [alone, processes])
def test_every_pair_is_scored_once_and_in_its_place(tmp_path: Path, crew: Callable[[StubTeacher], Crew]) -> None:
    pairs = WordPairs(PAIRS)
    diary = score(tmp_path, pairs, crew(StubTeacher()))
    scores = TeacherScores(tmp_path)
    part = pairs.part(0, PAIRS)
    assert [doc_id for _, doc_id, _ in scores.rows()] == part.doc_ids
    np.testing.assert_array_equal([score for *_, score in scores.rows()], Lengths().score(part.pairs))
    assert sorted(facts["shard"] for facts in diary.of("end")) == [0, 1, 2, 3, 4]
    assert sum(facts["pairs"] for facts in diary.of("end")) == PAIRS
    assert diary.of("lost") == []


def test_only_what_is_missing_is_scored(tmp_path: Path) -> None:
    pairs = WordPairs(PAIRS)
    score(tmp_path / "whole", pairs, Alone(StubTeacher()))
    score(tmp_path / "again", pairs, Alone(StubTeacher()))
    for shard in (1, 4):
        (tmp_path / "again" / f"scores-{shard:05}.parquet").unlink()
    diary = score(tmp_path / "again", pairs, Alone(StubTeacher()))
    assert [facts["shard"] for facts in diary.of("begin")] == [1, 4]
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


def test_a_dead_worker_is_replaced_and_its_shard_given_again(tmp_path: Path) -> None:
    score(tmp_path / "undisturbed", pairs := WordPairs(PAIRS, {7: "die", 12: "die"}), Alone(StubTeacher()))
    (tmp_path / "graves").mkdir()
    diary = score(tmp_path / "scores", pairs, processes(StubTeacher(deadly=tmp_path / "graves", deaths=2)))
    lost = diary.of("lost")
    assert {facts["shard"] for facts in lost} <= {1, 2}
    assert len(lost) == 2
    assert all("killed by signal 9" in facts["reason"] for facts in lost)
    assert {int(grave.name) for grave in (tmp_path / "graves").iterdir()} == {facts["pid"] for facts in lost}
    assert sum(facts["pairs"] for facts in diary.of("end")) == PAIRS
    assert contents(tmp_path / "scores") == contents(tmp_path / "undisturbed")


def test_a_shard_that_kills_every_worker_ends_it(tmp_path: Path) -> None:
    (tmp_path / "graves").mkdir()
    crew = Processes(StubTeacher(deadly=tmp_path / "graves", deaths=99), 1, description={"kind": "stub"})
    with pytest.raises(ModelError, match=f"shard 1 has ended {MOST_DEATHS} workers"):
        score(tmp_path / "scores", WordPairs(PAIRS, {7: "die"}), crew)
    assert len(list((tmp_path / "graves").iterdir())) == MOST_DEATHS
    assert (tmp_path / "scores" / "scores-00000.parquet").is_file()


def test_what_workers_say_when_they_cannot_score() -> None:
    desk = Desk(StubTeacher(), 0, {"kind": "stub"})
    np.testing.assert_array_equal(read_answer(desk.answer([("q", "p")])), Lengths().score([("q", "p")]))
    with pytest.raises(ModelError, match="the teacher refuses"):
        read_answer(desk.answer([("q", "refuse")]))
    with pytest.raises(RuntimeError, match=r"(?s)a worker broke down.*ZeroDivisionError: broken"):
        read_answer(desk.answer([("q", "break")]))
    with pytest.raises(ModelError, match="the teacher stub is another one than here"):
        read_answer(Desk(StubTeacher(), 0, {"kind": "other"}).answer([("q", "p")]))


def test_an_error_that_would_come_again_ends_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the teacher refuses"):
        score(tmp_path, WordPairs(PAIRS, {0: "refuse"}), processes(StubTeacher()))
