from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from distilrank.evaluation.intervals import Interval, mean_interval, ratio_interval
from distilrank.evaluation.over_seeds import (
    classifier_mean,
    compare_by_query,
    compare_by_seed,
    over_queries,
    ranker_mean,
    student_interval,
)
from distilrank.evaluation.report.markdown import comparison_line, measure_markdown
from distilrank.evaluation.significance import holm, paired_t_test, randomisation_test

RNG = np.random.default_rng(6)
BASE = RNG.random(12)
SYSTEMS = {
    "labels": {seed: np.clip(BASE + RNG.normal(-0.10, 0.1, 12), 0, 1) for seed in ("1", "2", "3")},
    "standard": {seed: np.clip(BASE + RNG.normal(0.02, 0.1, 12), 0, 1) for seed in ("1", "2", "3")},
    "margin": {seed: np.clip(BASE + RNG.normal(0.10, 0.1, 12), 0, 1) for seed in ("1", "2")},
}
TEACHER = {"": np.clip(BASE + 0.1, 0, 1)}


def test_students_interval_by_hand() -> None:
    # Mean 0.5, standard deviation 0.1, three seeds: 4.302653 * 0.1 / sqrt(3) = 0.248414.
    interval = student_interval([0.4, 0.5, 0.6])
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.5, 0.251586, 0.748414), abs=1e-6)


def test_students_interval_is_scipys() -> None:
    values = RNG.random(7).tolist()
    expected = stats.t.interval(0.95, 6, loc=np.mean(values), scale=stats.sem(values))
    interval = student_interval(values)
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_one_seed_is_a_point() -> None:
    assert student_interval([0.3]) == Interval(0.3, 0.3, 0.3)


def test_a_ranker_over_seeds() -> None:
    seeds = SYSTEMS["labels"]
    found = ranker_mean(seeds, teacher=TEACHER)
    means = {seed: float(values.mean()) for seed, values in seeds.items()}
    assert found.seeds == means
    assert found.interval == student_interval(list(means.values()))
    assert found.over == "3 seeds"
    averaged = np.mean([seeds["1"], seeds["2"], seeds["3"]], axis=0)
    assert found.kept == ratio_interval(averaged, TEACHER[""])
    assert over_queries(seeds) == pytest.approx(averaged)


def test_a_ranker_with_one_run_has_its_interval_over_queries() -> None:
    found = ranker_mean(TEACHER)
    assert (found.interval, found.over, found.seeds, found.kept) == (mean_interval(TEACHER[""]), "queries", {}, None)


def test_a_classifier_over_seeds() -> None:
    seeds = {"1": Interval(0.80, 0.75, 0.85), "2": Interval(0.90, 0.86, 0.94)}
    found = classifier_mean(seeds, teacher=Interval(0.95, 0.9, 1.0))
    assert found.interval == student_interval([0.8, 0.9])
    assert (found.over, found.seeds) == ("2 seeds", {"1": 0.8, "2": 0.9})
    assert found.kept is not None
    assert found.kept.mean == pytest.approx(0.85 / 0.95)
    assert found.kept.low == pytest.approx(found.interval.low / 0.95)
    alone = classifier_mean({"1": seeds["1"]})
    assert (alone.interval, alone.over, alone.seeds, alone.kept) == (seeds["1"], "examples", {}, None)
    assert classifier_mean(seeds, teacher=Interval(0.0, 0.0, 0.0)).kept is None


def test_rankers_are_compared_query_by_query_after_averaging_over_seeds() -> None:
    pairs = [("labels", "standard"), ("margin", "standard")]
    found = compare_by_query(SYSTEMS, pairs)
    p_values = []
    for each, (system, baseline) in zip(found, pairs, strict=True):
        ours, theirs = (np.mean(list(SYSTEMS[name].values()), axis=0) for name in (system, baseline))
        assert (each.system, each.baseline) == (system, baseline)
        assert each.difference == mean_interval(ours - theirs)
        p_values.append(randomisation_test(ours, theirs))
        assert each.p_value == p_values[-1]
    assert [each.p_holm for each in found] == holm(p_values)
    assert found[0].difference.mean < 0 < found[1].difference.mean
    assert any(each.p_holm > each.p_value for each in found)


def test_classifiers_are_compared_on_the_seeds_that_both_have() -> None:
    values = {
        "labels": {"1": 0.80, "2": 0.82, "3": 0.81},
        "kd": {"2": 0.85, "3": 0.83, "1": 0.84, "4": 0.10},
        "once": {"1": 0.9},
        "also": {"1": 0.81, "3": 0.80},
    }
    found = compare_by_seed(values, [(name, "labels") for name in ("kd", "once", "also")])
    assert [each.system for each in found] == ["kd", "also"]
    assert found[0].difference == student_interval([0.84 - 0.80, 0.85 - 0.82, 0.83 - 0.81])
    p_values = [
        paired_t_test(np.array([0.84, 0.85, 0.83]), np.array([0.80, 0.82, 0.81])),
        paired_t_test(np.array([0.81, 0.80]), np.array([0.80, 0.81])),
    ]
    assert [each.p_value for each in found] == pytest.approx(p_values)
    assert [each.p_holm for each in found] == pytest.approx(holm(p_values))


def test_nothing_to_compare() -> None:
    assert compare_by_query(SYSTEMS, []) == []
    assert compare_by_seed({"a": {"1": 0.5}}, [("a", "a")]) == []


def test_as_json() -> None:
    found = ranker_mean(SYSTEMS["margin"], teacher=TEACHER)
    told = json.loads(json.dumps(found.as_dict()))
    assert told["mean"] == found.interval.mean
    assert set(told) == {"mean", "low", "high", "over", "seeds", "kept_of_teacher"}
    assert set(ranker_mean(TEACHER).as_dict()) == {"mean", "low", "high", "over"}


def test_as_markdown() -> None:
    rows = {"teacher": ranker_mean(TEACHER), "a|b": ranker_mean(SYSTEMS["margin"], teacher=TEACHER)}
    comparisons = compare_by_query(SYSTEMS, [("margin", "labels")])
    text = measure_markdown("dl19, nDCG@10", rows, comparisons)
    lines = text.splitlines()
    assert lines[0] == "**dl19, nDCG@10**"
    kept = rows["a|b"].kept
    assert kept is not None
    assert lines[5].startswith(f"| a\\|b | {rows['a|b'].interval.mean:.4f} |")
    assert f"| 2 seeds | {kept.mean:.1%} ({kept.low:.1%} to {kept.high:.1%}) |" in lines[5]
    assert lines[-1] == comparison_line(comparisons[0])
    assert lines[-1].startswith(f"margin against labels: {comparisons[0].difference.mean:+.4f} (")
    assert lines[-1].endswith(f"p {comparisons[0].p_holm:.4f}")
