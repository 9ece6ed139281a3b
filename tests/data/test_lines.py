from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilrank.data import lines
from distilrank.data.lines import BadLine, BadLines
from distilrank.errors import InputError


def write(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "a.txt").write_bytes(data)
    return tmp_path / "a.txt"


def test_lines_lose_their_ends_and_the_byte_order_mark_and_nothing_else(tmp_path: Path) -> None:
    data = "\ufeffone\t\r\n\n two \u2028\x0b\x85\rmore\n\ufeffthree".encode()
    assert list(lines.read_lines(write(tmp_path, data))) == [
        (1, "one\t"),
        (2, ""),
        (3, " two \u2028\x0b\x85\rmore"),
        (4, "\ufeffthree"),
    ]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert list(lines.read_lines(write(tmp_path, b""))) == []


def test_a_line_that_is_not_utf8_can_be_skipped_and_is_listed(tmp_path: Path) -> None:
    path = write(tmp_path, "good\nna\xefve\nlast\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.txt, line 2: is not UTF-8 text; convert the file to UTF-8"):
        list(lines.read_lines(path))
    bad = BadLines(allowed=1)
    assert [text for _, text in lines.read_lines(path, bad=bad)] == ["good", "last"]
    assert bad.listing() == f"skipped {path}, line 2: is not UTF-8 text; convert the file to UTF-8"


def test_one_bad_line_more_than_allowed_stops(tmp_path: Path) -> None:
    def parse(line: str) -> int:
        if not line.isdecimal():
            raise BadLine(f"{line!r} is no number; write digits")
        return int(line)

    path = write(tmp_path, b"1\nx\n\n  \n2\ny\n3\n")
    with pytest.raises(InputError, match=r"line 2: 'x' is no number; write digits$"):
        list(lines.parse_lines(path, parse))
    with pytest.raises(InputError, match=r"line 6: 'y' is no number; write digits \(after 1 bad line"):
        list(lines.parse_lines(path, parse, bad=BadLines(allowed=1)))
    bad = BadLines(allowed=2)
    assert list(lines.parse_lines(path, parse, bad=bad)) == [1, 2, 3]
    assert [error.line for error in bad.skipped] == [2, 6]
    assert BadLines().listing() == ""


def test_the_allowance_is_shared_by_all_files_of_a_command(tmp_path: Path) -> None:
    bad = BadLines(allowed=1)
    path = write(tmp_path, b"\xff\n")
    assert list(lines.read_lines(path, bad=bad)) == []
    with pytest.raises(InputError):
        list(lines.read_lines(path, bad=bad))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', "is not JSON"),
        ("[1, 2]", r"not an object \(list\)"),
        ('"text"', r"not an object \(str\)"),
        ('{"a": NaN}', "holds NaN"),
        ('{"a": -Infinity}', "holds -Infinity"),
        ('{"a": "\\ud83d"}', "half of a surrogate pair"),
        ('{"a": ["x", {"b": "\\uDE00"}]}', "half of a surrogate pair"),
        ("[" * 200_000, "is nested too deeply|is not JSON"),
    ],
)
def test_lines_that_are_no_json_objects_say_why(line: str, message: str) -> None:
    with pytest.raises(BadLine, match=message):
        lines.parse_object(line)


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert lines.parse_object('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


@pytest.mark.parametrize("value", [None, "", True, 1.5, ["x"], {}])
def test_identifiers_are_strings_or_integers(value: object) -> None:
    with pytest.raises(BadLine, match="has no '_id'"):
        lines.parse_identifier(value, name="_id")


def test_integer_identifiers_become_strings() -> None:
    assert lines.parse_identifier(0, name="_id") == "0"
    assert lines.parse_identifier("007", name="_id") == "007"


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999"])
def test_numbers_are_finite(text: str) -> None:
    with pytest.raises(BadLine, match="is not a finite number"):
        lines.parse_number(text, name="score")


def test_texts_may_be_empty_but_not_missing_or_of_another_type() -> None:
    record = json.loads('{"text": "", "title": null, "year": 3}')
    assert lines.parse_text(record, "text") == ""
    assert lines.parse_text(record, "title", optional=True) == ""
    assert lines.parse_text(record, "absent", optional=True) == ""
    for name, message in (("absent", "'absent' is missing"), ("title", "is NoneType"), ("year", "is int")):
        with pytest.raises(BadLine, match=message):
            lines.parse_text(record, name)
    with pytest.raises(BadLine, match="is int"):
        lines.parse_text(record, "year", optional=True)
