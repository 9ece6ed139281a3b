"""What tells one description of a run from another: the first value in which two JSON values differ."""

from __future__ import annotations


def first_difference(stored: object, wanted: object, name: str = "") -> str:
    """Return one clause naming the first value that differs between two JSON values, empty when they are equal.

    A setting that is not there equals None: what a later version adds leaves the runs of an earlier one resumable.
    """
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*stored, *wanted]):
            path = f"{name}.{key}" if name else key
            if stored.get(key) is None and wanted.get(key) is None:
                continue
            if key not in wanted:
                return f"{path} was {stored[key]!r} and is not given now"
            if key not in stored:
                return f"{path} was not given and is {wanted[key]!r} now"
            difference = first_difference(stored[key], wanted[key], path)
            if difference:
                return difference
        return ""
    return "" if stored == wanted else f"{name} was {stored!r} and is {wanted!r} now"
