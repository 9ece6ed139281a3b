"""Negatives chosen and false ones removed by a teacher's scores, by hand."""

from __future__ import annotations

import pytest

from distilrank.data.hard_negatives import NegativeCounts, NegativeSettings, choose_negatives
from distilrank.errors import InputError, SettingsError
from distilrank.records import Group

# Places:      0    1    2    3    4    5    6
SCORES = (5.0, 1.0, 4.8, 3.0, 0.5, 3.5, 4.5)
RELEVANCE = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0)


def group(scores: tuple[float, ...] | None = SCORES, relevance: tuple[float, ...] = RELEVANCE, **facts: str) -> Group:
    count = len(relevance)
    return Group(
        query="q",
        passages=tuple(f"p{i}" for i in range(count)),
        relevance=relevance,
        scores=scores,
        doc_ids=tuple(f"d{i}" for i in range(count)),
        **facts,
    )


def chosen(*groups: Group, **settings: object) -> tuple[list[list[int]], NegativeCounts]:
    counts = NegativeCounts()
    found = list(choose_negatives(groups, NegativeSettings(**settings), counts))  # type: ignore[arg-type]
    return [[int(passage[1:]) for passage in each.passages] for each in found], counts


def test_a_group_keeps_its_positives_and_what_belongs_to_each_passage() -> None:
    (found,) = choose_negatives([group(query_id="q1")], NegativeSettings(negatives=2), NegativeCounts())
    assert found == Group(
        query="q",
        passages=("p0", "p6", "p2", "p5"),
        relevance=(1.0, 2.0, 0.0, 0.0),
        scores=(5.0, 4.5, 4.8, 3.5),
        query_id="q1",
        doc_ids=("d0", "d6", "d2", "d5"),
    )


@pytest.mark.parametrize(
    ("by", "negatives", "expected"),
    [
        ("first-stage", 2, [1, 2]),
        ("teacher", 2, [2, 5]),
        ("teacher", 9, [1, 2, 3, 4, 5]),
        ("mixed", 2, [1, 2]),  # 2 is the hardest, 1 the first of the others
        ("mixed", 3, [1, 2, 5]),
        ("mixed", 4, [1, 2, 3, 5]),
    ],
)
def test_negatives_of_the_first_stage_of_the_teacher_and_of_both(by: str, negatives: int, expected: list[int]) -> None:
    found, counts = chosen(group(), by=by, negatives=negatives)
    assert found == [[0, 6, *expected]]
    assert counts == NegativeCounts(groups=1, negatives=len(expected))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"margin": 0.0}, [1, 3, 4, 5]),  # of the lower positive, 4.5
        ({"margin": 1.0}, [1, 3, 4, 5]),  # 3.5 itself stays
        ({"margin": 1.25}, [1, 3, 4]),
        ({"share": 0.5}, [1, 4]),
        ({"share": 1.0}, [1, 3, 4, 5]),
        ({"highest": 3.0}, [1, 3, 4]),
        ({"highest": 3.25, "margin": 4.0, "share": 0.99}, [4]),  # the lowest limit counts
    ],
)
def test_likely_false_negatives_are_removed(limits: dict[str, float], expected: list[int]) -> None:
    found, counts = chosen(group(), **limits)
    assert found == [[0, 6, *expected]]
    assert counts == NegativeCounts(groups=1, negatives=len(expected), removed=5 - len(expected), touched=1)


def test_nothing_is_removed_unless_told() -> None:
    found, counts = chosen(group((-3.0, 9.0), (1.0, 0.0)))
    assert found == [[0, 1]]
    assert counts.removed == counts.touched == 0


def test_groups_that_lose_everything_are_left_out_and_counted() -> None:
    groups = [group(), group((1.0, 9.0, 8.0), (1.0, 0.0, 0.0)), group((1.0,), (1.0,)), group((1.0, 2.0), (0.0, 0.0))]
    found, counts = chosen(*groups, margin=0.0)
    assert len(found) == 1
    assert counts == NegativeCounts(
        groups=1, negatives=4, removed=3, touched=2, without_negatives=2, without_positives=1
    )


def test_among_equal_scores_the_first_stage_decides() -> None:
    assert chosen(group((9.0, 1.0, 1.0, 1.0), (1.0, 0.0, 0.0, 0.0)), negatives=2)[0] == [[0, 1, 2]]


def test_what_cannot_be_chosen_from_is_refused() -> None:
    with pytest.raises(InputError, match="group 1 has no scores to choose by; make them with: distilrank teach"):
        chosen(group(None))
    with pytest.raises(InputError, match="the positive of the group of query 'q9' has the score -1, and a share of"):
        chosen(group((-1.0, -2.0), (1.0, 0.0), query_id="q9"), share=0.95)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"by": "bm25"}, "by is 'bm25' but must be first-stage, teacher or mixed"),
        ({"negatives": 0}, "negatives is 0"),
        ({"share": 0.0}, "share is 0 but must lie above 0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"margin": -0.1}, "margin is -0.1 but must not be negative"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        NegativeSettings(**settings)  # type: ignore[arg-type]
