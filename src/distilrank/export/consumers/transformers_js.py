"""Transformers.js, run under Node.js where the user has both."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from distilrank.errors import ModelError
from distilrank.export.consumers.folder import PASSAGES, QUERY, ModelFolder
from distilrank.export.consumers.run import Logits

SCRIPT = Path(__file__).with_suffix(".mjs")
PATIENCE = 120
"""Seconds that Node.js may take."""


def transformers_js_version() -> str | None:
    """Return the version that Node.js finds from the working directory; None where there is none."""
    if shutil.which("node") is None:
        return None
    try:
        return str(_ask(""))
    except ModelError:
        return None


def run_transformers_js(folder: ModelFolder) -> Logits:
    """``AutoTokenizer`` and ``AutoModelForSequenceClassification`` with ``dtype: "fp32"``, one padded batch.

    Raises:
        ModelError: It fails, with the error that it names.
    """
    request = {"folder": str(folder.path.resolve()), "query": QUERY, "passages": PASSAGES}
    return np.asarray(_ask(json.dumps(request)))


def _ask(request: str) -> Any:
    try:
        done = subprocess.run(
            ["node", str(SCRIPT)], input=request, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"Node.js does not answer: {error}") from error
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "Error" in line] or [f"exit code {done.returncode}"]
        raise ModelError(told[0].strip())
    return json.loads(done.stdout.strip().splitlines()[-1])
