from __future__ import annotations

import io

import pytest
from rich.console import Console

from distilrank.training import progress as module
from distilrank.training.progress import TrainingProgress, duration


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock.monotonic)
    return clock


def test_without_a_terminal_there_is_a_plain_line_every_half_minute_and_at_the_end(clock: Clock) -> None:
    written = io.StringIO()
    with TrainingProgress("layers", steps=120, first=20, shown=True, console=Console(file=written)) as progress:
        for step in range(21, 121):
            clock.now += 2.0
            progress.step(step, loss=0.5, pairs_per_second=14.0)
    lines = written.getvalue().splitlines()
    assert lines[0] == "layers: step 35/120  loss 0.5000  14.0 pairs/s  2:50 min left"  # 85 steps of 2 s
    assert lines[-1] == "layers: step 120/120  loss 0.5000  14.0 pairs/s  0 s left"
    assert len(lines) == 7  # 200 s


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with TrainingProgress("layers", steps=3, first=0, shown=True, console=console) as progress:
        progress.step(1, loss=0.25, pairs_per_second=14.0)
        with progress.paused():
            pass
        progress.say("step 1  nDCG@10 0.5")
        progress.step(3, loss=0.125, pairs_per_second=14.0)
    text = written.getvalue()
    assert "━" in text
    assert "3/3" in text
    assert "loss 0.1250" in text
    assert "layers: step 1  nDCG@10 0.5" in text


def test_the_other_processes_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress("layers", steps=1, first=0, shown=False) as progress:
        progress.step(1, loss=0.5, pairs_per_second=1.0)
        progress.say("hello")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (3599, "59:59 min"), (7500, "2:05 h")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
