from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.workflows.available_memory import available_memory


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 5 kB\nMemAvailable:     600 kB\n", encoding="ascii")
    return folder


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    folder = tmp_path / "cgroup"
    folder.mkdir()
    (folder / "memory.current").write_text("1000\n", encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("limit", "available"),
    [("max", 600 * 1024), ("5000", 4000), ("500", 0), (str(10**9), 600 * 1024)],
)
def test_the_smaller_of_kernel_and_container(proc: Path, cgroup: Path, limit: str, available: int) -> None:
    (cgroup / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    assert available_memory(proc=proc, cgroup=cgroup) == available


def test_without_a_container_the_kernel_says(proc: Path, tmp_path: Path) -> None:
    assert available_memory(proc=proc, cgroup=tmp_path / "none") == 600 * 1024


def test_elsewhere_the_physical_memory_or_nothing(tmp_path: Path) -> None:
    found = available_memory(proc=tmp_path / "none", cgroup=tmp_path / "none")
    assert found is None or found > 2**26


def test_this_machine_has_memory() -> None:
    found = available_memory()
    assert found is None or found > 2**20
