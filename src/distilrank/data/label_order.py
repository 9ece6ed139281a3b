"""Labels renumbered: data and classifiers that know the same labels in different orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from distilrank.data.classification import ClassificationData
from distilrank.records import Example


def in_order(data: ClassificationData, order: Sequence[str]) -> ClassificationData:
    """Return the data with its labels numbered as in ``order`` when that holds all their names, else as it is.

    Case does not matter: a public classifier's POSITIVE is the data's positive.
    """
    names = data.label_names
    known = {name.casefold(): place for place, name in enumerate(order)}
    if tuple(order) == names or not names or not {name.casefold() for name in names} <= set(known):
        return data
    places = [known[name.casefold()] for name in names]

    def moved(example: Example) -> Example:
        label = example.label
        if isinstance(label, int):
            return replace(example, label=places[label])
        if isinstance(label, tuple):
            held = {places[place] for place, holds in enumerate(label) if holds}
            return replace(example, label=tuple(int(place in held) for place in range(len(order))))
        return example

    return replace(data, examples=[moved(example) for example in data.examples], label_names=tuple(order))
