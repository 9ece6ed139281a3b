from __future__ import annotations

import pytest

from distilrank.errors import SettingsError
from distilrank.workflows.splits import divide, left_out_finding, sample_in_order, separate


def test_tests_keep_what_they_share_and_train_loses_it() -> None:
    texts = {"a": "one", "b": "two", "c": "three", "d": "four", "e": "Two!", "f": "three"}
    splits = {"extra": ["d"], "test": ["a"], "train": ["a", "b", "c", "d"], "dev": ["a", "e", "f"]}
    kept, left_out = separate(splits, texts)
    assert kept == {"train": [], "dev": ["e", "f"], "test": ["a"], "extra": ["d"]}
    assert list(kept) == ["train", "dev", "test", "extra"]
    assert [(item.item, item.split) for item in left_out] == [
        ("a", "dev"),
        ("a", "train"),
        ("b", "train"),
        ("c", "train"),
        ("d", "train"),
    ]
    assert left_out[0].reason == "is in test too"
    assert left_out[2].reason == "has the text of e in dev: 'two'"


def test_repetitions_within_a_split_stay() -> None:
    texts = {"a": "one", "b": "One", "c": "two"}
    assert separate({"train": ["a", "b"], "dev": ["c"]}, texts) == ({"train": ["a", "b"], "dev": ["c"]}, [])


def test_the_finding_lists_what_was_left_out() -> None:
    _, left_out = separate({"train": ["a"], "test": ["a"]}, {"a": "one"})
    finding = left_out_finding(left_out)
    assert (finding.level, finding.count, finding.examples) == ("note", 1, ("a (train) is in test too",))
    assert left_out_finding([]).level == "ok"


def ids_and_texts(count: int) -> tuple[list[str], dict[str, str]]:
    items = [f"q{number}" for number in range(count)]
    return items, {item: f"text {item}" for item in items}


def test_shares_are_kept_and_nothing_is_lost() -> None:
    items, texts = ids_and_texts(200)
    divided = divide(items, texts, shares={"dev": 0.1, "test": 0.25}, seed=1)
    assert {split: len(own) for split, own in divided.items()} == {"train": 130, "dev": 20, "test": 50}
    assert sorted(item for own in divided.values() for item in own) == sorted(items)
    assert divided["dev"] == sorted(divided["dev"], key=items.index)


def test_a_division_depends_on_the_seed_alone() -> None:
    items, texts = ids_and_texts(50)
    first, again, other = (divide(items, texts, shares={"dev": 0.2}, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_equal_texts_stay_together() -> None:
    items = [f"q{number}" for number in range(60)]
    texts = {item: f"text {number % 12}" + "!" * (number % 3) for number, item in enumerate(items)}
    for seed in range(5):
        divided = divide(items, texts, shares={"dev": 0.2, "test": 0.2}, seed=seed)
        owners = {texts[item].strip("!"): split for split, own in divided.items() for item in own}
        assert all(owners[texts[item].strip("!")] == split for split, own in divided.items() for item in own)
        assert all(len(own) >= 12 for own in divided.values())


def test_a_share_gets_one_item_at_least_and_train_too() -> None:
    items, texts = ids_and_texts(3)
    divided = divide(items, texts, shares={"dev": 0.01, "test": 0.9}, seed=1)
    assert {split: len(own) for split, own in divided.items()} == {"train": 1, "dev": 1, "test": 1}


def test_no_share_makes_no_split() -> None:
    items, texts = ids_and_texts(5)
    assert divide(items, texts, shares={"dev": 0.0}, seed=1) == {"train": items}


@pytest.mark.parametrize("shares", [{"dev": -0.1}, {"dev": 0.5, "test": 0.5}])
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="shares held out are dev"):
        divide(["a"], {"a": "one"}, shares=shares, seed=1)


def test_samples_keep_their_order() -> None:
    items = [f"q{number}" for number in range(100)]
    sample = sample_in_order(items, 10, seed=5)
    assert len(sample) == 10
    assert sample == sorted(sample, key=items.index)
    assert sample == sample_in_order(items, 10, seed=5)
    assert sample != sample_in_order(items, 10, seed=6)
    assert sample_in_order(items, None, seed=5) == sample_in_order(items, 100, seed=5) == items
