"""Runs killed with SIGKILL and started again by the same command end as if nothing had happened."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from distilrank.training.journal import read_lines, read_steps

SCRIPT = Path(__file__).with_name("killable_run.py")
PLACES = ("accumulation", "evaluation", "checkpoint")
STEPS = 64


def command(folder: Path, weights: Path) -> list[str]:
    return [sys.executable, str(SCRIPT), str(folder), str(weights)]


def run_until_killed(folder: Path, weights: Path, *, place: str, visit: int) -> None:
    """Run the command and kill it when it is at the place for the given time, from 1."""
    with subprocess.Popen(
        command(folder, weights), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        visits = 0
        for line in process.stdout:
            visits += line.strip() == place
            if visits == visit:
                process.kill()
                break
            process.stdin.write("go\n")
            process.stdin.flush()
        assert process.wait() == -9, f"ended before it was at its {visit}. {place}"


def run_undisturbed(folder: Path, weights: Path) -> None:
    subprocess.run(command(folder, weights), stdin=subprocess.DEVNULL, capture_output=True, check=True)


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(3, 0, id="three"), pytest.param(10, 1, id="ten", marks=pytest.mark.slow)]
)
def test_killed_runs_end_in_the_same_weights_to_the_bit(tmp_path: Path, kills: int, seed: int) -> None:
    run_undisturbed(tmp_path / "whole", tmp_path / "whole.safetensors")

    choose = random.Random(seed)
    places = [*PLACES, *choose.choices(PLACES, k=kills - 3)]
    choose.shuffle(places)
    for place in places:
        longest = {"accumulation": 16, "evaluation": 2, "checkpoint": 3}[place]
        run_until_killed(tmp_path / "killed", tmp_path / "no", place=place, visit=choose.randint(1, longest))
    assert not (tmp_path / "killed" / "done.json").exists()
    run_undisturbed(tmp_path / "killed", tmp_path / "killed.safetensors")

    assert (tmp_path / "killed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    journal, whole = tmp_path / "killed" / "journal.jsonl", tmp_path / "whole" / "journal.jsonl"
    # The history that counts is the undisturbed one.
    assert [line["step"] for line in read_steps(journal)] == list(range(1, STEPS + 1))
    assert [line["terms"] for line in read_steps(journal)] == [line["terms"] for line in read_steps(whole)]
    prove_that_it_resumed(journal, processes=kills + 1)
    assert not list((tmp_path / "killed").rglob(".*"))


def prove_that_it_resumed(journal: Path, *, processes: int) -> None:
    """Every process went on from the newest checkpoint; only one killed before the first began anew."""
    beginnings, newest, last = [], 0, "start"
    for line in read_lines(journal):
        if line["event"] in ("start", "resume"):
            beginnings.append(line["event"])
            assert line["step"] == newest
            assert line["event"] == ("resume" if newest else "start")
        elif line["event"] == "checkpoint":
            newest = line["step"]
        elif last in ("start", "resume") and line["event"] == "step":
            assert line["step"] == newest + 1
        last = line["event"]
    assert len(beginnings) == processes
    assert "resume" in beginnings
