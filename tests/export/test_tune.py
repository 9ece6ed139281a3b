from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.data.files import read_json
from distilrank.export import tune as module
from distilrank.export.tune import thread_counts, tune, usual_pairs
from distilrank.runtime.folder import Tuned, machine, tuned
from distilrank.runtime.ranker import Ranker
from tests.export.exported import exported_ranker
from tests.tiny import tiny_pairs, tiny_tokenizer


def test_the_fastest_is_kept_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = exported_ranker(tmp_path / "student")
    monkeypatch.setattr(module, "thread_counts", lambda: [1, 2])
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    # The usual choice first, then its rivals: the first and the second contest have a clear winner, the third has not.
    times = iter(([100.0, 60.0], [50.0, 45.0, 40.0, 44.0, 60.0], [40.0, 39.5, 41.0]))
    monkeypatch.setattr(module, "_milliseconds", lambda work: next(times))
    best = tune(folder, pairs=tiny_pairs(50))
    assert best == Tuned(threads=1, batch_tokens=256, pad_to=1)
    stored = read_json(folder / "runtime.json")
    assert stored == {
        "machine": machine(), "threads": 1, "batch_tokens": 256, "pad_to": 1, "file": "model.onnx",
        "ms_per_100_pairs": 79.0,
    }  # fmt: skip
    assert tuned(folder) == best
    assert len(Ranker.load(folder).rank("red", ["dog", "cat"])) == 2


def test_times_are_medians_taken_in_turns() -> None:
    order: list[str] = []
    found = module._milliseconds([lambda: order.append("a"), lambda: order.append("b")])
    assert order == ["a", "b"] * module.TURNS
    assert len(found) == 2
    assert all(0 <= each < 100 for each in found)


def test_what_is_tried() -> None:
    assert thread_counts(1) == [1]
    assert thread_counts(2) == [1, 2]
    assert thread_counts(8) == [1, 4, 8]
    pairs = usual_pairs(tiny_tokenizer())
    assert len(pairs) == 100
    lengths = {len(each) for each in tiny_tokenizer(max_tokens=48).encode(*map(list, zip(*pairs, strict=True)))}
    assert max(lengths) <= 48
    assert len(lengths) > 1
