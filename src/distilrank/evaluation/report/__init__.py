"""The report: one HTML file that shows what was run, what came of it and where it went wrong."""

from distilrank.evaluation.report.cases import Case, ShownPassage, query_differences, worst_and_best
from distilrank.evaluation.report.content import LossCurve, Report, Row, loss_curves
from distilrank.evaluation.report.write import render_report, write_report

__all__ = [
    "Case",
    "LossCurve",
    "Report",
    "Row",
    "ShownPassage",
    "loss_curves",
    "query_differences",
    "render_report",
    "worst_and_best",
    "write_report",
]
