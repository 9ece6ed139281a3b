"""Ask whether a vulnerability is known in a version that constraints.txt pins; part of ``make check``.

Usage::

    python tools/audit.py

The asking is pip-audit's. Where it is not installed, or its advisory service does not answer, one line says so and the
exit code is 0: a check must work offline. So that most checks ask nobody, a clean answer is kept for a day, and the
lack of one for an hour, in ``.venv/.audited``. The exit code is 1 when something is known that ``ACCEPTED`` does not
name.
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

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = "audit: NOT RUN"
CLEAN_KEPT_S = 24 * 3600
LACK_KEPT_S = 3600
LIMIT_S = 20
"""For one audit: a service that takes longer counts as not answering."""

ACCEPTED: Mapping[str, str] = {}
"""Identifier of an advisory -> why it does not concern us."""


def main(root: Path = ROOT) -> int:
    """Audit the pinned versions and print what was found; return the exit code."""
    constraints, stamp = root / "constraints.txt", root / ".venv" / ".audited"
    if not _is_installed():
        print(f"{NOT_RUN}, pip-audit is not installed (pip install pip-audit)")
        return 0
    content = hashlib.sha256(constraints.read_bytes()).hexdigest()
    kept = _kept(stamp, content)
    if kept is not None:
        print(f"{kept} (asked a while ago)")
        return 0
    known, line = _ask(constraints)
    print("\n".join([*known, line]))
    if not known and stamp.parent.is_dir():
        stamp.write_text(f"{content}\n{line}")
    return 1 if known else 0


def _is_installed() -> bool:
    return importlib.util.find_spec("pip_audit") is not None


def _kept(stamp: Path, content: str) -> str | None:
    """Return the line that the last audit of these versions ended with; None where there was none, or long ago."""
    if not stamp.is_file():
        return None
    of, _, line = stamp.read_text().partition("\n")
    most = LACK_KEPT_S if line.startswith(NOT_RUN) else CLEAN_KEPT_S
    return line if of == content and time.time() - stamp.stat().st_mtime < most else None


def _ask(constraints: Path) -> tuple[list[str], str]:
    """Return a line for everything that is known, and one that sums up."""
    ignored = [option for advisory in ACCEPTED for option in ("--ignore-vuln", advisory)]
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(constraints), "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "3", *ignored]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], f"{NOT_RUN}, the advisory service did not answer within {LIMIT_S} s"
    except (ValueError, KeyError, TypeError):  # it prints no report where it could not ask
        last = (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return [], f"{NOT_RUN}, {last[:200]}"
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:  # as behind a mirror that has packages and no advisories
        return [], f"{NOT_RUN}, the advisory service knows none of the pinned packages"
    known = [
        f"audit: {package['name']} {package['version']}: {each['id']}, mended in "
        f"{', '.join(each.get('fix_versions') or ['no version yet'])}"
        for package in audited
        for each in package.get("vulns", ())
    ]
    unknown = len(packages) - len(audited)
    line = f"audit: {len(known)} vulnerabilities known in {len(audited)} pinned versions"
    return known, line + (f"; {unknown} others are not known to the advisory service" if unknown else "")


if __name__ == "__main__":
    sys.exit(main())
