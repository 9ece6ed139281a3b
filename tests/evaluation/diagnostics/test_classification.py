from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from distilrank.evaluation.diagnostics import Diagnosis, diagnose_classification
from distilrank.records import Example

TRAIN = [Example(text=f"sentence number {number} of train", label=number % 2) for number in range(20)]
DEV = [Example(text=f"another text {number} for dev", label=number % 2) for number in range(6)]


def diagnose(splits: Mapping[str, Sequence[Example]], **changes: Any) -> Diagnosis:
    return diagnose_classification(splits=splits, label_names=["no", "yes"], kind="classes", **changes)


def levels(diagnosis: Diagnosis) -> dict[str, str]:
    return {finding.check: finding.level for finding in diagnosis.findings if finding.level != "ok"}


def test_healthy_data_has_no_problem() -> None:
    diagnosis = diagnose({"train": TRAIN, "dev": DEV})
    assert levels(diagnosis) == {}
    assert diagnosis.facts["splits"] == {
        "train": {"examples": 20, "labels": {"no": 10, "yes": 10}},
        "dev": {"examples": 6, "labels": {"no": 3, "yes": 3}},
    }


def test_shared_and_similar_texts_across_splits() -> None:
    shared = [Example(text="Sentence number 3, of train!", label=1)]
    similar = [Example(text="train sentence of number 4", label=0)]
    diagnosis = diagnose({"train": TRAIN, "dev": DEV + shared + similar})
    assert levels(diagnosis) == {"texts across splits": "problem", "near-duplicate texts across splits": "note"}
    examples = {finding.check: finding.examples for finding in diagnosis.findings}
    assert examples["texts across splits"] == ("train #4 and dev #7: 'sentence number 3 of train'",)


def test_repeated_ids_hide_nothing() -> None:
    repeated = [Example(text=f"text {number}", label=number % 2, example_id="0") for number in range(4)]
    diagnosis = diagnose({"train": TRAIN + repeated, "dev": repeated})
    assert [finding.count for finding in diagnosis.findings if finding.check == "texts across splits"] == [4]


def test_empty_texts_and_missing_labels() -> None:
    damaged = [Example(text=" ", label=1), Example(text="a", text_pair="", label=0), Example(text="b")]
    diagnosis = diagnose({"train": TRAIN + damaged})
    assert levels(diagnosis) == {"empty texts": "problem", "examples without a label": "note"}
    examples = {finding.check: finding.examples for finding in diagnosis.findings}
    assert examples["empty texts"] == ("train #21", "train #22")
    assert examples["examples without a label"] == ("train: 1 of 23",)


def test_regression_has_a_range_and_no_balance() -> None:
    numbers = [Example(text=f"text {number}", label=float(number % 3)) for number in range(12)]
    diagnosis = diagnose_classification(splits={"train": numbers}, label_names=[], kind="regression")
    assert "label balance" not in [finding.check for finding in diagnosis.findings]
    assert diagnosis.facts["splits"] == {
        "train": {"examples": 12, "labels": {"lowest": 0.0, "mean": 1.0, "highest": 2.0}}
    }


def test_lengths_count_both_texts() -> None:
    pairs = [Example(text="a " * 60, text_pair=f"{number} " * 60, label=number % 2) for number in range(10)]
    assert levels(diagnose({"train": pairs}, max_tokens=128)) == {"lengths": "problem"}
