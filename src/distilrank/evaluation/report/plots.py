"""The three drawings of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from distilrank.evaluation.report.cases import SAME
from distilrank.evaluation.report.content import LossCurve, Row
from distilrank.evaluation.report.svg import FAINT, GAIN, INK, LOSS, MUTED, SERIES, drawing, ticker, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTHED_OVER = 0.05
"""Share of the steps over which the bold line of a loss averages."""


def quality_against_latency(rows: Sequence[Row], *, measure: str) -> str | None:
    """Draw every system by its speed and quality; those without a latency are level lines. None: none has one."""
    placed = [row for row in rows if measure in row.measures and row.ms_per_100_passages]
    if not placed:
        return None
    levels = [row for row in rows if measure in row.measures and not row.ms_per_100_passages]
    with drawing(8.6, 4.2) as figure:
        axes = figure.add_subplot()
        for place, row in enumerate(placed):
            _mark_network(axes, row, measure=measure, colour=SERIES[place % len(SERIES)])
        for row in levels:
            _mark_level(axes, row, measure=measure)
        latencies = [row.ms_per_100_passages or 0.0 for row in placed]
        axes.set_xscale("log")
        axes.set_xlim(min(latencies) / 1.8, max(latencies) * 2.6)  # room for the names on the right
        axes.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("milliseconds for 100 passages (left is faster)")
        axes.set_ylabel(f"{measure} (up is better)")
        described = "; ".join(
            f"{row.name}: {measure} {row.measures[measure].mean:.3f} in {row.ms_per_100_passages:.1f} ms"
            for row in placed
        )
        return to_svg(figure, name="latency", description=f"Quality against latency. {described}")


def _mark_network(axes: Axes, row: Row, *, measure: str, colour: str) -> None:
    interval, across = row.measures[measure], row.ms_per_100_passages or 0.0
    axes.vlines(across, interval.low, interval.high, color=colour, linewidth=2, alpha=0.45)
    axes.plot([across], [interval.mean], "o", color=colour, markersize=9)
    axes.annotate(row.name, (across, interval.mean), (9, 6), textcoords="offset points", color=INK, fontweight="bold")


def _mark_level(axes: Axes, row: Row, *, measure: str) -> None:
    interval = row.measures[measure]
    axes.axhspan(interval.low, interval.high, color=FAINT, alpha=0.5, linewidth=0)
    axes.axhline(interval.mean, color=MUTED, linewidth=1.5, linestyle=(0, (4, 3)))
    axes.annotate(
        row.name,
        (0.995, interval.mean),
        (0, 4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color=MUTED,
    )


def loss_terms(curve: LossCurve, *, name: str) -> str:
    """Draw the terms of a loss by step, each in its own field: the values pale, their running mean bold."""
    terms = {term: np.asarray(values, dtype=np.float64) for term, values in curve.terms.items()}
    columns = min(3, max(1, len(terms)))
    lines = math.ceil(len(terms) / columns)
    steps = np.asarray(curve.steps)
    with drawing(8.6, 0.5 + 2.3 * lines) as figure:
        for place, (term, values) in enumerate(terms.items()):
            axes = figure.add_subplot(lines, columns, place + 1)
            known = np.isfinite(values)
            colour = SERIES[place % len(SERIES)]
            across, down = _thinned(steps[known], values[known])
            axes.plot(across, down, color=colour, alpha=0.28, linewidth=0.9)
            across, down = _thinned(steps[known], _running_mean(values[known]))
            axes.plot(across, down, color=colour, linewidth=2)
            axes.set_title(term)
            axes.set_ylim(bottom=min(0.0, float(values[known].min(initial=0.0))))
            axes.locator_params(axis="both", nbins=4)
            if place + columns >= len(terms):
                axes.set_xlabel("step")
        described = "; ".join(f"{term} ends at {values[-1]:.4g}" for term, values in terms.items() if len(values))
        return to_svg(figure, name=name, description=f"Loss terms by step: {curve.title}. {described}")


def gains_and_losses(differences: Mapping[str, float], *, measure: str) -> str:
    """Draw the student's difference from its teacher for every query, losses first."""
    values = np.sort(np.asarray(list(differences.values()), dtype=np.float64))
    across = np.linspace(0.0, 100.0, len(values) + 1)
    with drawing(8.6, 2.9) as figure:
        axes = figure.add_subplot()
        for colour, part in ((LOSS, np.minimum(values, 0.0)), (GAIN, np.maximum(values, 0.0))):
            axes.stairs(part, across, fill=True, color=colour, linewidth=0)
        axes.axhline(0.0, color=MUTED, linewidth=1)
        axes.set_xlim(0.0, 100.0)
        axes.margins(y=0.08)
        axes.set_xlabel("share of the queries, in percent")
        axes.set_ylabel(f"{measure}: student \N{MINUS SIGN} teacher")
        losses, gains = int((values < -SAME).sum()), int((values > SAME).sum())
        ties = len(values) - losses - gains
        described = f"of {len(values)} queries, losses {losses}, ties {ties}, gains {gains}"
        return to_svg(figure, name="gains", description=f"Difference from the teacher by query: {described}")


def _running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average each value with its neighbours on both sides, fewer at the ends, shape kept."""
    half = max(1, round(len(values) * _SMOOTHED_OVER / 2))
    sums = np.concatenate(([0.0], np.cumsum(values)))
    places = np.arange(len(values))
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def _thinned(
    across: NDArray[np.int64], down: NDArray[np.float64], *, most: int = 600
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Keep at most so many points of a line, evenly spaced: a screen shows no more, and the file stays small."""
    if len(across) <= most:
        return across, down
    kept = np.unique(np.linspace(0, len(across) - 1, most).astype(np.int64))
    return across[kept], down[kept]
