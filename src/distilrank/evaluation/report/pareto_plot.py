"""The drawing of a benchmark: quality against latency, with the size as area.

A dashed line joins the systems that none outdoes in quality and latency; a dark edge marks those that none outdoes in
all three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distilrank.evaluation.intervals import Interval
from distilrank.evaluation.report.svg import INK, MUTED, SERIES, drawing, ticker, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (8.6, 4.6)
"""Of the figure, in inches."""

_LEAST, _MOST = 40.0, 900.0
"""Areas of marks, in square points."""

_LETTER, _LINE = 7.0, 13.0
"""Width of a letter and height of a line, in points."""

_LIFTS = (5, -13, 19, -27, 33, -41, 47, -55)
"""How far above its mark a name may stand, in points; the first that is free is taken."""


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


def unbeaten(systems: Sequence[Placed]) -> list[Placed]:
    """Return the systems than which none is at least as good, as fast and as small, and better in one of these."""

    def values(system: Placed) -> tuple[float, float, float]:
        return (system.ms, -system.quality.mean, system.megabytes or 0.0)

    def outdoes(other: Placed, system: Placed) -> bool:
        pairs = list(zip(values(other), values(system), strict=True))
        return all(theirs <= own for theirs, own in pairs) and any(theirs < own for theirs, own in pairs)

    return [system for system in systems if not any(outdoes(other, system) for other in systems)]


def quality_latency_size(systems: Sequence[Placed], *, measure: str, passages: int) -> str:
    """Draw systems, at least one; see the module."""
    front, best = pareto_front(systems), unbeaten(systems)
    most = max((system.megabytes or 0.0 for system in systems), default=0.0)
    with drawing(*_SIZE) as figure:
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
        _axes(axes, [system.ms for system in systems])
        for place, system in enumerate(systems):
            _mark(
                axes,
                system,
                area=_area(system, most),
                colour=SERIES[place % len(SERIES)],
                edge=INK if system in best else "none",
            )
        _names(axes, systems, areas=[_area(system, most) for system in systems])
        axes.set_xlabel(f"median milliseconds for a query of {passages} passages (left is faster)")
        axes.set_ylabel(f"{measure} (up is better)")
        described = "; ".join(
            f"{system.name}: {measure} {system.quality.mean:.3f} in {system.ms:.1f} ms{_size(system)}"
            for system in systems
        )
        described += f". None outdoes {', '.join(system.name for system in best)}"
        return to_svg(figure, name="pareto", description=f"Quality against latency, area is size. {described}")


def _axes(axes: Axes, times: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(times) / 1.8, max(times) * 3.2)  # room for the names on the right
    steps = (1.0, 2.0, 5.0) if max(times) < 300 * min(times) else (1.0,)
    axes.xaxis.set_major_locator(ticker.LogLocator(base=10, subs=steps))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def _area(system: Placed, most: float) -> float:
    return _LEAST if system.megabytes is None else max(_LEAST, _MOST * system.megabytes / most)


def _mark(axes: Axes, system: Placed, *, area: float, colour: str, edge: str) -> None:
    quality, shape = system.quality, "s" if system.megabytes is None else "o"
    axes.vlines(system.ms, quality.low, quality.high, color=colour, linewidth=2, alpha=0.45)
    on_top = 3.0 - area / _MOST  # small marks are not covered by large ones
    at = ([system.ms], [quality.mean])
    axes.scatter(*at, s=area, marker=shape, facecolor=colour, edgecolor=edge, linewidth=1.5, alpha=0.8, zorder=on_top)


def _names(axes: Axes, systems: Sequence[Placed], *, areas: Sequence[float]) -> None:
    """Write the names beside their marks, higher or lower where one would stand on another."""
    width, height = (inches * 72 * 0.9 for inches in _SIZE)
    (left, right), (bottom, top) = map(math.log, axes.get_xlim()), axes.get_ylim()
    taken: list[tuple[float, float, float]] = []
    for place, system in sorted(enumerate(systems), key=lambda each: each[1].ms):
        text = f"{system.name}{_size(system)}"
        aside = 4 + math.sqrt(areas[place] / math.pi)
        start = (math.log(system.ms) - left) / (right - left) * width + aside
        level = (system.quality.mean - bottom) / (top - bottom) * height
        free = (lift for lift in _LIFTS if not any(_stands_on(start, level + lift, other) for other in taken))
        lift = next(free, _LIFTS[0])
        taken.append((start, start + _LETTER * len(text), level + lift))
        axes.annotate(
            text,
            (system.ms, system.quality.mean),
            (aside, lift),
            textcoords="offset points",
            color=SERIES[place % len(SERIES)],
            fontweight="bold",
        )


def _stands_on(start: float, level: float, other: tuple[float, float, float]) -> bool:
    """Tell whether a name would touch one that stands already, further left."""
    return start < other[1] and abs(level - other[2]) < _LINE


def _size(system: Placed) -> str:
    return "" if system.megabytes is None else f", {system.megabytes:.0f} MB"
