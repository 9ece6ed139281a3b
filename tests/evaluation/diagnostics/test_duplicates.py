from __future__ import annotations

import random

import pytest

from distilrank.evaluation.diagnostics.duplicates import SamePair, near_duplicates, normalise_text, same_texts


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("What is BM25?", "  what IS\tbm25 "),
        ("naïve", "nai\u0308ve"),
        ("Straße", "STRASSE"),
        ("cow\u2019s milk", "cow's milk"),
        ("\uff34\uff45\uff58\uff54", "text"),
    ],
)
def test_case_punctuation_and_unicode_forms_do_not_count(one: str, two: str) -> None:
    assert normalise_text(one) == normalise_text(two)


def test_texts_without_words_remain_different() -> None:
    assert normalise_text("?") != normalise_text("!")
    assert normalise_text(" ? ") == "?"


def test_other_words_are_other_texts() -> None:
    assert normalise_text("vitamin c") != normalise_text("vitamin d")


def test_same_texts_are_found_across_splits_only() -> None:
    splits = {
        "train": {"a": "Why?", "b": "Where is it", "c": "where is it!"},
        "dev": {"d": "where IS it"},
        "test": {"e": "why", "f": "other"},
    }
    assert same_texts(splits) == [
        SamePair("train", "b", "dev", "d", 1.0),
        SamePair("train", "c", "dev", "d", 1.0),
        SamePair("train", "a", "test", "e", 1.0),
    ]


def test_near_duplicates_by_hand() -> None:
    splits = {
        "train": {"a": "how old is the sun", "b": "completely different words here"},
        "test": {"x": "how old is the moon", "y": "the sun is how old", "z": "How old is the sun?"},
    }
    # a and x share 4 of 6 words, a and y all 5, a and z are the same text.
    assert near_duplicates(splits, threshold=0.6) == [
        SamePair("train", "a", "test", "y", 1.0),
        SamePair("train", "a", "test", "x", 4 / 6),
    ]
    assert near_duplicates(splits, threshold=0.8) == [SamePair("train", "a", "test", "y", 1.0)]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.6, 0.75, 0.8, 1.0])
def test_the_filter_finds_what_comparing_all_pairs_finds(threshold: float) -> None:
    drawing = random.Random(7)
    vocabulary = [f"w{number}" for number in range(14)]

    def draw(prefix: str) -> dict[str, str]:
        return {f"{prefix}{n}": " ".join(drawing.choices(vocabulary, k=drawing.randint(1, 9))) for n in range(60)}

    splits = {"train": draw("a"), "dev": draw("b"), "test": draw("c")}
    expected = set()
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        for one, left in splits[first].items():
            for two, right in splits[second].items():
                shared, either = set(left.split()) & set(right.split()), set(left.split()) | set(right.split())
                if left != right and len(shared) / len(either) >= threshold:
                    expected.add((one, two))
    found = near_duplicates(splits, threshold=threshold)
    assert {(pair.first_id, pair.second_id) for pair in found} == expected
    assert len(expected) > (0 if threshold == 1.0 else 5)
    assert [pair.similarity for pair in found] == sorted((pair.similarity for pair in found), reverse=True)


def test_texts_without_words_are_no_near_duplicates() -> None:
    assert near_duplicates({"train": {"a": "", "b": "?"}, "test": {"c": "", "d": "!"}}) == []


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"threshold is 0\.0"):
        near_duplicates({}, threshold=0.0)
