"""Alarms about what a classifier decides."""

from __future__ import annotations

import numpy as np
import pytest

from distilrank.evaluation.diagnostics.alarms import decision_alarms, label_order_note

NAMES = ["contradiction", "entailment", "neutral"]
RNG = np.random.default_rng(5)
TRUTH = RNG.integers(0, 3, size=300)
LOGITS = (4 * np.eye(3)[TRUTH] + RNG.normal(0, 1.5, size=(300, 3))).astype(np.float32)  # right in nine of ten cases


def checks(truth: np.ndarray, logits: np.ndarray, kind: str = "classes") -> list[str]:
    found = decision_alarms(truth.tolist(), logits, kind=kind, label_names=NAMES, name="student")  # type: ignore[arg-type]
    assert all(finding.level == "problem" and "student" in finding.message for finding in found)
    return [finding.check for finding in found]


def test_a_classifier_that_works_raises_none() -> None:
    assert checks(TRUTH, LOGITS) == []
    assert checks(TRUTH, RNG.normal(size=(300, 3)).astype(np.float32)) == []  # nor one that guesses
    assert checks(TRUTH[:30] * 0 + RNG.integers(0, 2, 30), RNG.normal(size=(30, 2)).astype(np.float32)) == []


def test_labels_in_another_order() -> None:
    turned = LOGITS[:, [2, 0, 1]]  # logit 0 says neutral, 1 contradiction, 2 entailment
    (found,) = decision_alarms(TRUTH.tolist(), turned, kind="classes", label_names=NAMES, name="student")
    assert found.check == "label order"
    now, then = np.mean(turned.argmax(1) == TRUTH), np.mean(LOGITS.argmax(1) == TRUTH)
    assert f"accuracy {now:.3f} would be {then:.3f} on 300 examples" in found.message
    assert "contradiction for neutral, entailment for contradiction, neutral for entailment" in found.message


def test_two_labels_the_other_way_round() -> None:
    truth = RNG.integers(0, 2, size=100)
    logits = (2 * np.eye(2)[truth] + RNG.normal(0, 1, size=(100, 2))).astype(np.float32)
    assert checks(truth, logits) == []
    assert checks(truth, logits[:, ::-1]) == ["label order"]
    # On twenty examples five more or less are chance.
    few = np.concatenate([np.zeros(10, int), np.ones(10, int)])
    decided = np.concatenate([np.zeros(4, int), np.ones(6, int), np.zeros(6, int), np.ones(4, int)])
    assert checks(few, np.eye(2, dtype=np.float32)[decided]) == []


def test_one_answer_for_everything_is_not_taken_for_another_order() -> None:
    rare = (RNG.random(300) < 0.8).astype(int)
    never = np.tile(np.float32([1.0, 0.0]), (300, 1))
    assert checks(rare, never) == ["constant output"]
    nearly = never.copy()
    nearly[:3] = [0.0, 1.0]
    assert checks(rare, nearly) == []
    (found,) = decision_alarms(TRUTH.tolist(), 0 * LOGITS, kind="classes", label_names=NAMES, name="student")
    assert "answers 'contradiction' for all 300 examples" in found.message


def test_without_a_shade_of_doubt() -> None:
    assert checks(TRUTH, 100 * LOGITS) == ["saturated probabilities"]
    # With many classes most of them are out of the question, as they should be.
    truth = RNG.integers(0, 50, size=200)
    logits = (14.5 * np.eye(50)[truth] + RNG.normal(0, 1, size=(200, 50))).astype(np.float32)
    assert checks(truth, logits) == []


@pytest.mark.parametrize(("factor", "expected"), [(1.0, []), (0.02, []), (0.005, ["constant output"])])
def test_numbers(factor: float, expected: list[str]) -> None:
    truth = RNG.normal(2.5, 1.4, size=300)
    predicted = (2.5 + factor * (truth - 2.5))[:, None].astype(np.float32)
    assert checks(truth, predicted, "regression") == expected


def test_several_labels_at_once() -> None:
    truth = RNG.integers(0, 2, size=(100, 4))
    logits = (3.0 * truth - 1.5 + RNG.normal(0, 1, size=(100, 4))).astype(np.float32)
    assert checks(truth, logits, "multi_label") == []
    assert checks(truth, np.full((100, 4), -2.0, np.float32), "multi_label") == ["constant output"]
    assert checks(truth, 50 * logits, "multi_label") == ["saturated probabilities"]


def test_a_handful_of_examples_says_nothing() -> None:
    assert checks(TRUTH[:19], 0 * LOGITS[:19]) == []
    assert checks(TRUTH[:20], 0 * LOGITS[:20]) == ["constant output"]


def test_labels_that_were_matched_by_name() -> None:
    found = label_order_note(["negative", "positive"], ["POSITIVE", "NEGATIVE"], name="student")
    assert found is not None
    assert found.level == "note"
    assert "2 of the 2 labels have other numbers in the data (negative, positive) than in student" in found.message
    assert label_order_note(["negative", "positive"], ["NEGATIVE", "POSITIVE"], name="x") is None
    assert label_order_note(["negative", "positive"], ["LABEL_0", "LABEL_1"], name="x") is None
    assert label_order_note([], [], name="x") is None
