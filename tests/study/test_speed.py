"""The speed of networks: every one that is asked for is measured, on texts of the length that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from study import speed

TEACHER = Path(__file__).resolve().parents[2] / "study" / "teacher"


def test_every_published_pair_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_WORDS", 60)
    timed: list[int] = []

    def ms_per_100(work: Any, count: int) -> dict[str, float]:
        for score in work.values():
            timed.append(len(score()))
        return dict.fromkeys(work, 1.0)

    monkeypatch.setattr(speed, "ms_per_100", ms_per_100)
    found = speed.measure_speed(TEACHER, texts=2, stand_in="2/8/16/2", say=lambda line: None)
    workloads = found["workloads"]
    assert set(workloads) == {row.workload for row in speed.PUBLISHED}
    assert set(workloads["128 tokens"]) == {*speed.SHAPES, speed.BILSTM, speed.STORED}
    assert timed == [2] * (2 * (len(speed.SHAPES) + 2) + 3)
    # By hand: 4 n h^2 + 2 n h f + 2 n^2 h in a layer, h^2 + h c.
    one_layer = 4 * 128 * 64 + 2 * 128 * 8 * 16 + 2 * 128**2 * 8
    assert workloads["128 tokens"][speed.BERT_BASE]["multiply_adds"] == 2 * one_layer + 64 + 8
    # The paper's 0.96 million weights.
    assert workloads["sentences of 32 tokens"][speed.BILSTM]["weights_without_embeddings"] == 963_002


def test_every_network_of_a_published_speed_up_is_in_the_list() -> None:
    assert {name for row in speed.PUBLISHED for name in (row.student, row.teacher)} <= {*speed.SHAPES, speed.BILSTM}
