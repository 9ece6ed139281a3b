"""The ranker that comes with the package: where it lies."""

from __future__ import annotations

from pathlib import Path

from distilrank.errors import ModelError

DEFAULT = Path(__file__).resolve().parent.parent / "default_ranker"


def default_folder() -> Path:
    """Return the folder of the ranker that comes with the package; its ``README.md`` says what it is.

    Raises:
        ModelError: This installation lacks it.
    """
    if not (DEFAULT / "config.json").is_file():
        raise ModelError(f"this installation lacks the ranker that comes with distilrank, {DEFAULT}; install it again")
    return DEFAULT
