from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from distilrank.evaluation.diagnostics.labels import (
    balance_finding,
    class_counts,
    conflict_finding,
    order_finding,
    pair_text,
)
from distilrank.records import Example

Label = int | float | tuple[int, ...] | None


def examples(labels: Sequence[Label]) -> list[Example]:
    return [Example(text=f"text {number}", label=label) for number, label in enumerate(labels)]


def shuffled(labels: list[int]) -> list[int]:
    return random.Random(3).sample(labels, len(labels))


def test_sorted_labels_are_noticed_and_shuffled_ones_are_not() -> None:
    labels = [0] * 50 + [1] * 50
    assert order_finding({"train": examples(labels)}).level == "note"
    assert order_finding({"train": examples(shuffled(labels))}).level == "ok"


def test_the_expected_stretches_are_those_of_shuffled_labels() -> None:
    # 30 of one and 70 of another: 1 + 99 x 2 x 30 x 70 / (100 x 99) = 43 stretches on average.
    finding = order_finding({"train": examples([0] * 30 + [1] * 70)})
    assert finding.examples == ("train: 2 stretches of equal labels where shuffled data has 43",)


def test_blocks_of_labels_are_noticed() -> None:
    assert order_finding({"dev": examples(([0] * 10 + [1] * 10 + [2] * 10) * 5)}).count == 1


def test_numbers_sorted_are_noticed() -> None:
    numbers: list[Label] = [number / 10 for number in range(60)]
    mixed = random.Random(1).sample(numbers, len(numbers))
    assert order_finding({"train": examples(numbers)}).level == "note"
    assert order_finding({"train": examples(mixed)}).level == "ok"


@pytest.mark.parametrize("labels", [[], [1], [1, 1, 1, 1], [None, None]])
def test_without_two_labels_there_is_no_order(labels: list[Label]) -> None:
    assert order_finding({"train": examples(labels)}).level == "ok"


def test_balance_names_the_shares() -> None:
    finding = balance_finding({"train": examples([0, 0, 0, 1])}, ["no", "yes"])
    assert (finding.level, finding.message) == ("ok", "train: no 75.0%, yes 25.0%")


def test_a_rare_class_is_a_note() -> None:
    assert balance_finding({"train": examples([0] * 11 + [1])}, ["no", "yes"]).level == "note"
    assert balance_finding({"train": examples([0] * 10 + [1])}, ["no", "yes"]).level == "ok"


def test_a_class_that_train_lacks_is_a_problem() -> None:
    finding = balance_finding({"train": examples([0, 0]), "dev": examples([0, 1])}, ["no", "yes"])
    assert (finding.level, finding.examples) == ("problem", ("'yes': 1 in dev, none in train",))


def test_multi_label_examples_count_for_each_label() -> None:
    assert class_counts(examples([(1, 1, 0), (0, 1, 0)]), ["a", "b", "c"]) == {"a": 1, "b": 2, "c": 0}


def test_equal_texts_with_different_labels_conflict() -> None:
    splits = {
        "train": [Example(text="Good.", label=1), Example(text="bad", label=0), Example(text="bad", label=0)],
        "dev": [Example(text="good", label=0)],
    }
    finding = conflict_finding(splits)
    assert (finding.level, finding.count) == ("note", 1)
    assert finding.examples == ("train #1 and dev #1: 'good'",)


def test_a_pair_is_identified_by_both_texts() -> None:
    assert pair_text(Example(text="a", text_pair="b")) != pair_text(Example(text="a", text_pair="c"))
    assert pair_text(Example(text="a")) == "a"
