"""Which of accelerate's experiment trackers a run can use."""

from __future__ import annotations

from collections.abc import Sequence

from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType

from distilrank.errors import SettingsError, nearest

DEFAULT_TRACKER = "tensorboard"


def usable_trackers(names: Sequence[str]) -> list[str]:
    """Return the trackers to log to; the default one is left out when its library is absent.

    Raises:
        SettingsError: If a name is unknown, or the library of a tracker other than the default is absent.
    """
    known = [str(name) for name in LoggerType if name != LoggerType.ALL]
    installed = [str(name) for name in get_available_trackers()]
    for name in names:
        if name not in known:
            raise SettingsError(f"unknown tracker {name!r}{nearest(name, known)}; known are {', '.join(known)}")
        if name not in installed and name != DEFAULT_TRACKER:
            raise SettingsError(f"the tracker {name!r} is not installed; pip install {name}, or leave it out")
    return [name for name in names if name in installed]
