"""Splits that share nothing: no identifier, and no text that is the same but for case and punctuation."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distilrank.errors import SettingsError
from distilrank.evaluation.diagnostics.duplicates import normalise_text
from distilrank.evaluation.diagnostics.findings import Finding

TRAIN = "train"
_DEV_NAMES = ("validation", "valid", "val")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that was taken out of a split, and a sentence that says why."""

    item: str
    split: str
    reason: str


def usual_name(split: str) -> str:
    """Return what a split is called here: dev, whatever its data calls it."""
    return "dev" if split in _DEV_NAMES else split


def separate(
    splits: Mapping[str, Sequence[str]], texts: Mapping[str, str]
) -> tuple[dict[str, list[str]], list[LeftOut]]:
    """Take out of each split what one that is held out further also has.

    Tests keep all they have, dev loses what a test has, train what dev or a test has: published test sets stay
    comparable, and what is lost is training data, of which there is most. Repetitions inside a split stay.

    Args:
        splits: Split -> ids, each known to ``texts``. "train" and "dev" are what they are called; all others are tests.
        texts: Id -> text.

    Returns:
        The splits (train, dev, test, then the others by name), and what was left out of them.
    """
    ids: dict[str, str] = {}
    seen_texts: dict[str, tuple[str, str]] = {}
    kept: dict[str, list[str]] = {}
    left_out: list[LeftOut] = []
    for split in sorted(splits, key=how_guarded):
        kept[split] = []
        for item in splits[split]:
            owner = seen_texts.get(normalise_text(texts[item]))
            if item in ids:
                left_out.append(LeftOut(item, split, f"is in {ids[item]} too"))
            elif owner is not None:
                left_out.append(LeftOut(item, split, f"has the text of {owner[1]} in {owner[0]}: {texts[item][:80]!r}"))
            else:
                kept[split].append(item)
        # Only now: what repeats within one split is no leak.
        ids |= dict.fromkeys(kept[split], split)
        seen_texts |= {normalise_text(texts[item]): (split, item) for item in kept[split]}
    return {split: kept[split] for split in sorted(splits, key=_usual_order)}, left_out


def divide(
    items: Sequence[str], texts: Mapping[str, str], *, shares: Mapping[str, float], seed: int
) -> dict[str, list[str]]:
    """Divide items at random; what has the same text stays together.

    Args:
        items: Ids.
        texts: Id -> text.
        shares: Split -> share of the items, 0 to 1 and below 1 in sum; a share above 0 gets at least one item.
            What remains is "train".
        seed: Of the division; the order of ``items`` matters too.

    Returns:
        "train", then a split for every share above 0, each in the order of ``items``.
    """
    if any(share < 0 for share in shares.values()) or sum(shares.values()) >= 1:
        asked = ", ".join(f"{split} {share:g}" for split, share in shares.items())
        raise SettingsError(f"the shares held out are {asked}; give shares from 0 on, below 1 in sum")
    alike: dict[str, list[str]] = {}
    for item in items:
        alike.setdefault(normalise_text(texts[item]), []).append(item)
    clusters = list(alike.values())
    random.Random(seed).shuffle(clusters)
    place: dict[str, str] = {}
    for split, share in shares.items():
        wanted = max(1, round(share * len(items))) if share > 0 else 0
        taken = 0
        # One cluster at least is left for the training split.
        while taken < wanted and len(clusters) > 1:
            cluster = clusters.pop()
            taken += len(cluster)
            place |= dict.fromkeys(cluster, split)
    held_out = [split for split, share in shares.items() if share > 0]
    return {split: [item for item in items if place.get(item, TRAIN) == split] for split in (TRAIN, *held_out)}


def sample_in_order(items: Sequence[str], count: int | None, *, seed: int) -> list[str]:
    """Draw at most ``count`` items at random and keep their order; None keeps all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[place] for place in sorted(random.Random(seed).sample(range(len(items)), count))]


def left_out_finding(left_out: Sequence[LeftOut]) -> Finding:
    """Say what was left out so that splits share nothing."""
    return Finding.counting(
        "left out of splits",
        [f"{item.item} ({item.split}) {item.reason}" for item in left_out],
        good="nothing had to be left out of a split",
        bad="{count} entries were left out of a split: they were in another one too, or had no text",
        level="note",
    )


def _usual_order(split: str) -> tuple[int, str]:
    usual = (TRAIN, "dev", "test")
    return (usual.index(split) if split in usual else len(usual), split)


def how_guarded(split: str) -> int:
    """Return 0 for tests, 1 for dev and 2 for train: the lowest keeps what it shares with others."""
    return {TRAIN: 2, "dev": 1}.get(split, 0)
