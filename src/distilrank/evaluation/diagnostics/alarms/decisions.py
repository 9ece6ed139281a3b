"""Alarms about a classifier's decisions: labels in another order, one answer for everything, no shade of doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from distilrank.data.labels import Kind, Label
from distilrank.evaluation.diagnostics.alarms.scores import saturated_probabilities
from distilrank.evaluation.diagnostics.findings import Finding

MIN_EXAMPLES = 20
"""On fewer examples one answer for all, or a better order of labels, may be chance."""
REORDERED_GAIN = 0.2
"""Accuracy that another order of the labels would add; to one that guesses, the best order adds a few percent."""
REORDERED_SIGMAS = 4.0
"""Standard deviations by which it must be more than chance; the best of all orders is looked for, so 2 are too few."""
FLAT_SHARE = 0.01
"""Spread of predicted numbers as a share of the labels'. One with Spearman 0.1 still has a tenth of it."""


def decision_alarms(
    labels: Sequence[Label], logits: NDArray[np.float32], *, kind: Kind, label_names: Sequence[str], name: str
) -> list[Finding]:
    """Return what is suspicious about a classifier's answers on labelled examples; nothing for one that works.

    Args:
        labels: What ``Example.label`` holds, one per example.
        logits: (examples, labels).
        kind: What the labels are.
        label_names: Names of the classes, in the order of the logits.
        name: What the classifier is called.
    """
    truth = np.asarray(labels)
    if len(truth) < MIN_EXAMPLES:
        return []
    if kind == "regression":
        found = [flat_numbers(truth, logits[:, 0], name=name)]
    elif kind == "multi_label":
        found = [one_answer((logits > 0).astype(int), name=name), _saturated(special.expit(logits), name)]
    else:
        decided = np.argmax(logits, axis=1)
        found = [
            one_answer(decided, name=name, label_names=label_names),
            reordered_labels(truth, decided, label_names=label_names, name=name),
            _saturated(special.softmax(logits.astype(np.float64), axis=1).max(axis=1, keepdims=True), name),
        ]
    return [finding for finding in found if finding is not None]


def one_answer(decided: NDArray[Any], *, name: str, label_names: Sequence[str] = ()) -> Finding | None:
    """Find a classifier that says the same of every example."""
    if np.any(decided != decided[0]):
        return None
    answer = repr(label_names[int(decided[0])]) if label_names else "the same labels"
    return Finding(
        check="constant output",
        level="problem",
        message=f"{name} answers {answer} for all {len(decided):,} examples; lower the learning rate, or look at "
        "whether its texts reach it",
        count=len(decided),
    )


def flat_numbers(truth: NDArray[Any], predicted: NDArray[Any], *, name: str) -> Finding | None:
    """Find a regression that predicts all but one number."""
    spread, wanted = float(np.std(predicted)), float(np.std(truth))
    if wanted == 0.0 or spread >= FLAT_SHARE * wanted:
        return None
    return Finding(
        check="constant output",
        level="problem",
        message=f"{name} predicts all but one number: a standard deviation of {spread:.2g} where the labels of the "
        f"{len(truth):,} examples have {wanted:.2g}; lower the learning rate, or look at whether its texts reach it",
        count=len(truth),
    )


def reordered_labels(
    truth: NDArray[np.int64], decided: NDArray[np.int64], *, label_names: Sequence[str], name: str
) -> Finding | None:
    """Find decisions that would be right if the logits were in another order than the labels.

    The best order is the assignment of the confusion matrix's columns to its rows that puts most on the diagonal. It
    must also beat the most frequent class, which a classifier with one answer would become under some order.
    """
    classes = int(max(truth.max(), decided.max())) + 1
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, decided), 1)
    rows, columns = optimize.linear_sum_assignment(confusion, maximize=True)
    meaning = np.empty(classes, dtype=np.int64)  # decided -> the label it seems to mean
    meaning[columns] = rows
    now, then = decided == truth, meaning[decided] == truth
    gained, lost = int(np.sum(then & ~now)), int(np.sum(now & ~then))
    majority = float(np.bincount(truth).max() / len(truth))
    gain = (gained - lost) / len(truth)
    if gain < REORDERED_GAIN or gained - lost < REORDERED_SIGMAS * (gained + lost) ** 0.5 or then.mean() <= majority:
        return None
    told = {place: label_names[place] if place < len(label_names) else str(place) for place in range(classes)}
    swaps = ", ".join(f"{told[i]} for {told[int(meaning[i])]}" for i in range(classes) if meaning[i] != i)
    return Finding(
        check="label order",
        level="problem",
        message=f"{name} seems to number its labels otherwise than the data: accuracy {now.mean():.3f} would be "
        f"{then.mean():.3f} on {len(truth):,} examples if it said {swaps}; correct id2label and label2id in its "
        "config.json",
        count=gained,
    )


def label_order_note(names: Sequence[str], others: Sequence[str], *, name: str) -> Finding | None:
    """Say that data and classifier know the same labels in another order, which are then matched by name.

    Args:
        names: Of the data, in its order.
        others: Of the classifier, in the order of its logits; case does not matter.
        name: What the classifier is called.
    """
    ours, theirs = ([each.casefold() for each in side] for side in (names, others))
    if ours == theirs or sorted(ours) != sorted(theirs):
        return None
    moved = sum(one != other for one, other in zip(ours, theirs, strict=True))
    return Finding(
        check="label order",
        level="note",
        message=f"{moved} of the {len(ours)} labels have other numbers in the data ({', '.join(names)}) than in {name} "
        f"({', '.join(others)}); they were matched by name, as every other user of its numbers has to",
        count=moved,
    )


def _saturated(probabilities: NDArray[Any], name: str) -> Finding | None:
    return saturated_probabilities({"": probabilities.ravel().tolist()}, name=name)
