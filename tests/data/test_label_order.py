from __future__ import annotations

from distilrank.data.classification import ClassificationData
from distilrank.data.label_order import in_order
from distilrank.records import Example


def test_sets_of_labels_are_put_in_order_too() -> None:
    data = ClassificationData(
        examples=[Example(text="x", label=(1, 0)), Example(text="y", label=(1, 1)), Example(text="z", label=(0, 0))],
        label_names=("a", "b"),
        kind="multi_label",
    )
    ordered = in_order(data, ["b", "c", "a"])
    assert [example.label for example in ordered.examples] == [(0, 0, 1), (1, 0, 1), (0, 0, 0)]
    assert in_order(data, ["a", "b"]) is data
    # Names that the order does not have say nothing about the order.
    assert in_order(data, ["LABEL_0", "LABEL_1"]) is data
    numbers = ClassificationData(examples=[Example(text="x", label=1.5)], label_names=(), kind="regression")
    assert in_order(numbers, ["LABEL_0"]) is numbers


def test_names_differ_by_more_than_case() -> None:
    data = ClassificationData(
        examples=[Example(text="x", label=0), Example(text="y", label=1)],
        label_names=("negative", "positive"),
        kind="classes",
    )
    ordered = in_order(data, ["POSITIVE", "NEGATIVE"])
    assert [example.label for example in ordered.examples] == [1, 0]
    assert ordered.label_names == ("POSITIVE", "NEGATIVE")
