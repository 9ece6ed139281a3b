from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from distilrank.data.plain_text import read_documents, split_sentences
from distilrank.errors import InputError

LONG = 10**6


def test_plain_text_has_a_sentence_on_a_line_and_blank_lines_between_documents(tmp_path: Path) -> None:
    file = tmp_path / "wiki.txt.xz"
    file.write_bytes(lzma.compress("\ufeff\n Eins. \r\nTwo\u2028parts.\n\n\n \nThree.\n\n".encode()))
    assert list(read_documents(file, longest=LONG)) == [["Eins.", "Two\u2028parts."], ["Three."]]


def test_consecutive_passages_of_one_article_are_one_document(tmp_path: Path) -> None:
    file = tmp_path / "passages.tsv"
    rows = ["0\t7\tRed\tOne is. Two is!", "1\t7\tRed\tThree?", "2\t8\tBlue\tFour", "", "3\t7\tRed\tFive"]
    file.write_text("\n".join(rows), encoding="utf-8")
    assert list(read_documents(file, longest=LONG)) == [["One is.", "Two is!", "Three?"], ["Four"], ["Five"]]


def test_a_passage_without_an_article_is_a_document(tmp_path: Path) -> None:
    table, objects = tmp_path / "passages.tsv", tmp_path / "passages.jsonl"
    table.write_text("a\tOne.\na\tTwo.\n", encoding="utf-8")
    objects.write_text(
        '{"text": "One."}\n{"text": "Two."}\n{"text": "Three.", "article_id": 3}\n'
        '{"text": "Four.", "article_id": 3, "title": "Not read."}\n{"text": " "}\n',
        encoding="utf-8",
    )
    assert list(read_documents(table, longest=LONG)) == [["One."], ["Two."]]
    assert list(read_documents(objects, longest=LONG)) == [["One."], ["Two."], ["Three.", "Four."]]


def test_a_document_that_does_not_end_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "endless.txt"
    file.write_text("abcd\n" * 7, encoding="utf-8")
    assert [len(document) for document in read_documents(file, longest=12)] == [3, 3, 1]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One two. Three four? 5 is five!  Yes", ["One two.", "Three four?", "5 is five!", "Yes"]),
        ("It is 3.14 or so. e.g. this stays. But", ["It is 3.14 or so. e.g. this stays.", "But"]),
        ("Dr. Watson met J. R. Smith (b. 1870). He", ["Dr. Watson met J. R. Smith (b. 1870).", "He"]),
        ('He said "Go." Then left.', ['He said "Go."', "Then left."]),
        ("She saw etc. Others stayed. Vs. The rest", ["She saw etc. Others stayed.", "Vs. The rest"]),
        ("Is it I? No", ["Is it I?", "No"]),
        ("  ", []),
    ],
)
def test_passages_are_cut_into_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_a_bad_passage_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.tsv"
    file.write_text("a\tOne.\na\tb\tc\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.tsv, line 2: has 3 columns; write passages as"):
        list(read_documents(file, longest=LONG))
    file = tmp_path / "bad.jsonl"
    file.write_text('{"txt": "One."}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.jsonl, line 1: 'text' is missing"):
        list(read_documents(file, longest=LONG))
