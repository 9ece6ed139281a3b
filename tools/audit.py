"""Ask whether a vulnerability is known in a version that constraints.txt pins; part of ``make check``.

Usage::

    python tools/audit.py

The asking is pip-audit's. Where it is not installed, or its advisory service does not answer, one line says so and the
exit code is 0: a check must work offline. A clean answer is kept for a day in ``.venv/.audited``, so that most checks
ask nobody. The exit code is 1 when something is known that ``ACCEPTED`` does not name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DAY_S = 24 * 3600
LIMIT_S = 30
"""For one audit: a service that takes longer counts as not answering."""

ACCEPTED: Mapping[str, str] = {}
"""Identifier of an advisory -> why it does not concern us."""


def main(root: Path = ROOT) -> int:
    """Audit the pinned versions and print a line; return the exit code."""
    constraints, stamp = root / "constraints.txt", root / ".venv" / ".audited"
    content = hashlib.sha256(constraints.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == content and time.time() - stamp.stat().st_mtime < DAY_S:
        print("audit: clean less than a day ago")
        return 0
    if not _is_installed():
        return _not_run("pip-audit is not installed (pip install pip-audit)")
    ignored = [option for advisory in ACCEPTED for option in ("--ignore-vuln", advisory)]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "3", *ignored]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return _not_run(f"the advisory service did not answer within {LIMIT_S} s")
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):  # it prints no report where it could not ask
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return _not_run(last[:200])
    known = [line for package in audited for line in _lines(package)]
    skipped = sum("skip_reason" in package for package in audited)
    print("\n".join(known) or f"audit: nothing is known against {len(audited) - skipped} pinned versions")
    if skipped:
        print(f"audit: {skipped} pinned versions are not known to the advisory service")
    if not known and stamp.parent.is_dir():
        stamp.write_text(content)
    return 1 if known else 0


def _is_installed() -> bool:
    return importlib.util.find_spec("pip_audit") is not None


def _not_run(reason: str) -> int:
    print(f"audit: NOT RUN, {reason}")
    return 0


def _lines(package: Mapping[str, Any]) -> list[str]:
    """Return what is known against a version, a line each."""
    return [
        f"audit: {package['name']} {package['version']}: {known['id']}, mended in "
        f"{', '.join(known.get('fix_versions') or ['no version yet'])}"
        for known in package.get("vulns", ())
    ]


if __name__ == "__main__":
    sys.exit(main())
