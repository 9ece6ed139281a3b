from __future__ import annotations

import pytest

from distilrank.workflows import speed
from distilrank.workflows.speed import ms_per_100


def test_models_take_turns_and_the_first_turn_is_for_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now, called = [0.0], []

    def takes(name: str, *seconds: float) -> object:
        turns = iter(seconds)

        def work() -> None:
            called.append(name)
            now[0] += next(turns)

        return work

    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(speed, "TURNS", 4)
    work = {"one": takes("one", 9.0, 0.2, 0.1, 0.3), "two": takes("two", 9.0, 1.0, 1.0, 4.0)}
    found = ms_per_100(work, 50)  # type: ignore[arg-type]
    # Medians 0.2 and 1.0 seconds for 50 texts.
    assert found == pytest.approx({"one": 400.0, "two": 2000.0})
    assert called == ["one", "two"] * 4
