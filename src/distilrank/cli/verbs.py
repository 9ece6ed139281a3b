"""The verbs of ``distilrank``: the one list from which commands and help are made."""

from __future__ import annotations

from collections.abc import Callable

from distilrank.cli.distil import distil
from distilrank.cli.evaluate import evaluate
from distilrank.cli.export import export
from distilrank.cli.fine_tune import fine_tune
from distilrank.cli.prepare import prepare
from distilrank.cli.quickstart import quickstart
from distilrank.cli.rank import rank
from distilrank.cli.teach import teach

VERBS: dict[str, Callable[..., None]] = {
    "quickstart": quickstart,
    "prepare": prepare,
    "teach": teach,
    "fine-tune": fine_tune,
    "distil": distil,
    "evaluate": evaluate,
    "rank": rank,
    "export": export,
}
