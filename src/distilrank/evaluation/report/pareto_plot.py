"""The drawing of a benchmark: quality against latency, with the size as area, and the systems that none outdoes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.report.svg import INK, MUTED, SERIES, drawing, ticker, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST, _MOST = 40.0, 900.0
"""Areas of marks, in square points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A system in the drawing.

    Attributes:
        name: As shown.
        ms: Median milliseconds of a query.
        quality: Mean of the measure with its interval.
        megabytes: On disk. None: no network, drawn as a square of the smallest size.
    """

    name: str
    ms: float
    quality: Interval
    megabytes: float | None = None


def pareto_front(systems: Sequence[Placed]) -> list[Placed]:
    """Return the systems than which none is at once at least as fast and better, or faster and as good; by speed."""
    front: list[Placed] = []
    for system in sorted(systems, key=lambda each: (each.ms, -each.quality.mean)):
        if not front or system.quality.mean > front[-1].quality.mean:
            front.append(system)
    return front


def quality_latency_size(systems: Sequence[Placed], *, measure: str, passages: int) -> str:
    """Draw systems, at least one; see the module."""
    front = pareto_front(systems)
    most = max((system.megabytes or 0.0 for system in systems), default=0.0)
    with drawing(8.6, 4.6) as figure:
        axes = figure.add_subplot()
        axes.plot(
            [system.ms for system in front],
            [system.quality.mean for system in front],
            drawstyle="steps-post",
            color=MUTED,
            linewidth=1.5,
            linestyle=(0, (4, 3)),
            zorder=1,
        )
        for place, system in enumerate(systems):
            _mark(axes, system, most=most, colour=SERIES[place % len(SERIES)])
        _axes(axes, [system.ms for system in systems])
        axes.set_xlabel(f"median milliseconds for a query of {passages} passages (left is faster)")
        axes.set_ylabel(f"{measure} (up is better)")
        described = "; ".join(
            f"{system.name}: {measure} {system.quality.mean:.3f} in {system.ms:.1f} ms{_size(system)}"
            for system in systems
        )
        described += f". None outdoes {', '.join(system.name for system in front)}"
        return to_svg(figure, name="pareto", description=f"Quality against latency, area is size. {described}")


def _axes(axes: Axes, times: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 1.8, max(times) * 3.2)  # room for the names on the right
    axes.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _mark(axes: Axes, system: Placed, *, most: float, colour: str) -> None:
    quality, size = system.quality, system.megabytes
    area = _LEAST if size is None else max(_LEAST, _MOST * size / most)
    axes.vlines(system.ms, quality.low, quality.high, color=colour, linewidth=2, alpha=0.45)
    axes.scatter([system.ms], [quality.mean], s=area, marker="s" if size is None else "o", color=colour, alpha=0.8)
    axes.annotate(
        f"{system.name}{_size(system)}",
        (system.ms, quality.mean),
        (4 + math.sqrt(area / math.pi), 5),
        textcoords="offset points",
        color=INK,
        fontweight="bold",
    )


def _size(system: Placed) -> str:
    return "" if system.megabytes is None else f", {system.megabytes:.0f} MB"
