"""The drawing of a comparison: every system's mean, interval and seeds on every measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from distilrank.evaluation.over_seeds import SystemMean
from distilrank.evaluation.report.comparison import MeasureTable
from distilrank.evaluation.report.svg import FAINT, INK, MUTED, SERIES, drawing, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def means_and_seeds(tables: Mapping[str, MeasureTable], *, trained: Sequence[str]) -> str:
    """Draw a field for each measure, in it a row for each trained system; all others are dashed lines across.

    Args:
        tables: Measure -> table.
        trained: The systems that have a row, from top to bottom.
    """
    with drawing(1.6 + 3.2 * len(tables), 1.3 + 0.42 * len(trained)) as figure:
        fields = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
        for axes, (measure, table) in zip(fields, tables.items(), strict=True):
            levels = [name for name in table.systems if name not in trained]
            for name in levels:
                _level(axes, name, table.systems[name])
            for row, name in enumerate(trained):
                _row(axes, row, table.systems[name], colour=SERIES[row % len(SERIES)])
            axes.set_xlabel(measure)
            axes.grid(axis="y", visible=False)
            axes.locator_params(axis="x", nbins=5)
        fields[0].set_yticks(range(len(trained)), trained, color=INK)
        fields[0].set_ylim(len(trained) - 0.5, -0.9)  # from top to bottom, with room for the names of the lines
        described = "; ".join(
            f"{name}: {', '.join(f'{m} {t.systems[name].interval.mean:.3f}' for m, t in tables.items())}"
            for name in trained
        )
        return to_svg(figure, name="means", description=f"Means with 95% intervals. {described}")


def _row(axes: Axes, row: int, found: SystemMean, *, colour: str) -> None:
    axes.hlines(row, found.interval.low, found.interval.high, color=colour, linewidth=2.5, alpha=0.45)
    axes.plot(list(found.seeds.values()), [row] * len(found.seeds), "|", color=colour, markersize=11)
    axes.plot([found.interval.mean], [row], "o", color=colour, markersize=8)


def _level(axes: Axes, name: str, found: SystemMean) -> None:
    axes.axvspan(found.interval.low, found.interval.high, color=FAINT, alpha=0.35, linewidth=0)
    axes.axvline(found.interval.mean, color=MUTED, linewidth=1.5, linestyle=(0, (4, 3)))
    axes.annotate(
        name,
        (found.interval.mean, 1.0),
        (3, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        color=MUTED,
        fontsize=9,
    )
