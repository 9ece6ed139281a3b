from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import pytest

from distilrank.data.line_file import LineFile
from distilrank.data.lines import BadLine, BadLines
from distilrank.errors import InputError

LINES = ["\ufefffirst", "", "  ", "second \U0001f600", "third\twith\ttabs", "x" * 200_000, "last"]


def keep(line: str) -> bool:
    if line == "bad":
        raise BadLine("is bad")
    return not line.startswith("#")


@pytest.fixture(params=["plain", "packed", "crlf"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    end = "\r\n" if request.param == "crlf" else "\n"
    data = end.join(LINES).encode()
    path = tmp_path / "lines.txt"
    path.write_bytes(gzip.compress(data) if request.param == "packed" else data)
    return path


def test_lines_by_number(path: Path) -> None:
    for file in (LineFile(path, keep), pickle.loads(pickle.dumps(LineFile(path, keep)))):
        assert len(file) == 5
        assert [file[i] for i in (0, 1, 2, 3, 4)] == [
            "first",
            "second \U0001f600",
            "third\twith\ttabs",
            "x" * 200_000,
            "last",
        ]


def test_lines_that_are_left_out_and_lines_that_are_bad(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("one\n#two\nbad\nthree\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"lines.txt, line 3: is bad"):
        LineFile(path, keep)
    bad = BadLines(allowed=1)
    file = LineFile(path, keep, bad=bad)
    assert [file[0], file[1], len(file)] == ["one", "three", 2]
    assert len(bad.skipped) == 1


def test_a_packed_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(gzip.compress(b"one\n" * 1000)[:-10])
    with pytest.raises(InputError, match="cut off or damaged"):
        LineFile(path, keep)
