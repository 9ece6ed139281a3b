"""Mixing teachers: scales by hand and by scipy, weights, agreement, and groups that are not the same."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from distilrank.errors import InputError, SettingsError
from distilrank.records import Group
from distilrank.teaching.mixing import (
    SCALES,
    MixSettings,
    Scores,
    agreement,
    mix_scores,
    require_same_groups,
    with_scores,
)


def scores_of(*groups: list[float]) -> Scores:
    return Scores.of([group(list_) for list_ in groups], name="a teacher")


def group(scores: list[float] | None, *, query: str = "q", query_id: str = "", first: str = "p0") -> Group:
    count = 2 if scores is None else len(scores)
    return Group(
        query=query,
        passages=(first, *(f"p{i}" for i in range(1, count))),
        relevance=(1.0, *(0.0,) * (count - 1)),
        scores=None if scores is None else tuple(scores),
        query_id=query_id,
    )


def test_scores_of_groups_lie_one_after_the_other() -> None:
    found = scores_of([1.0, 2.0], [3.0], [4.0, 5.0, 6.0])
    np.testing.assert_array_equal(found.values, [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(found.starts, [0, 2, 3, 6])
    assert [own.tolist() for own in found.each()] == [[1, 2], [3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("scale", "per", "expected"),
    [
        ("z-score", "query", [-1, 1, 0, 0]),
        ("z-score", "all", [-(3**0.5), *[3**-0.5] * 3]),  # mean 3, deviation sqrt(3)
        ("min-max", "query", [0, 1, 0.5, 0.5]),
        ("min-max", "all", [0, 1, 1, 1]),
        ("rank", "query", [0, 1, 0.5, 0.5]),
        ("rank", "all", [0, 2 / 3, 2 / 3, 2 / 3]),
        ("none", "query", [0, 4, 4, 4]),
    ],
)
def test_scales_by_hand(scale: str, per: str, expected: list[float]) -> None:
    found = scores_of([0.0, 4.0], [4.0, 4.0]).scaled(scale, per=per)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


def test_scales_by_scipy() -> None:
    values = np.random.default_rng(0).normal(3, 7, 200).round(1)  # with ties
    np.testing.assert_allclose(SCALES["z-score"](values), stats.zscore(values))
    np.testing.assert_allclose(SCALES["rank"](values), (stats.rankdata(values) - 1) / 199)
    for scale in ("z-score", "min-max", "rank"):
        moved = SCALES[scale](values * 5.0 + 11.0)
        np.testing.assert_allclose(moved, SCALES[scale](values), atol=1e-12, err_msg=scale)


@pytest.mark.parametrize("scale", list(SCALES))
@pytest.mark.parametrize("values", [[0.1] * 3, [7.0], [-1e-9, 1e-9]])
def test_every_scale_stays_finite_and_equal_scores_get_the_middle(scale: str, values: list[float]) -> None:
    found = SCALES[scale](np.array(values))
    assert np.isfinite(found).all()
    if len(set(values)) == 1 and scale != "none":
        assert set(found.tolist()) == {0.0 if scale == "z-score" else 0.5}


def test_a_weighted_mean_by_hand() -> None:
    a, b = scores_of([0.0, 1.0], [2.0, 2.0]), scores_of([30.0, 10.0], [10.0, 30.0])
    settings = MixSettings(scale="min-max", weights=(1, 3))
    np.testing.assert_allclose(mix_scores([a, b], settings).values, [0.75, 0.25, 0.125, 0.875])
    np.testing.assert_allclose(mix_scores([a, b], MixSettings(scale="none")).values, [15, 5.5, 6, 16])


def test_without_a_scale_the_louder_teacher_decides_and_with_one_it_does_not() -> None:
    quiet, loud = scores_of([0.1, 0.2, 0.9]), scores_of([40.0, -30.0, 10.0])
    raw = mix_scores([quiet, loud], MixSettings(scale="none")).values
    assert raw.argsort().tolist() == loud.values.argsort().tolist()
    assert mix_scores([quiet, loud], MixSettings()).values.argmax() == 2


@pytest.mark.parametrize("scale", list(SCALES))
def test_a_teacher_of_weight_0_is_left_out(scale: str) -> None:
    a, b = scores_of([0.0, 3.0, 1.0]), scores_of([30.0, 10.0, 5.0])
    settings = MixSettings(scale=scale, weights=(2, 0))  # type: ignore[arg-type]
    np.testing.assert_allclose(mix_scores([a, b], settings).values, a.scaled(settings.scale, per="query").values)


def test_mixed_scores_go_back_into_the_groups() -> None:
    groups = [group([1.0, 2.0], query="a"), group([3.0], query="b")]
    found = list(with_scores(groups, scores_of([5.0, 6.0], [7.0])))
    assert [each.scores for each in found] == [(5.0, 6.0), (7.0,)]
    assert [each.query for each in found] == ["a", "b"]
    assert found[0].relevance == (1.0, 0.0)


def test_agreement_by_hand_and_by_scipy() -> None:
    same, reversed_ = scores_of([1, 2, 3.0]), scores_of([3, 2, 1.0])
    assert agreement(same, same).kendall_tau == pytest.approx(1)
    assert agreement(same, reversed_).kendall_tau == pytest.approx(-1)
    assert (agreement(same, same).same_best, agreement(same, reversed_).same_best) == (1, 0)
    draw = np.random.default_rng(1)
    lists = [(draw.normal(size=n).round(1), draw.normal(size=n).round(1)) for n in (2, 5, 30, 100)]
    a, b = (scores_of(*(pair[side].tolist() for pair in lists)) for side in (0, 1))
    expected = np.mean([stats.kendalltau(*pair).statistic for pair in lists])
    assert agreement(a, b).kendall_tau == pytest.approx(expected)
    assert agreement(a, b).groups == 4


def test_groups_without_an_order_do_not_count_for_agreement() -> None:
    a, b = scores_of([1.0], [2, 2.0], [1, 2.0], [5, 5, 1.0]), scores_of([1.0], [1, 2.0], [1, 1.0], [5, 4, 1.0])
    found = agreement(a, b)
    assert (found.groups, found.same_best) == (1, 1)  # of two that are best for one, the other's is one
    assert found.kendall_tau == pytest.approx(stats.kendalltau([5, 5, 1], [5, 4, 1]).statistic)
    assert agreement(scores_of([1.0]), scores_of([1.0])).groups == 0


def test_other_groups_are_refused() -> None:
    base = [group([1, 2.0], query_id="q1"), group([1, 2.0], query_id="q2")]
    require_same_groups({"a": base, "b": [group([3, 4.0]), group([5, 6.0])]})
    for others, problem in (
        (base[:1], "a has 2 groups and b 1; score the same groups"),
        ([base[0], group([1, 2.0], query="other")], "group 2 has the query 'q' in a and 'other' in b"),
        ([base[0], group([1, 2.0], first="px")], "the group of query 'q2' has other passages in b than in a"),
    ):
        with pytest.raises(InputError, match=problem):
            require_same_groups({"a": base, "b": others})


def test_groups_without_finite_scores_are_refused() -> None:
    with pytest.raises(InputError, match="group 2 of bi has no scores; make them with: distilrank teach"):
        Scores.of([group([1, 2.0]), group(None)], name="bi")
    with pytest.raises(InputError, match="the group of query 'q7' of bi has a score that is not finite"):
        Scores.of([group([1, float("nan")], query_id="q7")], name="bi")
    with pytest.raises(InputError, match="bi holds no group"):
        Scores.of([], name="bi")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"scale": "z"}, "scale is 'z' but must be one of z-score, min-max, rank, none"),
        ({"per": "list"}, "per is 'list' but must be query or all"),
        ({"weights": (1, -1)}, "the weights are 1, -1"),
        ({"weights": (0, 0)}, "the weights are 0, 0"),
        ({"weights": (1, float("inf"))}, "the weights are 1, inf"),
        ({"weights": (1, float("nan"))}, "the weights are 1, nan"),
    ],
)
def test_settings_that_make_no_mean_are_refused(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        MixSettings(**settings)  # type: ignore[arg-type]


def test_weights_for_other_teachers_are_refused() -> None:
    with pytest.raises(SettingsError, match="3 weights for 2 teachers"):
        mix_scores([scores_of([1.0])] * 2, MixSettings(weights=(1, 1, 1)))
