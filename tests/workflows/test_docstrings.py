from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from distilrank.data.beir import read_corpus, read_qrels, read_queries
from distilrank.errors import InputError
from distilrank.workflows.docstrings import (
    Docstring,
    first_sentence,
    merge_near_duplicates,
    read_docstrings,
    standard_library,
    write_collection,
)

REST = " ".join(f"word{i}" for i in range(25))


def library(folder: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A library of every kind of thing that has a docstring, and of what has none."""
    return library(
        tmp_path / "lib",
        {
            "b.py": '''
                """Module b."""
                class Cat:
                    """A cat.

                    It sleeps.
                    """
                    def purr(self):
                        """Make a noise."""
                        def inner():
                            """Inside."""
                    async def run(self):
                        """Go."""
                def silent(): pass
                if True:
                    def conditional():
                        """Only here."""
                try:
                    import fast
                except ImportError:
                    pass
                else:
                    pass
            ''',
            "a/__init__.py": '"""The package."""',
            "a/part.py": '"""A part."""',
            "broken.py": "def (:",
            "latin.py": "",
            "test/test_b.py": '"""Left out."""',
            "site-packages/other.py": '"""Left out."""',
        },
    )


def test_every_docstring_is_read_under_its_dotted_name(small: Path) -> None:
    (small / "latin.py").write_bytes('"""Caf\xe9."""'.encode("latin-1"))
    (small / "null.py").write_bytes(b'"""Zero\x00."""')
    found = list(read_docstrings(small))
    assert [docstring.name for docstring in found] == [
        "a", "a.part", "b", "b.Cat", "b.Cat.purr", "b.Cat.purr.inner", "b.Cat.run", "b.conditional",
    ]  # fmt: skip
    assert {docstring.name: docstring.text for docstring in found}["b.Cat"] == "A cat.\n\nIt sleeps."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Read a file. It is closed.", ("Read a file.", "It is closed.")),
        ("Read e.g. a file\nof two lines. Then stop.", ("Read e.g. a file of two lines.", "Then stop.")),
        ("A heading\n\nand what follows. More.", ("A heading", "and what follows. More.")),
        ("Is it? `Yes`.", ("Is it?", "`Yes`.")),
        ("Only one sentence.", ("Only one sentence.", "")),
        ("", ("", "")),
    ],
)
def test_first_sentences(text: str, expected: tuple[str, str]) -> None:
    assert first_sentence(text) == expected


def test_near_duplicates_are_merged_into_the_first() -> None:
    ten = [f"w{i}" for i in range(10)]
    docstrings = [
        Docstring("first", " ".join(ten)),
        Docstring("same but for case and marks", " ".join(ten).upper() + "!"),
        Docstring("nine of eleven words", " ".join([*ten[:9], "new"])),  # 9 / 11 = 0.82
        Docstring("eight of twelve words", " ".join([*ten[:8], "new", "newer"])),  # 8 / 12 = 0.67
        Docstring("like the last two", " ".join([*ten[:8], "w8", "new", "newer"])),
        Docstring("without words", "--- !"),
        Docstring("other", "quite another text about something else"),
    ]
    # The fifth is near the fourth (10 / 11) and merged into it; near the third too, which is gone by then.
    assert [d.name for d in merge_near_duplicates(docstrings)] == ["first", "eight of twelve words", "other"]


def many(count: int) -> dict[str, str]:
    """Modules whose docstrings are a question and an answer, all of other words."""
    return {
        f"m{i:02}.py": f'"""What module m{i} is for here. {" ".join(f"Word{i}x{j}" for j in range(25))}"""'
        for i in range(count)
    }


def test_a_collection_of_questions_and_answers(tmp_path: Path) -> None:
    files = {
        **many(12),
        "short.py": '"""What short is for here. Too little."""',
        "few.py": f'"""Too few words. {REST}"""',
        "copy.py": many(1)["m00.py"],
    }
    made = write_collection(tmp_path / "out", test=3, dev=2, seed=1, library=library(tmp_path / "lib", files))
    corpus = {passage.doc_id: passage for passage in read_corpus(tmp_path / "out" / "corpus.jsonl")}
    queries = read_queries(tmp_path / "out" / "queries.jsonl")
    # m00 is a copy of copy, which comes first; short and few answer no question but are passages.
    assert set(corpus) == {"copy", "few", "short", *(f"m{i:02}" for i in range(1, 12))}
    assert set(queries) == {f"q-{doc_id}" for doc_id in corpus} - {"q-few", "q-short"}
    assert made.passages == len(corpus)
    assert made.queries == {"test": 3, "dev": 2, "train": 7}
    assert queries["q-m07"].text == "What module m7 is for here."
    assert corpus["m07"].text.startswith("Word7x0 Word7x1")
    assert corpus["short"].text == "What short is for here. Too little."

    splits = {split: read_qrels(tmp_path / "out" / "qrels" / f"{split}.tsv") for split in ("train", "dev", "test")}
    assert {split: len(qrels) for split, qrels in splits.items()} == made.queries
    members = [query_id for qrels in splits.values() for query_id in qrels]
    assert sorted(members) == sorted(queries)
    assert len(set(members)) == len(members)
    for qrels in splits.values():
        assert all(judged == {query_id.removeprefix("q-"): 1} for query_id, judged in qrels.items())


def test_the_seed_decides_the_splits_and_nothing_else(tmp_path: Path) -> None:
    source = library(tmp_path / "lib", many(12))
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        write_collection(tmp_path / name, test=3, dev=2, seed=seed, library=source)

    def content(name: str, file: str) -> str:
        return (tmp_path / name / file).read_text(encoding="utf-8")

    for file in ("corpus.jsonl", "queries.jsonl"):
        assert content("one", file) == content("again", file) == content("two", file)
    assert content("one", "qrels/test.tsv") == content("again", "qrels/test.tsv")
    assert content("one", "qrels/test.tsv") != content("two", "qrels/test.tsv")


def test_a_name_defined_twice_gives_two_passages(tmp_path: Path) -> None:
    source = library(
        tmp_path / "lib",
        {
            **many(4),
            "os.py": '''
                if a:
                    def link():
                        """Make one thing for a system."""
                else:
                    def link():
                        """Quite another text about something else."""
            ''',
        },
    )
    write_collection(tmp_path / "out", test=1, dev=1, seed=0, library=source)
    found = [passage.doc_id for passage in read_corpus(tmp_path / "out" / "corpus.jsonl")]
    assert len(set(found)) == len(found)
    assert sum(doc_id.startswith("os.link") for doc_id in found) == 2


def test_too_few_questions_are_refused(tmp_path: Path) -> None:
    source = library(tmp_path / "lib", many(9))
    with pytest.raises(InputError, match="gives 9 queries, too few for 3 to test on and 2 for dev"):
        write_collection(tmp_path / "out", test=3, dev=2, seed=1, library=source)
    assert not (tmp_path / "out").exists()


def test_the_standard_library_is_where_its_modules_are() -> None:
    assert (standard_library() / "json" / "decoder.py").is_file()
