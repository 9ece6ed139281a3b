"""What the labels of a classification file mean: classes, numbers for regression, or several at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from distilrank.data.lines import BadLine, parse_number

Kind = Literal["classes", "regression", "multi_label"]
Label = int | float | tuple[int, ...]
NO_LABEL = ("", "-")
"""Cells that say there is no label; SNLI marks pairs without a majority by a dash."""

_WHOLE = re.compile(r"[+-]?\d+")
_MOST_NUMBERED_CLASSES = 1000
_PARTED_BY = "|"


def label_reader(
    raw: Sequence[Any], names: Sequence[str] | None, kind: Kind | None
) -> tuple[tuple[str, ...], Kind, Callable[[Any], Label]]:
    """Decide from all labels of a file what they are, and how one is read.

    Args:
        raw: The labels as they stand in the file: strings, or JSON values.
        names: The classes in order when they are known; None: found here and sorted.
        kind: What the labels are when it is known.

    Returns:
        The names (empty for regression), the kind, and a function that reads one label and raises `BadLine`.
    """
    kind = _guess_kind(raw, names) if kind is None else kind
    if kind == "regression":
        return (), kind, _read_number
    if kind == "multi_label":
        ordered = tuple(names) if names is not None else _names_of_sets(raw)
        return ordered, kind, lambda value: _read_set(value, ordered)
    ordered = tuple(names) if names is not None else _names_of_classes(raw)
    return ordered, kind, lambda value: _read_class(value, ordered)


def _guess_kind(raw: Sequence[Any], names: Sequence[str] | None) -> Kind:
    if any(isinstance(value, list) for value in raw):
        return "multi_label"
    if names is None and any(_has_point(value) for value in raw) and all(_is_number(value) for value in raw):
        return "regression"
    return "classes"


def _has_point(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, str) and _WHOLE.fullmatch(value) is None)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _names_of_classes(raw: Sequence[Any]) -> tuple[str, ...]:
    found = {_as_name(value) for value in raw if isinstance(value, str | int)}
    if not all(_WHOLE.fullmatch(name) for name in found):
        return tuple(sorted(found))
    numbers = {int(name) for name in found}
    # Numbers that start at 0 are class indices already: one that this file happens to lack keeps its place.
    # Nothing but 1 is a yes-or-no set that lacks its noes.
    if (min(numbers) == 0 or numbers == {1}) and max(numbers) < _MOST_NUMBERED_CLASSES:
        return tuple(str(number) for number in range(max(numbers) + 1))
    return tuple(str(number) for number in sorted(numbers))


def _as_name(value: Any) -> str:
    text = str(int(value)) if isinstance(value, bool) else str(value)
    return str(int(text)) if _WHOLE.fullmatch(text) else text


def _read_class(value: Any, names: tuple[str, ...]) -> int:
    if isinstance(value, str | int):
        for name in (str(value), _as_name(value)):
            if name in names:
                return names.index(name)
        if _WHOLE.fullmatch(_as_name(value)) and 0 <= int(_as_name(value)) < len(names):
            return int(_as_name(value))
    raise BadLine(f"label {value!r} is not one of {', '.join(names)}; correct or remove the line")


def _read_number(value: Any) -> float:
    if isinstance(value, list | dict | bool):
        raise BadLine(f"label {value!r} is not a number; correct or remove the line")
    return parse_number(str(value), name="label")


def _names_of_sets(raw: Sequence[Any]) -> tuple[str, ...]:
    lists = [_members(value) for value in raw]
    if _are_flags(lists):
        return tuple(str(place) for place in range(max(len(members) for members in lists)))
    return tuple(sorted({str(member) for members in lists for member in members}))


def _members(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return str(value).split(_PARTED_BY) if value else []


def _are_flags(lists: list[list[Any]]) -> bool:
    flags = all(member in (0, 1) and not isinstance(member, str) for members in lists for member in members)
    return flags and len({len(members) for members in lists}) == 1


def _read_set(value: Any, names: tuple[str, ...]) -> tuple[int, ...]:
    members = _members(value)
    if len(members) == len(names) and _are_flags([members]):
        return tuple(int(member) for member in members)
    unknown = [member for member in members if str(member) not in names]
    if unknown:
        raise BadLine(f"label {unknown[0]!r} is not one of {', '.join(names)}; correct or remove the line")
    chosen = {str(member) for member in members}
    return tuple(int(name in chosen) for name in names)
