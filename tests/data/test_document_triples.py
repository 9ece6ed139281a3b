from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from distilrank.data.document_triples import filter_positives
from distilrank.errors import InputError, SettingsError
from distilrank.records import Group


class Teacher:
    """Scores a passage by the number that it is."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.calls.append(len(pairs))
        return np.array([float(passage) for _, passage in pairs], np.float32)


def log_odds(probability: float) -> str:
    return repr(math.log(probability / (1 - probability)))


def group(*positives: tuple[str, str], negatives: Sequence[tuple[str, str]] = (("n#_0", "99"),)) -> Group:
    """A group of (id, score) pairs."""
    entries = [*positives, *negatives]
    return Group(
        query="q",
        passages=tuple(passage for _, passage in entries),
        relevance=(2.0,) * len(positives) + (0.0,) * len(negatives),
        scores=tuple(float(place) for place in range(len(entries))),
        query_id="q1",
        doc_ids=tuple(doc_id for doc_id, _ in entries),
    )


def kept(given: Group, **options: object) -> list[str]:
    (found,) = filter_positives([given], Teacher(), **options)  # type: ignore[arg-type]
    return list(found.doc_ids)


def test_only_what_the_teacher_takes_for_relevant_stays() -> None:
    given = group(("a#_0", "-1"), ("a#_1", "0"), ("a#_2", "3"), ("b#_0", "-0.1"), ("b#_1", "5"))
    (found,) = filter_positives([given], Teacher())
    # sigmoid(0) is a half, which is enough. What is dropped is no negative either.
    assert found.doc_ids == ("a#_1", "a#_2", "b#_1", "n#_0")
    assert found.passages == ("0", "3", "5", "99")
    assert found.relevance == (2.0, 2.0, 2.0, 0.0)
    assert found.scores == (1.0, 2.0, 4.0, 5.0)
    assert (found.query, found.query_id) == ("q", "q1")


def test_the_threshold_is_a_probability() -> None:
    given = group(("a#_0", log_odds(0.69)), ("a#_1", log_odds(0.71)), ("a#_2", log_odds(0.9)))
    assert kept(given, threshold=0.7) == ["a#_1", "a#_2", "n#_0"]
    assert kept(given, threshold=0.0) == ["a#_0", "a#_1", "a#_2", "n#_0"]
    # Nothing is certain.
    assert kept(given, threshold=1.0) == ["a#_2", "n#_0"]


def test_the_best_passage_of_each_document_stays_if_none_passes() -> None:
    given = group(
        ("a#_0", "-3"), ("a#_1", "-1"), ("b#_0", "4"), ("b#_1", "-9"), ("c", "-800"), ("d#_0", "-2"), ("d#_1", "-2")
    )
    assert kept(given) == ["a#_1", "b#_0", "c", "d#_0", "n#_0"]
    assert kept(given, keep_best=False) == ["b#_0", "n#_0"]


def test_the_best_is_found_where_probabilities_are_all_zero() -> None:
    assert kept(group(("a#_0", "-900"), ("a#_1", "-800"))) == ["a#_1", "n#_0"]


def test_groups_without_positives_vanish() -> None:
    nothing = group()
    low, high = group(("a#_0", "-1")), group(("a#_0", "1"))
    found = list(filter_positives([nothing, low, high], Teacher(), keep_best=False))
    assert found == [high]
    assert list(filter_positives([nothing], Teacher())) == []


def test_negatives_are_not_scored_and_many_groups_are_scored_together() -> None:
    teacher = Teacher()
    groups = [group(("a#_0", "1"), ("a#_1", str(-i))) for i in range(100)]
    found = list(filter_positives(iter(groups), teacher))
    assert [len(each.passages) for each in found] == [3] + [2] * 99
    assert teacher.calls == [128, 72]


def test_unscored_groups_stay_unscored() -> None:
    given = Group(query="q", passages=("1", "2"), relevance=(1.0, 0.0), doc_ids=("a#_0", "b#_0"))
    (found,) = filter_positives([given], Teacher())
    assert found == given


def test_what_cannot_be_filtered_is_refused() -> None:
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingsError, match="must lie between 0 and 1"):
            filter_positives([], Teacher(), threshold=threshold)
    nameless = Group(query="red", passages=("1",), relevance=(1.0,))
    with pytest.raises(InputError, match="the group of query 'red' has no pos_ids"):
        list(filter_positives([nameless], Teacher()))
