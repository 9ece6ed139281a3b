from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import numpy as np
import pytest

from distilrank.data.lines import BadLines
from distilrank.data.word_vectors import WordVectors, read_word_vectors
from distilrank.errors import InputError

GLOVE = "good 1 0\nbad 0.9 0.1\nwell 0 1\nill -1 0\n"
WORD2VEC = f"4 2\n{GLOVE}"


def written(folder: Path, text: str, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def random_vectors(words: int, dimensions: int, *, seed: int = 0) -> WordVectors:
    vectors = np.random.default_rng(seed).normal(size=(words, dimensions)).astype(np.float32)
    return WordVectors(tuple(f"w{i}" for i in range(words)), vectors)


@pytest.mark.parametrize("text", [GLOVE, WORD2VEC, WORD2VEC.replace("\n", " \n"), WORD2VEC.replace("\n", "\r\n")])
def test_both_text_forms_give_the_same_words_and_numbers(tmp_path: Path, text: str) -> None:
    vectors = read_word_vectors(written(tmp_path, text))
    assert vectors.words == ("good", "bad", "well", "ill")
    assert vectors.vectors.dtype == np.float32
    assert vectors.vectors.tolist() == pytest.approx(np.array([[1, 0], [0.9, 0.1], [0, 1], [-1, 0]], np.float32))
    assert dict(vectors.index) == {"good": 0, "bad": 1, "well": 2, "ill": 3}
    assert vectors.dimensions == 2


def test_packed_files_are_read_as_they_are(tmp_path: Path) -> None:
    for name, pack in (("v.gz", gzip.compress), ("v.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(GLOVE.encode()))
        assert read_word_vectors(tmp_path / name).words == ("good", "bad", "well", "ill")


def test_nearest_by_hand() -> None:
    vectors = WordVectors(("a", "b", "c", "d"), np.array([[2, 0], [1, 1], [0, 3], [-5, 0]], np.float32))
    # Cosines to a: b 0.71, c 0, d -1; lengths do not matter.
    assert vectors.nearest("a", 3) == ["b", "c", "d"]
    assert vectors.nearest("a", 1) == ["b"]
    assert vectors.nearest("a", 99) == ["b", "c", "d"]
    assert vectors.nearest("c", 2) == ["b", "a"]  # a and d are equally far, a stands first


def test_nearest_is_that_of_plain_cosines() -> None:
    vectors = random_vectors(700, 8)
    directions = vectors.vectors.astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    for row, near in enumerate(vectors.nearest_many(vectors.words, 15)):
        assert near == [f"w{i}" for i in np.argsort(-cosines[row], kind="stable")[:15]]


def test_neighbours_do_not_depend_on_the_company_of_words() -> None:
    vectors = random_vectors(600, 5)
    together = vectors.nearest_many(vectors.words, 4)
    assert [vectors.nearest(word, 4) for word in vectors.words[:300]] == together[:300]


def test_words_without_a_vector_or_a_direction_have_no_neighbours() -> None:
    vectors = WordVectors(("a", "zero", "b"), np.array([[1, 0], [0, 0], [-1, 0]], np.float32))
    assert vectors.nearest_many(["a", "unknown", "zero", "b"], 2) == [["b"], [], [], ["a"]]


def test_no_neighbours_are_asked_for() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        random_vectors(3, 2).nearest("w0", 0)


def test_limit_reads_the_first_words_only(tmp_path: Path) -> None:
    for text in (GLOVE, WORD2VEC):
        assert read_word_vectors(written(tmp_path, f"{text}broken\n"), limit=2).words == ("good", "bad")
    with pytest.raises(InputError, match="limit is 0"):
        read_word_vectors(written(tmp_path, GLOVE), limit=0)


def test_words_may_hold_blanks_and_the_first_of_two_counts(tmp_path: Path) -> None:
    vectors = read_word_vectors(written(tmp_path, "good 1 2\n. . 3 4\ngood 5 6\n\u00e9t\u00e9 7 8\n"))
    assert vectors.words == ("good", ". .", "\u00e9t\u00e9")
    assert vectors.vectors.tolist() == [[1, 2], [3, 4], [7, 8]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{GLOVE}short 1\n", "line 5: is not a word with 2 numbers"),
        (f"{GLOVE}word 1 x\n", "line 5: is not a word with 2 numbers"),
        (f"{GLOVE}word 1 nan\n", "line 5: holds a number that is not finite"),
        (f"{GLOVE} 1 2\n", "line 5: is not a word with 2 numbers"),
        ("4 3\ngood 1 0\n", "line 2: is not a word with 3 numbers"),
        (f"9 2\n{GLOVE}", "holds 4 words where its header says 9"),
        ("word\n", "line 1: is not a word with some numbers"),
        ("", "holds no word vectors"),
        ("0 2\n", "holds no word vectors"),
    ],
)
def test_what_is_no_file_of_vectors_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_word_vectors(written(tmp_path, text))
    assert caught.value.path == tmp_path / "vectors.txt"


def test_bad_lines_may_be_skipped(tmp_path: Path) -> None:
    bad = BadLines(allowed=1)
    vectors = read_word_vectors(written(tmp_path, "3 2\ngood 1 0\nshort 1\nwell 0 1\n"), bad=bad)
    assert vectors.words == ("good", "well")
    assert [error.line for error in bad.skipped] == [3]


def test_words_and_vectors_must_be_as_many() -> None:
    with pytest.raises(ValueError, match=r"2 words.*\(3, 2\)"):
        WordVectors(("a", "b"), np.zeros((3, 2), np.float32))


def test_the_real_file_has_the_neighbours_that_its_source_states(shared_data: Path) -> None:
    path = shared_data / "word_vectors" / "w2v_wiki_books_100d.txt.gz"
    vectors = read_word_vectors(path, limit=10_000)
    assert vectors.vectors.shape == (10_000, 100)
    assert vectors.words[0] == "the"
    assert vectors.nearest("good", 1) == ["bad"]
    assert set(vectors.nearest("2001", 3)) == {"2002", "2003", "2004"}
