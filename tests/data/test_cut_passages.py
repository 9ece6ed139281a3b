from __future__ import annotations

import pytest

from distilrank.data.cut_passages import CutSettings, cut_passages, document_of, passage_id, passages_of
from distilrank.errors import SettingsError
from distilrank.records import Passage


def words(start: int, end: int) -> str:
    return " ".join(f"w{number}" for number in range(start, end))


def cut(text: str, *, window: int, stride: int) -> list[str]:
    settings = CutSettings(window=window, stride=stride)
    return [passage.text for passage in cut_passages([Passage("d", text)], settings)]


def test_windows_overlap_and_the_last_one_is_what_remains() -> None:
    assert cut(words(0, 10), window=4, stride=3) == [words(0, 4), words(3, 7), words(6, 10)]
    assert cut(words(0, 11), window=4, stride=3) == [words(0, 4), words(3, 7), words(6, 10), words(9, 11)]


def test_a_short_document_is_one_passage() -> None:
    assert cut(words(0, 4), window=4, stride=1) == [words(0, 4)]
    assert cut(words(0, 5), window=4, stride=4) == [words(0, 4), words(4, 5)]


def test_no_passage_is_only_a_part_of_the_one_before() -> None:
    assert cut(words(0, 8), window=8, stride=4) == [words(0, 8)]


def test_every_word_is_in_a_passage() -> None:
    for length in range(1, 40):
        found = {word for text in cut(words(0, length), window=7, stride=5) for word in text.split()}
        assert found == set(words(0, length).split())


def test_a_document_without_words_keeps_its_place() -> None:
    passages = list(cut_passages([Passage("a", " \n", "title"), Passage("b", "text")]))
    assert [(passage.doc_id, passage.text, passage.title) for passage in passages] == [
        ("a#_0", "", "title"),
        ("b#_0", "text", ""),
    ]


def test_titles_and_white_space_are_kept() -> None:
    passages = list(cut_passages([Passage("D1", "one\ttwo\n\nthree  four", "T")], CutSettings(window=3, stride=2)))
    assert [(p.doc_id, p.text, p.title) for p in passages] == [
        ("D1#_0", "one\ttwo\n\nthree", "T"),
        ("D1#_1", "three  four", "T"),
    ]


def test_the_default_is_150_words_every_75() -> None:
    passages = list(cut_passages([Passage("d", words(0, 200))]))
    assert [passage.text for passage in passages] == [words(0, 150), words(75, 200)]


@pytest.mark.parametrize(("doc_id", "document"), [("d#_0", "d"), ("a#_1#_12", "a#_1"), ("d", "d"), ("d#_x", "d#_x")])
def test_the_document_of_a_passage(doc_id: str, document: str) -> None:
    assert document_of(doc_id) == document


def test_passages_of_a_document_stop_at_its_last() -> None:
    known = {passage_id("d", number) for number in (0, 1, 2, 4)} | {"e#_0"}
    assert passages_of("d", known) == ["d#_0", "d#_1", "d#_2"]
    assert passages_of("x", known) == []


@pytest.mark.parametrize(("window", "stride"), [(0, 1), (10, 0), (10, 11)])
def test_settings_that_would_lose_words_are_refused(window: int, stride: int) -> None:
    with pytest.raises(SettingsError, match=r"window|stride"):
        CutSettings(window=window, stride=stride)
