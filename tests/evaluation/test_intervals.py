from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from distilrank.evaluation.intervals import Interval, mean_interval, ratio_interval


def test_ends_are_percentiles_of_resampled_means() -> None:
    values = np.random.default_rng(1).random(30)
    rng = np.random.default_rng(2)
    means = np.array([values[rng.integers(0, 30, 30)].mean() for _ in range(20_000)])

    interval = mean_interval(values)

    assert interval.mean == pytest.approx(values.mean())
    assert interval.low == pytest.approx(np.percentile(means, 2.5), abs=0.004)
    assert interval.high == pytest.approx(np.percentile(means, 97.5), abs=0.004)


def test_interval_is_about_as_wide_as_the_normal_one() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.2, 400)
    half_width = 1.96 * values.std() / 20

    interval = mean_interval(values)

    assert interval.high - interval.low == pytest.approx(2 * half_width, rel=0.05)


def test_interval_holds_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(400):
        # Reciprocal ranks: few values, skewed, as real ones are.
        sample = 1.0 / rng.choice([1, 1, 2, 3, 5, 10], size=80)
        interval = mean_interval(sample, seed=seed, resamples=500)
        held += interval.low <= np.mean([1, 1, 1 / 2, 1 / 3, 1 / 5, 1 / 10]) <= interval.high
    assert 0.91 <= held / 400 <= 0.98


def test_one_seed_one_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(5).random(25)
    assert mean_interval(values, seed=7) == mean_interval(values, seed=7)
    assert mean_interval(values, seed=7) != mean_interval(values, seed=8)


@pytest.mark.parametrize("values", [[0.3], [0.4, 0.4, 0.4]])
def test_values_that_do_not_vary_give_a_point(values: list[float]) -> None:
    interval = mean_interval(np.array(values))
    assert interval.low == interval.mean == interval.high == pytest.approx(values[0])


def test_many_queries_are_resampled_in_parts_to_the_same_end() -> None:
    values = np.random.default_rng(6).random(50_000)
    interval = mean_interval(values, resamples=300)
    half_width = 1.96 * values.std() / np.sqrt(50_000)
    assert interval.high - interval.mean == pytest.approx(half_width, rel=0.25)


def test_ratio_takes_both_means_over_the_same_queries() -> None:
    teacher = np.random.default_rng(7).random(40)

    paired = ratio_interval(0.9 * teacher, teacher)

    assert paired is not None
    assert (paired.mean, paired.low, paired.high) == pytest.approx((0.9, 0.9, 0.9))


def test_ratio_of_different_systems_agrees_with_the_delta_method() -> None:
    rng = np.random.default_rng(8)
    teacher = rng.uniform(0.3, 0.9, 500)
    student = 0.95 * teacher + rng.normal(0, 0.1, 500)
    ratio = student.mean() / teacher.mean()
    error = stats.sem(student - ratio * teacher) / teacher.mean()

    interval = ratio_interval(student, teacher)

    assert interval is not None
    assert interval.mean == pytest.approx(ratio)
    assert interval.low == pytest.approx(ratio - 1.96 * error, abs=0.002)
    assert interval.high == pytest.approx(ratio + 1.96 * error, abs=0.002)


def test_there_is_no_share_of_nothing() -> None:
    assert ratio_interval(np.array([0.1, 0.2]), np.zeros(2)) is None


def test_draws_in_which_the_teacher_has_nothing_are_left_out() -> None:
    teacher = np.array([0.0, 0.0, 0.0, 0.5])
    interval = ratio_interval(teacher / 2, teacher)
    assert interval is not None
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.5, 0.5, 0.5))


def test_values_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        ratio_interval(np.ones(3), np.ones(4))


def test_interval_as_json() -> None:
    assert Interval(0.5, 0.25, 0.75).as_dict() == {"mean": 0.5, "low": 0.25, "high": 0.75}
