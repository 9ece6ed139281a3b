"""What the study's numbers mean, question by question: whether the papers' claims held, and why that may be.

Prose about the results at scale ``cpu``. It names no number, so that none can go stale; the verdicts beside it are
computed.
"""

from __future__ import annotations

FINDINGS: dict[str, str] = {}
