from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.data import msmarco
from distilrank.data.lines import BadLines
from distilrank.data.msmarco import TeacherTriple
from distilrank.errors import InputError
from distilrank.records import Group, Passage, Query


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "a.tsv").write_bytes(text.encode())
    return tmp_path / "a.tsv"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeff1\tone 😀\r\n2\t\n", [Passage("1", "one 😀"), Passage("2", "")]),
        ("1\tT\tone\n2\t\t\n", [Passage("1", "one", "T"), Passage("2", "", "")]),
        ("D1\thttp://x\tT\tbody \u2028 x\nD2\t\t\t\n", [Passage("D1", "body \u2028 x", "T"), Passage("D2", "", "")]),
    ],
)
def test_collections_of_two_three_and_four_columns(tmp_path: Path, text: str, expected: list[Passage]) -> None:
    assert list(msmarco.read_collection(write(tmp_path, text))) == expected


def test_a_tab_inside_a_text_is_found_and_not_taken_for_a_title(tmp_path: Path) -> None:
    path = write(tmp_path, "1\tone\n2\ttwo\twords\n3\tthree\n")
    with pytest.raises(InputError, match="line 2: has 3 tab-separated columns where the lines before have 2"):
        list(msmarco.read_collection(path))
    bad = BadLines(allowed=1)
    assert [passage.doc_id for passage in msmarco.read_collection(path, bad=bad)] == ["1", "3"]


@pytest.mark.parametrize("line", ["lonely", "a\tb\tc\td\te"])
def test_other_numbers_of_columns_are_refused(tmp_path: Path, line: str) -> None:
    path = write(tmp_path, f"{line}\n1\tone\n")
    with pytest.raises(InputError, match=r"line 1: has [15] tab-separated columns where a collection has 2 \(doc_id"):
        list(msmarco.read_collection(path))
    assert list(msmarco.read_collection(path, bad=BadLines(allowed=1))) == [Passage("1", "one")]


def test_queries(tmp_path: Path) -> None:
    path = write(tmp_path, "7\twhat is this\n8\t\n7\tagain\n9\ta\tb\n\tx\n")
    bad = BadLines(allowed=3)
    assert msmarco.read_queries(path, bad=bad) == {"7": Query("7", "what is this"), "8": Query("8", "")}
    messages = [str(error).split(": ", 1)[1] for error in bad.skipped]
    assert messages[0].startswith("query id '7' was used before")
    assert messages[1] == "has 3 tab-separated columns where 2 are expected; write it as query_id, text"
    assert messages[2].startswith("has no 'query_id'")


def test_text_triples_are_groups_of_two(tmp_path: Path) -> None:
    path = write(tmp_path, "q\tpos\tneg\nq\tpos\n")
    triples = msmarco.read_triples(path)
    assert next(triples) == Group(query="q", passages=("pos", "neg"), relevance=(1.0, 0.0))
    with pytest.raises(InputError, match="line 2: has 2 tab-separated columns where 3 are expected"):
        next(triples)


def test_id_triples_are_looked_up(tmp_path: Path) -> None:
    queries = {"1": Query("1", "what")}
    passages = {"a": Passage("a", "text", "Title"), "b": Passage("b", "other")}
    path = write(tmp_path, "1\ta\tb\n2 a b\n1 a c\n1 a\n1 b a\n")
    bad = BadLines(allowed=3)
    groups = list(msmarco.read_id_triples(path, queries=queries, passages=passages, bad=bad))
    assert groups == [
        Group(
            query="what",
            passages=("Title text", "other"),
            relevance=(1.0, 0.0),
            query_id="1",
            doc_ids=("a", "b"),
        ),
        Group(
            query="what",
            passages=("other", "Title text"),
            relevance=(1.0, 0.0),
            query_id="1",
            doc_ids=("b", "a"),
        ),
    ]
    problems = ["query id '2' is not among", "passage id 'c' is not in the collection", "has 2 columns where 3"]
    assert all(problem in str(error) for problem, error in zip(problems, bad.skipped, strict=True))


def test_candidates_keep_the_order_of_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "q2\td9\ttwo\tnine\nq1\td1\tone\tuno\nq2\td1\ttwo\tuno\nq2\td9\ttwo\tnine\n")
    with pytest.raises(InputError, match="line 4: passage 'd9' is listed twice for query 'q2'"):
        msmarco.read_candidates(path)
    found = msmarco.read_candidates(path, bad=BadLines(allowed=1))
    assert found.run == {"q2": {"d9": -1.0, "d1": -2.0}, "q1": {"d1": -1.0}}
    assert found.queries == {"q2": Query("q2", "two"), "q1": Query("q1", "one")}
    assert found.passages == {"d9": Passage("d9", "nine"), "d1": Passage("d1", "uno")}


def test_teacher_triples(tmp_path: Path) -> None:
    path = write(tmp_path, "11.5\t-2\t1\t2\t3\nhigh\t1\t1\t2\t3\nnan\t1\t1\t2\t3\n1\t2\t\t2\t3\n")
    bad = BadLines(allowed=3)
    assert list(msmarco.read_teacher_triples(path, bad=bad)) == [TeacherTriple(11.5, -2.0, "1", "2", "3")]
    problems = ["positive score 'high' is not a number", "'nan' is not a finite number", "has no 'id'"]
    assert all(problem in str(error) for problem, error in zip(problems, bad.skipped, strict=True))


def test_collections_queries_and_teacher_triples_are_written(tmp_path: Path) -> None:
    passages = [Passage("1", "one"), Passage("2", "😀")]
    msmarco.write_collection(passages, tmp_path / "collection.tsv.gz")
    assert list(msmarco.read_collection(tmp_path / "collection.tsv.gz")) == passages
    titled = [Passage("1", "one", "T"), Passage("2", "two", "")]
    msmarco.write_collection(titled, tmp_path / "titled.tsv", with_titles=True)
    assert list(msmarco.read_collection(tmp_path / "titled.tsv")) == titled
    queries = {"1": Query("1", "what")}
    msmarco.write_queries(queries.values(), tmp_path / "queries.tsv")
    assert msmarco.read_queries(tmp_path / "queries.tsv") == queries
    triples = [TeacherTriple(0.1, -1e-9, "1", "2", "3")]
    msmarco.write_teacher_triples(triples, tmp_path / "scores.tsv")
    assert list(msmarco.read_teacher_triples(tmp_path / "scores.tsv")) == triples


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\rb"])
def test_texts_that_would_shift_columns_are_not_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="holds a tab or a line end"):
        msmarco.write_collection([Passage("1", text)], tmp_path / "c.tsv")
    with pytest.raises(InputError, match="has a title"):
        msmarco.write_collection([Passage("1", "x", "T")], tmp_path / "c.tsv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_real_wikipedia_passages(shared_data: Path) -> None:
    count = 0
    kept = {}
    for count, passage in enumerate(msmarco.read_collection(shared_data / "wikipedia_2015_26k" / "passages.tsv.xz"), 1):
        if count in (1, 10, 695_979):
            kept[count] = passage
    assert count == 695_979
    assert kept[1].doc_id == "0"
    assert kept[1].title == "Anarchism"
    assert kept[1].text.startswith("Anarchism is a political philosophy that advocates stateless societies")
    assert kept[10].doc_id == "9"
    assert kept[695_979].doc_id == "695978"
