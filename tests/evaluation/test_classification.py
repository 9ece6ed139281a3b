from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from distilrank.errors import InputError, ModelError
from distilrank.evaluation.classification import evaluate_classifiers, measure_classification


def logits_of(decisions: list[int], classes: int = 2) -> NDArray[np.float32]:
    """Return logits of which ``decisions`` are the largest."""
    return np.eye(classes, dtype=np.float32)[decisions] * 3.0 - 1.0


def test_two_classes_by_hand() -> None:
    # True positives 3, false positives 1, false negatives 2, true negatives 4.
    truth = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0]
    decided = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    found = measure_classification(truth, logits_of(decided), "classes")
    assert found == pytest.approx(
        {"accuracy": 0.7, "F1": 2 * 3 / (2 * 3 + 1 + 2), "Matthews": (3 * 4 - 1 * 2) / np.sqrt(4 * 5 * 5 * 6)}
    )


def test_f1_of_two_classes_is_that_of_the_second() -> None:
    truth = [0, 0, 0, 0, 1]
    found = measure_classification(truth, logits_of([0, 0, 0, 0, 0]), "classes")
    assert found == pytest.approx({"accuracy": 0.8, "F1": 0.0, "Matthews": 0.0})


def test_several_classes_by_hand() -> None:
    truth = [0, 0, 1, 1, 2, 2]
    decided = [0, 0, 1, 2, 2, 1]
    found = measure_classification(truth, logits_of(decided, 3), "classes")
    assert list(found) == ["accuracy", "F1 (macro)", "Matthews"]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["F1 (macro)"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_mean_of_f1_is_over_the_classes_that_occur() -> None:
    # A third class that is decided once but never true: its F1 of 0 is no part of the mean.
    found = measure_classification([0, 0, 1, 1], logits_of([0, 0, 1, 2], 3), "classes")
    assert found["F1 (macro)"] == pytest.approx((1 + 2 / 3) / 2)


def test_numbers_get_correlations() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(50)
    given = (truth + rng.normal(0, 0.3, 50)).astype(np.float32)
    found = measure_classification(truth.tolist(), given[:, None], "regression")
    assert found == pytest.approx(
        {"Pearson": np.corrcoef(truth, given)[0, 1], "Spearman": stats.spearmanr(truth, given).statistic}
    )


def test_numbers_that_never_vary_correlate_with_nothing() -> None:
    found = measure_classification([1.0, 2.0, 3.0], np.full((3, 1), 2.0, np.float32), "regression")
    assert found == {"Pearson": 0.0, "Spearman": 0.0}


def test_several_labels_at_once_by_hand() -> None:
    truth = [(1, 0), (0, 1), (1, 1), (0, 0)]
    decided = np.array([[1, -1], [-1, 1], [1, -1], [-1, 1]], np.float32)
    found = measure_classification(truth, decided, "multi_label")
    # All decisions: 3 right positives, 1 wrong, 1 missed; first label perfect, second 1 right, 1 wrong, 1 missed.
    assert found == pytest.approx({"accuracy": 0.5, "F1 (micro)": 6 / 8, "F1 (macro)": (1 + 2 / 4) / 2})


def test_evaluation_gives_intervals_and_the_share_kept() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 300)
    wrong = {"teacher": rng.random(300) < 0.1, "student": rng.random(300) < 0.2}
    logits = {name: logits_of(np.where(flipped, 1 - truth, truth).tolist()) for name, flipped in wrong.items()}

    found = evaluate_classifiers(
        labels=truth.tolist(), logits=logits, kind="classes", system="student", teacher="teacher", resamples=150
    )

    accuracy = found.intervals["student"]["accuracy"]
    assert accuracy.mean == pytest.approx(1 - wrong["student"].mean())
    # The binomial's standard error gives the width.
    half_width = 1.96 * np.sqrt(accuracy.mean * (1 - accuracy.mean) / 300)
    assert accuracy.mean - accuracy.low == pytest.approx(half_width, rel=0.3)
    assert accuracy.high - accuracy.mean == pytest.approx(half_width, rel=0.3)
    share = found.share_kept["accuracy"]
    assert share is not None
    assert share.mean == pytest.approx(accuracy.mean / found.intervals["teacher"]["accuracy"].mean)
    assert share.low < share.mean < share.high
    assert found.measures == ("accuracy", "F1", "Matthews")
    described = found.as_dict()
    assert described["examples"] == 300
    assert described["share_of_teacher_kept"]["accuracy"] == share.as_dict()  # type: ignore[index]


def test_draws_are_the_same_for_all_systems() -> None:
    truth = np.random.default_rng(3).integers(0, 2, 60).tolist()
    decided = logits_of(np.random.default_rng(4).integers(0, 2, 60).tolist())
    found = evaluate_classifiers(
        labels=truth, logits={"a": decided, "b": decided}, kind="classes", system="a", teacher="b", resamples=50
    )
    assert found.intervals["a"] == found.intervals["b"]
    share = found.share_kept["accuracy"]
    assert share is not None
    assert share.low == share.mean == share.high == 1.0


def test_there_is_no_share_of_a_teacher_that_has_nothing() -> None:
    truth = [0, 1, 0, 1]
    logits = {"student": logits_of([0, 1, 0, 0]), "teacher": logits_of([0, 0, 0, 0])}
    found = evaluate_classifiers(
        labels=truth, logits=logits, kind="classes", system="student", teacher="teacher", resamples=50
    )
    assert found.share_kept["F1"] is None
    assert found.share_kept["accuracy"] is not None


def test_one_seed_one_evaluation() -> None:
    truth = np.random.default_rng(5).random(30).tolist()
    logits = {"a": np.random.default_rng(6).random((30, 1)).astype(np.float32)}

    def intervals(seed: int) -> object:
        return evaluate_classifiers(
            labels=truth, logits=logits, kind="regression", system="a", seed=seed, resamples=50
        ).intervals

    assert intervals(1) == intervals(1) != intervals(2)


@pytest.mark.parametrize(
    ("labels", "logits", "kind", "message"),
    [
        ([0, 1, 2], np.zeros((3, 2), np.float32), "classes", r"\(3, 2\) logits for 3 examples, which need at least 3"),
        ([0, 1], np.zeros((3, 2), np.float32), "classes", r"\(3, 2\) logits for 2 examples"),
        ([0.5, 1.5], np.zeros((2, 3), np.float32), "regression", "need 1 labels"),
        ([(0, 1), (1, 1)], np.zeros((2, 3), np.float32), "multi_label", "need 2 labels"),
        ([0, 1], np.array([[0, np.nan], [1, 0]], np.float32), "classes", "not finite"),
    ],
)
def test_logits_that_do_not_fit_are_refused(
    labels: list[int], logits: NDArray[np.float32], kind: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        measure_classification(labels, logits, kind)  # type: ignore[arg-type]


def test_no_examples_are_refused() -> None:
    with pytest.raises(InputError, match="no labelled examples"):
        evaluate_classifiers(labels=[], logits={"a": np.zeros((0, 2), np.float32)}, kind="classes", system="a")


def test_classifiers_of_different_classes_are_not_compared() -> None:
    logits = {"student": logits_of([0, 1]), "teacher": np.zeros((2, 3), np.float32)}
    with pytest.raises(ModelError, match="teacher tells 3 labels apart and student 2"):
        evaluate_classifiers(labels=[0, 1], logits=logits, kind="classes", system="student")


@pytest.mark.filterwarnings("error")
def test_draws_of_a_single_class_are_measured_in_silence() -> None:
    found = evaluate_classifiers(
        labels=[0, 1], logits={"a": logits_of([0, 1])}, kind="classes", system="a", resamples=20
    )
    assert found.intervals["a"]["accuracy"].mean == 1.0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(1, 30))
def test_classes_are_measured_as_scikit_learn_does(seed: int, classes: int, examples: int) -> None:
    rng = np.random.default_rng(seed)
    truth, decided = rng.integers(0, classes, size=(2, examples))
    found = measure_classification(truth.tolist(), np.eye(classes, dtype=np.float32)[decided], "classes")
    average = {"average": "binary"} if classes == 2 else {"average": "macro", "labels": np.unique(truth)}
    one = len(np.unique(truth)) == 1 or len(np.unique(decided)) == 1
    assert list(found.values()) == pytest.approx(
        [
            accuracy_score(truth, decided),
            f1_score(truth, decided, zero_division=0, **average),
            0.0 if one else matthews_corrcoef(truth, decided),
        ]
    )


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(2, 4), st.integers(1, 30))
def test_several_labels_are_measured_as_scikit_learn_does(seed: int, labels: int, examples: int) -> None:
    truth, decided = np.random.default_rng(seed).integers(0, 2, size=(2, examples, labels))
    found = measure_classification(truth.tolist(), (decided - 0.5).astype(np.float32), "multi_label")
    averages = [f1_score(truth, decided, average=each, zero_division=0) for each in ("micro", "macro")]
    assert list(found.values()) == pytest.approx([accuracy_score(truth, decided), *averages])
