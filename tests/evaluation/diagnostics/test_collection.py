from __future__ import annotations

from distilrank.evaluation.diagnostics.collection import scan_collection
from distilrank.records import Passage


def test_empty_and_repeated_passages_are_found() -> None:
    passages = [
        Passage("a", "one two"),
        Passage("b", ""),
        Passage("c", " \t", ""),
        Passage("d", "Two", "one"),
        Passage("e", "", "title only"),
        Passage("f", "one  TWO"),
        Passage("g", "three"),
    ]
    facts = scan_collection(passages)
    assert (facts.passages, facts.empty, facts.empty_ids) == (7, 2, ("b", "c"))
    # d reads "one Two" with its title in front; a came first and is no repetition.
    assert (facts.repeated, facts.repeated_ids) == (2, ("d", "f"))
    assert facts.mean_words == round((2 + 0 + 0 + 2 + 2 + 2 + 1) / 7, 1)


def test_only_the_first_ids_are_kept() -> None:
    facts = scan_collection([Passage(str(number), "") for number in range(30)])
    assert facts.empty == 30
    assert facts.empty_ids == tuple(map(str, range(10)))
    assert facts.repeated == 0


def test_progress_ends_at_the_number_of_passages() -> None:
    seen: list[int] = []
    scan_collection([Passage(str(number), str(number)) for number in range(2500)], progress=seen.append)
    assert seen == [1000, 2000, 2500]


def test_a_collection_may_be_empty() -> None:
    facts = scan_collection([])
    assert (facts.passages, facts.mean_words, facts.repeated) == (0, 0.0, 0)
