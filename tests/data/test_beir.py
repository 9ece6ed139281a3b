from __future__ import annotations

from pathlib import Path

import pytest

from distilrank.data import beir
from distilrank.data.lines import BadLines
from distilrank.errors import InputError
from distilrank.records import Passage, Query


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_nasty_passages_are_read_as_they_are(tmp_path: Path) -> None:
    path = write(
        tmp_path / "corpus.jsonl",
        '\ufeff{"_id": "a\\tb", "title": "tab\\there", "text": "line\\nend 😀 \\ud83d\\ude00"}\r\n'
        "\r\n"
        '{"_id": 7, "text": ""}\n'
        '{"_id": "8", "title": null, "text": " \u2028 ", "metadata": {"url": "x"}}',
    )
    assert list(beir.read_corpus(path)) == [
        Passage("a\tb", "line\nend 😀 😀", "tab\there"),
        Passage("7", "", ""),
        Passage("8", " \u2028 ", ""),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"title": "x", "text": "y"}', "has no '_id'; give every record an identifier"),
        ('{"_id": "", "text": "y"}', "has no '_id'"),
        ('{"_id": "2"}', "'text' is missing; give it a text, which may be empty"),
        ('{"_id": "2", "text": 5}', "'text' is int, not a string"),
        ('{"_id": "2", "text": "x", "title": 5}', "'title' is int, not a string"),
        ("2\tx", "is not JSON"),
    ],
)
def test_a_bad_passage_names_file_line_and_cure(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "corpus.jsonl", f'{{"_id": "1", "text": "x"}}\n{line}\n{{"_id": "3", "text": "z"}}\n')
    with pytest.raises(InputError, match=message) as error:
        list(beir.read_corpus(path))
    assert str(error.value).startswith(f"{path}, line 2: ")
    bad = BadLines(allowed=1)
    assert [passage.doc_id for passage in beir.read_corpus(path, bad=bad)] == ["1", "3"]
    assert [error.line for error in bad.skipped] == [2]


def test_passages_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", '{"_id": "1", "text": "x"}\nbroken\n')
    assert next(beir.read_corpus(path)) == Passage("1", "x")


def test_a_query_id_used_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", '{"_id": "1", "text": "x"}\n{"_id": 1, "text": "y"}\n')
    with pytest.raises(InputError, match="line 2: query id '1' was used before"):
        beir.read_queries(path)
    assert beir.read_queries(path, bad=BadLines(allowed=1)) == {"1": Query("1", "x")}


def test_qrels_with_and_without_header_and_in_trec_columns(tmp_path: Path) -> None:
    expected = {"q 1": {"d 1": 2, "d2": 0}, "q2": {"d2": -1}}
    body = "q 1\td 1\t2\r\nq 1\td2\t0\nq2\td2\t-1\n"
    for head in ("", "query-id\tcorpus-id\tscore\n", "query_id\tcorpus_id\tscore\r\n"):
        assert beir.read_qrels(write(tmp_path / "test.tsv", head + body)) == expected
    assert beir.read_qrels(write(tmp_path / "test.tsv", "1 0 2 3\n1\t0\t4\t1\n")) == {"1": {"2": 3, "4": 1}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\td9\thigh", "relevance 'high' is not a number"),
        ("q1\td9", "has 2 columns where 3 are expected; write it as query-id, corpus-id, score, parted by tabs"),
        ("q1\t\t1", "has no 'corpus-id'"),
        ("q1\td1\t0", "were judged 1 before and 0 here"),
    ],
)
def test_bad_judgements_say_what_is_wrong(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "test.tsv", f"query-id\tcorpus-id\tscore\nq1\td1\t1\n{line}\n")
    with pytest.raises(InputError, match=f"line 3: .*{message}"):
        beir.read_qrels(path)
    assert beir.read_qrels(path, bad=BadLines(allowed=1)) == {"q1": {"d1": 1}}


def test_a_first_line_that_is_bad_is_not_taken_for_a_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1"):
        beir.read_qrels(write(tmp_path / "test.tsv", "q1\td1\thigh\n"))


@pytest.mark.parametrize("packing", ["", ".gz", ".xz", ".zst"])
def test_what_is_written_reads_back(tmp_path: Path, packing: str) -> None:
    passages = [Passage("1", "tab\t, line\n, \u2028, 😀", "T"), Passage("2", "")]
    queries = {"q 1": Query("q 1", "what?\r\n"), "2": Query("2", "")}
    qrels = {"q 1": {"1": 1, "2": 0}, "2": {"1": -2}}
    beir.write_corpus(passages, tmp_path / f"corpus.jsonl{packing}")
    beir.write_queries(queries.values(), tmp_path / f"queries.jsonl{packing}")
    beir.write_qrels(qrels, tmp_path / f"test.tsv{packing}")
    assert list(beir.read_corpus(tmp_path / f"corpus.jsonl{packing}")) == passages
    assert beir.read_queries(tmp_path / f"queries.jsonl{packing}") == queries
    assert beir.read_qrels(tmp_path / f"test.tsv{packing}") == qrels


def test_ids_that_would_shift_columns_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the id 'd\\t1' is empty or holds a tab"):
        beir.write_qrels({"q": {"d\t1": 1}}, tmp_path / "test.tsv")
    assert list(tmp_path.iterdir()) == []


def test_real_nfcorpus(shared_data: Path) -> None:
    folder = shared_data / "nfcorpus"
    passages = list(beir.read_corpus(folder / "corpus.jsonl.gz"))
    assert len(passages) == 3633
    assert [passages[place].doc_id for place in (0, 9, -1)] == ["MED-10", "MED-335", "MED-961"]
    assert passages[0].title == "Statin Use and Breast Cancer Survival: A Nationwide Cohort Study from Finland"
    assert passages[9].title.startswith("Differences among total and in vitro digestible phosphorus")
    queries = beir.read_queries(folder / "queries.jsonl")
    assert len(queries) == 3237
    assert queries["PLAIN-3"] == Query("PLAIN-3", "Breast Cancer Cells Feed on Cholesterol")
    judged = {split: beir.read_qrels(folder / "qrels" / f"{split}.tsv") for split in ("train", "dev", "test")}
    assert {split: (len(qrels), sum(map(len, qrels.values()))) for split, qrels in judged.items()} == {
        "train": (2590, 110575),
        "dev": (324, 11385),
        "test": (323, 12334),
    }
    assert judged["test"]["PLAIN-2"]["MED-2427"] == 2
