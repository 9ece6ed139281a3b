from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from scipy import stats

from distilrank.evaluation.measures import Measures
from distilrank.evaluation.significance import (
    compare,
    holm,
    paired_t_test,
    randomisation_test,
    win_tie_loss,
)


def measured(**values: list[float]) -> Mapping[str, Measures]:
    return {
        name: Measures(per_query={"AP": {f"q{place}": value for place, value in enumerate(of_queries)}})
        for name, of_queries in values.items()
    }


def test_t_test_is_scipys() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.random(20), rng.random(20)
    assert paired_t_test(ours, theirs) == pytest.approx(stats.ttest_rel(ours, theirs).pvalue)


def test_t_test_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t = 3.4641 with 2 degrees of freedom.
    p_value = paired_t_test(np.array([1.0, 2.0, 3.0]), np.zeros(3))
    assert p_value == pytest.approx(0.0741799, abs=1e-6)


@pytest.mark.parametrize(
    ("differences", "expected"), [([0.0, 0.0, 0.0], 1.0), ([0.4], 1.0), ([0.1, 0.1, 0.1], 0.0), ([1e-12, 0.0], 1.0)]
)
def test_t_test_where_it_is_not_defined(differences: list[float], expected: float) -> None:
    theirs = np.full(len(differences), 0.3)
    assert paired_t_test(theirs + np.array(differences), theirs) == expected


def test_randomisation_is_exact_when_there_are_few_queries() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.random(9).round(1), rng.random(9).round(1)
    differences = ours - theirs
    sums = [abs(sum(sign * each for sign, each in zip(signs, differences, strict=True)))
            for signs in product((1, -1), repeat=9)]  # fmt: skip
    exact = np.mean([each >= abs(differences.sum()) - 1e-9 for each in sums])

    assert randomisation_test(ours, theirs) == pytest.approx(exact)
    assert 0.0 < exact < 1.0


def test_drawn_randomisation_comes_close_to_the_exact_one() -> None:
    rng = np.random.default_rng(3)
    ours = rng.random(12)
    theirs = ours - rng.normal(0.06, 0.12, 12)
    exact = randomisation_test(ours, theirs, resamples=2**12)
    drawn = randomisation_test(ours, theirs, resamples=2**12 - 1)
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=0.02)


def test_drawn_randomisation_agrees_with_scipys() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.normal(0.1, 0.3, 40), rng.normal(0.0, 0.3, 40)
    theirs_by_scipy = stats.permutation_test(
        (ours, theirs), lambda x, y, axis: np.mean(x - y, axis=axis), permutation_type="samples", vectorized=True,
        n_resamples=10_000, rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    assert randomisation_test(ours, theirs) == pytest.approx(theirs_by_scipy, abs=0.02)


def test_randomisation_never_claims_more_than_its_draws_can_show() -> None:
    assert randomisation_test(np.arange(1.0, 41.0), np.zeros(40), resamples=999) == pytest.approx(1 / 1000)


def test_randomisation_is_two_sided_and_seeded() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = rng.random(30), rng.random(30)
    assert randomisation_test(ours, theirs, seed=1) == randomisation_test(theirs, ours, seed=1)
    assert randomisation_test(ours, theirs, seed=1) == randomisation_test(ours, theirs, seed=1)
    assert randomisation_test(ours, theirs, seed=1) != randomisation_test(ours, theirs, seed=2)


def test_nothing_differs() -> None:
    same = np.array([0.2, 0.5])
    assert randomisation_test(same, same) == 1.0


def test_false_alarms_are_as_rare_as_promised() -> None:
    rng = np.random.default_rng(6)
    alarms = {"t": 0, "randomisation": 0}
    for seed in range(400):
        ours, theirs = rng.beta(2, 2, 30), rng.beta(2, 2, 30)
        alarms["t"] += paired_t_test(ours, theirs) < 0.05
        alarms["randomisation"] += randomisation_test(ours, theirs, seed=seed, resamples=400) < 0.05
    assert 0.02 <= alarms["t"] / 400 <= 0.09
    assert 0.02 <= alarms["randomisation"] / 400 <= 0.09


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_as_r_does_it() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") in R's stats package.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def test_holm_stays_a_probability_and_leaves_one_alone() -> None:
    assert holm([0.7, 0.8]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_win_tie_loss() -> None:
    ours = np.array([0.5, 0.5, 0.1, 0.1 + 0.2, 0.9])
    theirs = np.array([0.4, 0.5, 0.2, 0.3, 0.1])
    assert win_tie_loss(ours, theirs) == (2, 2, 1)


def test_compare_corrects_over_the_comparisons_of_the_measure() -> None:
    rng = np.random.default_rng(7)
    student = rng.random(25)
    values = {
        "student": student.tolist(),
        "bm25": (student - rng.normal(0.05, 0.1, 25)).tolist(),
        "teacher": (student + rng.normal(0.03, 0.1, 25)).tolist(),
    }

    first, second = compare("student", ["bm25", "teacher"], measured(**values), "AP")

    assert (first.system, first.baseline, first.measure) == ("student", "bm25", "AP")
    assert first.t_test == pytest.approx(stats.ttest_rel(values["student"], values["bm25"]).pvalue)
    assert [first.t_test_holm, second.t_test_holm] == pytest.approx(holm([first.t_test, second.t_test]))
    assert [first.randomisation_holm, second.randomisation_holm] == pytest.approx(
        holm([first.randomisation, second.randomisation])
    )
    assert first.difference.mean == pytest.approx(np.mean(student - np.array(values["bm25"])))
    assert first.difference.low < first.difference.mean < first.difference.high
    assert first.wins + first.ties + first.losses == 25
    assert first.wins == int(np.sum(student > np.array(values["bm25"])))
    assert first.as_dict()["difference"] == first.difference.as_dict()


def test_systems_measured_on_different_queries_are_not_compared() -> None:
    others = {**measured(a=[0.1, 0.2]), **measured(b=[0.1, 0.2, 0.3])}
    with pytest.raises(ValueError, match="a and b were measured on different queries"):
        compare("a", ["b"], others, "AP")
