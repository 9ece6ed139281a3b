from __future__ import annotations

import os
from pathlib import Path

import pytest

from distilrank.runtime import session as module
from distilrank.runtime.session import open_session
from tests.tiny import tiny_export


@pytest.mark.parametrize(("usable", "cores", "threads"), [(1, 8, 1), (3, 8, 3), (8, 8, 0)])
def test_threads_where_nobody_says(
    usable: int, cores: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: usable)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    graph = tiny_export(tmp_path)
    assert open_session(graph).get_session_options().intra_op_num_threads == threads
    assert open_session(graph, threads=2).get_session_options().intra_op_num_threads == 2
