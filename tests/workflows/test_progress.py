from __future__ import annotations

import pytest

from distilrank.workflows import progress


def test_pace_and_time_left_come_as_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.paced("scoring", total=10_000, done=4_000) as advance:
        for seconds, count in ((10, 500), (25, 500), (5, 1000), (3600, 4000)):
            now[0] += seconds
            advance(count)
    # What was done before says nothing of the pace: 1,000 pairs in 35 seconds, 5,000 to go.
    assert capsys.readouterr().err.splitlines() == [
        "scoring: 5,000/10,000 pairs  28.6 pairs/s  2:55 min left",
        "scoring: 10,000/10,000 pairs  1.6 pairs/s  0 s left",
    ]
