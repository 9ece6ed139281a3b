"""``teach`` killed with SIGKILL, itself or one of its workers, and given again, leaves what an undisturbed run leaves.

The teacher is a server of this process, so that the tests know what was asked, and can hold answers back.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distilrank.data.teacher_scores import TeacherScores
from distilrank.training.journal import read_lines
from tests.teaching.servers import Reranker, serving

PAIRS, SHARD = 96, 8
LOCAL = ("--engine", "local")
BOTH = ("--engine", "local", "--processes", "2")
RAY = ("--engine", "ray", "--processes", "2")

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed: pip install 'distilrank[ray]'"
)


@pytest.fixture
def server() -> Iterator[Reranker]:
    with serving() as reranker:
        yield reranker


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Queries of four passages each, so that a shard is two requests."""
    path = tmp_path / "pairs.tsv"
    rows = (f"q{i // 4}\td{i}\twhat is {i // 4}\t{'word ' * (i % 11)}{i}\n" for i in range(PAIRS))
    path.write_text("".join(rows), encoding="utf-8")
    return path


def command(server: Reranker, pairs: Path, out: Path, engine: tuple[str, ...]) -> list[str]:
    told = ["teach", "--pairs", str(pairs), "--endpoint", server.url, "--shard-pairs", str(SHARD), "--out", str(out)]
    return [sys.executable, "-m", "distilrank", *told, *engine]


def finish(told: list[str]) -> None:
    done = subprocess.run(told, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def run_until(told: list[str], enough: Callable[[], bool], *, delay: float) -> None:
    """Run a command and kill it a moment after something has come to pass."""
    with subprocess.Popen(told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(enough, process)
        time.sleep(delay)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it was done before it could be killed"


def wait_for(enough: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 120
    while not enough():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline, "it did not come so far"
        time.sleep(0.002)


def artefact(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "journal.jsonl"}


def asked(server: Reranker) -> int:
    return sum(len(body["texts"]) for *_, body in server.requests)


def killed_and_given_again(server: Reranker, pairs: Path, tmp_path: Path, engine: tuple[str, ...], kills: int) -> None:
    workers = 1 if engine == LOCAL else 2
    finish(command(server, pairs, tmp_path / "whole", LOCAL))
    told = command(server, pairs, tmp_path / "killed", engine)
    server.requests.clear()
    server.seconds = 0.03  # an answer takes so long
    choose = random.Random(kills)
    for kill in range(kills):
        # Kills come after some more answers each time, and between any two lines of the code.
        before = len(server.requests)
        more = choose.randint(1, max(1, PAIRS // 4 // kills))
        run_until(told, lambda: len(server.requests) >= before + more, delay=choose.uniform(0, 0.05))  # noqa: B023
        shards = list((tmp_path / "killed").glob("scores-*.parquet"))
        assert len(shards) < PAIRS // SHARD, f"all was done before kill {kill}"
    finish(told)
    assert artefact(tmp_path / "killed") == artefact(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob(".*"))
    # What was in hand was asked for again, and nothing else.
    assert PAIRS <= asked(server) <= PAIRS + kills * workers * SHARD
    rows = [row[:2] for row in TeacherScores(tmp_path / "killed").rows()]
    assert rows == [(f"q{i // 4}", f"d{i}") for i in range(PAIRS)]


def test_killed_three_times(server: Reranker, pairs: Path, tmp_path: Path) -> None:
    killed_and_given_again(server, pairs, tmp_path, LOCAL, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "kills"),
    [(LOCAL, 12), (BOTH, 6), pytest.param(RAY, 3, marks=needs_ray)],
    ids=["alone", "processes", "ray"],
)
def test_killed_many_times(server: Reranker, pairs: Path, tmp_path: Path, engine: tuple[str, ...], kills: int) -> None:
    killed_and_given_again(server, pairs, tmp_path, engine, kills)


@pytest.mark.slow
@pytest.mark.parametrize("engine", [BOTH, pytest.param(RAY, marks=needs_ray)], ids=["processes", "ray"])
def test_a_killed_worker_is_replaced_and_its_shard_scored_once_more(
    server: Reranker, pairs: Path, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    finish(command(server, pairs, tmp_path / "whole", LOCAL))
    server.requests.clear()
    server.seconds = 0.1
    out = tmp_path / "disturbed"
    journal = out / "journal.jsonl"

    def in_hand() -> list[dict[str, Any]]:
        """Shards that a worker has, by the journal, once some others are done."""
        lines = read_lines(journal) if journal.is_file() else []
        ended = {line["shard"] for line in lines if line["event"] == "end"}
        begun = [line for line in lines if line["event"] == "begin" and line["shard"] not in ended]
        return begun if len(ended) >= 3 else []

    with subprocess.Popen(command(server, pairs, out, engine), stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: bool(in_hand()), process)
        victim = in_hand()[0]
        missing = PAIRS - SHARD * len(list(out.glob("scores-*.parquet")))
        os.kill(victim["pid"], signal.SIGKILL)
        before = asked(server)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    lines = read_lines(journal)
    # It may have gone on to its next shard between the look into the journal and the kill.
    (lost,) = [line for line in lines if line["event"] == "lost"]
    assert lost["pid"] == victim["pid"]
    retried = [line for line in lines if line["event"] == "begin" and line["shard"] == lost["shard"]]
    assert len(retried) == 2
    assert retried[1]["pid"] != victim["pid"]
    assert asked(server) - before < missing + SHARD
    ids = [row[:2] for row in TeacherScores(out).rows()]
    assert len(set(ids)) == len(ids) == PAIRS
    assert artefact(out) == artefact(tmp_path / "whole")
