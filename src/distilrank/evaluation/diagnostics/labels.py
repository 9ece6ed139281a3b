"""Labels of classification data: how many of each, in what order, and whether they agree with each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from statistics import median

from distilrank.evaluation.diagnostics.duplicates import normalise_text
from distilrank.evaluation.diagnostics.findings import Finding
from distilrank.records import Example


def pair_text(example: Example) -> str:
    """Return what identifies an example: its text, or both texts of a pair in order."""
    if example.text_pair is None:
        return example.text
    return f"{example.text}\n{example.text_pair}"


def order_finding(splits: Mapping[str, Sequence[Example]]) -> Finding:
    """Look for files sorted or grouped by label, which spoil training without shuffling and any "first N" sample.

    Counts the stretches of equal labels and compares with what a shuffled file would have on average
    (Wald and Wolfowitz 1940); fewer than half of that is reported. Numbers count as above or below their median.
    """
    grouped = []
    for split, examples in splits.items():
        labels = _as_classes([example.label for example in examples])
        observed, expected = _stretches(labels), _expected_stretches(labels)
        if len(set(labels)) > 1 and observed < 0.5 * expected:
            grouped.append(f"{split}: {observed:,} stretches of equal labels where shuffled data has {expected:,.0f}")
    return Finding.counting(
        "label order",
        grouped,
        good="labels come in no particular order",
        bad="sorted or grouped by label: always shuffle, and never take the first lines as a sample",
        level="note",
    )


def balance_finding(splits: Mapping[str, Sequence[Example]], label_names: Sequence[str]) -> Finding:
    """Say how labels are distributed in the first split, and find classes that another split has and it has not."""
    counts = {split: class_counts(examples, label_names) for split, examples in splits.items()}
    first, *others = counts
    unseen = [
        f"{name!r}: {counts[other][name]} in {other}, none in {first}"
        for other in others
        for name in label_names
        if counts[other][name] and not counts[first][name]
    ]
    total = sum(counts[first].values())
    shares = ", ".join(f"{name} {counts[first][name] / max(1, total):.1%}" for name in label_names[:8])
    more = f" and {len(label_names) - 8} more" if len(label_names) > 8 else ""
    if unseen:
        message = f"{first}: {shares}{more}; {len(unseen)} classes are only in other splits and cannot be learned"
        return Finding(
            check="label balance", level="problem", message=message, count=len(unseen), examples=tuple(unseen[:10])
        )
    largest = max(counts[first].values(), default=0)
    smallest = min(counts[first].values(), default=0)
    if largest > 10 * smallest:
        advice = "; accuracy says little here, look at F1 or Matthews too"
        return Finding(check="label balance", level="note", message=f"{first}: {shares}{more}{advice}", count=largest)
    return Finding(check="label balance", level="ok", message=f"{first}: {shares}{more}")


def class_counts(examples: Sequence[Example], label_names: Sequence[str]) -> dict[str, int]:
    """Return how many examples have each label; a multi-label example counts for each label it has."""
    counts = dict.fromkeys(label_names, 0)
    for example in examples:
        if isinstance(example.label, tuple):
            for name, present in zip(label_names, example.label, strict=True):
                counts[name] += present
        elif isinstance(example.label, int):
            counts[label_names[example.label]] += 1
    return counts


def conflict_finding(splits: Mapping[str, Sequence[Example]]) -> Finding:
    """Find texts that occur more than once with different labels, within a split or across."""
    labels: dict[str, set[Hashable]] = defaultdict(set)
    places: dict[str, list[str]] = defaultdict(list)
    for split, examples in splits.items():
        for number, example in enumerate(examples, 1):
            key = normalise_text(pair_text(example))
            labels[key].add(example.label)
            places[key].append(f"{split} #{number}")
    conflicts = [f"{' and '.join(places[key][:4])}: {key[:80]!r}" for key, found in labels.items() if len(found) > 1]
    return Finding.counting(
        "conflicting labels",
        conflicts,
        good="equal texts have equal labels",
        bad="{count} texts occur with different labels: no model can be right on all of them",
        level="note",
    )


def _as_classes(labels: Sequence[Hashable]) -> list[Hashable]:
    """Return labels as things that are equal or not; numbers become above or below their median."""
    numbers = [label for label in labels if isinstance(label, float)]
    if not numbers:
        return list(labels)
    middle = median(numbers)
    return [label > middle if isinstance(label, float) else label is None for label in labels]


def _stretches(labels: Sequence[Hashable]) -> int:
    """Return the number of stretches of equal labels."""
    return (1 if labels else 0) + sum(one != two for one, two in pairwise(labels))


def _expected_stretches(labels: Sequence[Hashable]) -> float:
    """Return the mean number of stretches over all orders of the labels: 1 + (n - 1) P(neighbours differ)."""
    count = len(labels)
    if count < 2:
        return float(count)
    same = sum(times * (times - 1) for times in Counter(labels).values()) / (count * (count - 1))
    return 1 + (count - 1) * (1 - same)
