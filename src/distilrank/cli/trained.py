"""What the training verbs print when they are done."""

from __future__ import annotations

import os
import sys

from distilrank.data.lines import BadLines
from distilrank.workflows.alarms import say_alarms
from distilrank.workflows.finish import Trained


def show(trained: Trained, bad: BadLines) -> None:
    """Print what was made, and list the bad lines that were skipped on standard error; of several processes once."""
    if os.environ.get("RANK", "0") != "0":
        return
    for error in bad.skipped:
        print(f"skipped: {error}", file=sys.stderr)
    result = trained.result
    print(f"{trained.folder}: {trained.parameters:,} parameters after {result.steps} steps", end="")
    if result.best_step is not None and result.best_value is not None:
        print(f"; best at step {result.best_step} ({result.best_value:.4f} on dev)", end="")
    print(f"\njournal: {result.history}")
    say_alarms(trained.alarms)
