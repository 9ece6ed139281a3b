"""Putting the page together and writing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from distilrank.data.files import atomic_write_bytes
from distilrank.errors import MissingExtraError
from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.report.cases import SAME
from distilrank.evaluation.report.content import Report
from distilrank.evaluation.report.plots import gains_and_losses, loss_terms, quality_against_latency
from distilrank.evaluation.report.svg import LIGHT

try:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
except ImportError as error:
    raise MissingExtraError("jinja2", extra="evaluate", purpose="to write the report") from error


def write_report(path: str | Path, report: Report) -> None:
    """Write one HTML file that needs no other and opens offline, whole or not at all.

    Raises:
        ValueError: The report's measure is not among those of its rows.
    """
    # A lone surrogate, which broken JSON can hold, has no UTF-8 form.
    atomic_write_bytes(path, render_report(report).encode("utf-8", "replace"))


def render_report(report: Report) -> str:
    """Return the page; every text of the report is escaped."""
    if not any(report.measure in row.measures for row in report.rows):
        raise ValueError(f"no row has the measure {report.measure!r} that the report is about")
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(interval=_interval, percent=_percent, signed=_signed, count=_count)
    latency = quality_against_latency(report.rows, measure=report.measure)
    return page.get_template("report.html.jinja").render(
        report=report,
        light=LIGHT,
        measures=list(dict.fromkeys(name for row in report.rows for name in row.measures)),
        show_kept=any(row.kept is not None for row in report.rows),
        latency=None if latency is None else Markup(latency),
        curves=[
            (curve.title, Markup(loss_terms(curve, name=f"loss{place}")))
            for place, curve in enumerate(report.curves)
            if curve.steps and curve.terms
        ],
        gains=Markup(gains_and_losses(report.differences, measure=report.measure)) if report.differences else None,
        tally=_tally(report.differences),
        losses=[case for case in report.cases if case.difference < 0.0],
        wins=[case for case in report.cases if case.difference >= 0.0],
    )


def _tally(differences: Mapping[str, float]) -> dict[str, int]:
    gains = sum(value > SAME for value in differences.values())
    losses = sum(value < -SAME for value in differences.values())
    return {"gains": gains, "losses": losses, "ties": len(differences) - gains - losses}


def _interval(value: Interval) -> str:
    return f"{value.low:.3f} to {value.high:.3f}"


def _percent(value: float) -> str:
    return f"{100.0 * value:.1f}%"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")


def _count(value: float | None, digits: int = 0) -> str:
    return "\u2013" if value is None else f"{value:,.{digits}f}"
