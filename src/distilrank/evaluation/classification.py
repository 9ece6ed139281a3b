"""Measures of classifiers and of regression on pairs, as each task asks.

Classes get accuracy, F1 and Matthews' correlation; numbers get Pearson's and Spearman's correlation; several labels at
once get accuracy (all labels right) and F1 over all decisions (micro) and averaged over labels (macro). These are the
measures of GLUE (Wang et al. 2018): accuracy for SST-2, RTE, QNLI and MNLI, with F1 for MRPC and QQP, Matthews for
CoLA, the two correlations for STS-B. Those of classes are counted here, since the bootstrap needs them thousands of
times and scikit-learn takes a millisecond for each; the tests hold them against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from distilrank.data.labels import Kind, Label
from distilrank.errors import InputError, ModelError
from distilrank.evaluation.intervals import Interval

RESAMPLES = 1_000
"""Draws of the bootstrap over examples: fewer than over queries, since each draw is measured anew."""

_Measure = Callable[[NDArray[Any], NDArray[Any]], float]


@dataclass(frozen=True, kw_only=True)
class ClassificationEvaluation:
    """What classifiers do on labelled examples.

    Attributes:
        system: The classifier under test, a key of ``intervals``.
        teacher: The one it was distilled from; None when none was named.
        examples: How many there are.
        intervals: System -> measure -> value with its 95% bootstrap interval over examples.
        share_kept: Measure -> the system's value as a share of the teacher's; None where the teacher has none. Empty
            without a teacher.
    """

    system: str
    teacher: str | None
    examples: int
    intervals: Mapping[str, Mapping[str, Interval]]
    share_kept: Mapping[str, Interval | None]

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures that the task asks for."""
        return tuple(self.intervals[self.system])

    def as_dict(self) -> dict[str, object]:
        """Return everything for JSON."""
        return {
            "system": self.system,
            "teacher": self.teacher,
            "examples": self.examples,
            "systems": [
                {"name": name, "measures": {each: interval.as_dict() for each, interval in intervals.items()}}
                for name, intervals in self.intervals.items()
            ],
            "share_of_teacher_kept": {
                name: None if share is None else share.as_dict() for name, share in self.share_kept.items()
            },
        }


def evaluate_classifiers(
    *,
    labels: Sequence[Label],
    logits: Mapping[str, NDArray[np.float32]],
    kind: Kind,
    system: str,
    teacher: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ClassificationEvaluation:
    """Measure classifiers on the same examples.

    Args:
        labels: What ``Example.label`` holds, one per example.
        logits: Classifier -> raw outputs, each of shape (examples, labels); with ``kind`` "classes" and two labels F1
            is that of the second.
        kind: What the labels are.
        system: The classifier under test.
        teacher: The one it was distilled from, when there is one.
        seed: Of the bootstrap.
        resamples: How many draws.

    Raises:
        InputError: There are no examples.
        ModelError: The logits' shape does not fit the labels or the other classifiers, or they are not finite.
    """
    if not labels:
        raise InputError("there are no labelled examples, so there is nothing to measure")
    truth = np.asarray(labels)
    widths = {name: values.shape[-1] for name, values in logits.items()}
    for name, width in widths.items():
        if width != widths[system]:
            raise ModelError(f"{name} tells {width} labels apart and {system} {widths[system]}; compare like with like")
    decisions = {name: _decide(values, truth, kind, name) for name, values in logits.items()}
    measures = _measures_of(kind, truth, logits[system])
    values = _bootstrap(truth, decisions, measures, seed=seed, resamples=resamples)
    shares = {}
    if teacher is not None:
        shares = {name: _share(values[system][name], values[teacher][name]) for name in measures}
    return ClassificationEvaluation(
        system=system,
        teacher=teacher,
        examples=len(truth),
        intervals={
            system_name: {name: _interval(each) for name, each in found.items()}
            for system_name, found in values.items()
        },
        share_kept=shares,
    )


def measure_classification(labels: Sequence[Label], logits: NDArray[np.float32], kind: Kind) -> dict[str, float]:
    """Return the task's measures without intervals, as evaluation during training wants them.

    Raises:
        ModelError: The logits' shape does not fit the labels, or they are not finite.
    """
    truth = np.asarray(labels)
    decided = _decide(logits, truth, kind, "the model")
    return {name: measure(truth, decided) for name, measure in _measures_of(kind, truth, logits).items()}


def _bootstrap(
    truth: NDArray[Any],
    decisions: Mapping[str, NDArray[Any]],
    measures: Mapping[str, _Measure],
    *,
    seed: int,
    resamples: int,
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return system -> measure -> its value on all examples, then on each draw, shape (1 + resamples,).

    Every draw takes the same examples for all systems, so that their ratio is paired.
    """
    rng = np.random.default_rng(seed)
    values = {system: {name: np.empty(1 + resamples) for name in measures} for system in decisions}
    for place in range(1 + resamples):
        rows = rng.integers(0, len(truth), size=len(truth)) if place else np.arange(len(truth))
        for system, decided in decisions.items():
            for name, measure in measures.items():
                values[system][name][place] = measure(truth[rows], decided[rows])
    return values


def _decide(logits: NDArray[np.float32], truth: NDArray[Any], kind: Kind, name: str) -> NDArray[Any]:
    """Return class indices, numbers, or 0/1 for every label."""
    wanted = truth.shape[1] if kind == "multi_label" else 1 if kind == "regression" else None
    fits = logits.ndim == 2 and len(logits) == len(truth) and wanted in (None, logits.shape[1])
    if not fits or (kind == "classes" and logits.shape[1] <= int(truth.max(initial=0))):
        needed = f"{wanted} labels" if wanted else f"at least {int(truth.max(initial=0)) + 1} classes"
        raise ModelError(f"{name} gives {logits.shape} logits for {len(truth)} examples, which need {needed}")
    if not np.all(np.isfinite(logits)):
        raise ModelError(f"{name} gives logits that are not finite; its weights are broken or overflow")
    if kind == "regression":
        return np.asarray(logits[:, 0], dtype=np.float64)
    # A logit above zero is a probability above one half.
    return np.argmax(logits, axis=1) if kind == "classes" else (logits > 0).astype(np.int64)


def _measures_of(kind: Kind, truth: NDArray[Any], logits: NDArray[np.float32]) -> dict[str, _Measure]:
    if kind == "regression":
        return {"Pearson": _pearson, "Spearman": _spearman}
    if kind == "multi_label":
        return {"accuracy": _accuracy, "F1 (micro)": _micro_f1, "F1 (macro)": lambda *both: float(_f1s(*both).mean())}
    # With two classes F1 is that of the second, as GLUE has it for paraphrases. The mean is over the classes that
    # occur, in every draw the same ones.
    classes = logits.shape[1]
    averaged = np.array([1]) if classes == 2 else np.unique(truth)

    def f1(truth: NDArray[Any], decided: NDArray[Any]) -> float:
        return float(_f1s(np.eye(classes, dtype=int)[truth], np.eye(classes, dtype=int)[decided])[averaged].mean())

    return {"accuracy": _accuracy, "F1" if classes == 2 else "F1 (macro)": f1, "Matthews": _matthews}


def _accuracy(truth: NDArray[Any], decided: NDArray[Any]) -> float:
    right = truth == decided
    return float((right.all(axis=1) if right.ndim == 2 else right).mean())


def _f1s(truth: NDArray[Any], decided: NDArray[Any]) -> NDArray[np.float64]:
    """Return F1 of each label from 0 and 1, both of shape (examples, labels); 0 for a label that never occurs."""
    either = truth.sum(axis=0) + decided.sum(axis=0)
    return np.asarray(2 * (truth & decided).sum(axis=0) / np.maximum(either, 1))


def _micro_f1(truth: NDArray[Any], decided: NDArray[Any]) -> float:
    return float(_f1s(truth.reshape(-1, 1), decided.reshape(-1, 1))[0])


def _matthews(truth: NDArray[Any], decided: NDArray[Any]) -> float:
    """Return Matthews' correlation, of several classes as Gorodkin (2004) has it; 0 where one class is all there is."""
    classes = int(max(truth.max(), decided.max())) + 1
    of_truth, of_decided = np.bincount(truth, minlength=classes), np.bincount(decided, minlength=classes)
    n = float(len(truth))
    covariance = n * float((truth == decided).sum()) - float(of_truth @ of_decided)
    spread = (n * n - float(of_truth @ of_truth)) * (n * n - float(of_decided @ of_decided))
    return covariance / spread**0.5 if spread > 0 else 0.0


def _pearson(truth: NDArray[Any], decided: NDArray[Any]) -> float:
    return _correlation(stats.pearsonr, truth, decided)


def _spearman(truth: NDArray[Any], decided: NDArray[Any]) -> float:
    return _correlation(stats.spearmanr, truth, decided)


def _correlation(compute: Callable[..., Any], truth: NDArray[Any], decided: NDArray[Any]) -> float:
    # What never varies correlates with nothing, where the formula divides by zero.
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(decided) == 0:
        return 0.0
    return float(compute(truth, decided).statistic)


def _interval(values: NDArray[np.float64]) -> Interval:
    """Return the first value, of all examples, with the percentiles of the others, of the draws."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high))


def _share(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Interval | None:
    if theirs[0] <= 0.0:
        return None
    return _interval(ours / np.where(theirs == 0.0, np.nan, theirs))
