"""Alarms: failures that raise no error, found in scores, decisions and texts and said in one sentence with the number.

Each rule is a function of plain numbers that returns a finding or None; docs/alarms.md lists them all with what to do.
"""

from __future__ import annotations

from distilrank.evaluation.diagnostics.alarms.decisions import decision_alarms, label_order_note
from distilrank.evaluation.diagnostics.alarms.leaks import leaked_texts
from distilrank.evaluation.diagnostics.alarms.quality import no_better_than_first_stage
from distilrank.evaluation.diagnostics.alarms.scales import Compares, scale_alarm
from distilrank.evaluation.diagnostics.alarms.scores import Scores, score_alarms

__all__ = [
    "Compares",
    "Scores",
    "decision_alarms",
    "label_order_note",
    "leaked_texts",
    "no_better_than_first_stage",
    "scale_alarm",
    "score_alarms",
]
