"""Systems over seeds as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distilrank.evaluation.over_seeds import SeedComparison, SystemMean


def measure_markdown(title: str, systems: Mapping[str, SystemMean], comparisons: Sequence[SeedComparison]) -> str:
    """Return the table of one measure, and below it a line for each comparison.

    Args:
        title: Printed in bold above, such as "trec_dl19, nDCG@10".
        systems: Name -> its mean.
        comparisons: On this measure.
    """
    lines = [
        f"**{cell(title)}**",
        "",
        "| system | mean | 95% interval | over | kept of teacher |",
        "|---|---|---|---|---|",
    ]
    for name, found in systems.items():
        kept = found.kept
        share = "" if kept is None else f"{kept.mean:.1%} ({kept.low:.1%} to {kept.high:.1%})"
        mean, low, high = found.interval.mean, found.interval.low, found.interval.high
        lines.append(f"| {cell(name)} | {mean:.4f} | {low:.3f} to {high:.3f} | {found.over} | {share} |")
    return "\n".join([*lines, *(f"\n{comparison_line(each)}" for each in comparisons)])


def comparison_line(found: SeedComparison) -> str:
    """Return who differs from whom by how much, with its interval and corrected p value."""
    d = found.difference
    change = f"{d.mean:+.4f} ({d.low:+.4f} to {d.high:+.4f}), p {found.p_holm:.4f}"
    return f"{found.system} against {found.baseline}: {change}"


def cell(text: str) -> str:
    """Keep a name from ending its table cell or row."""
    return " ".join(text.replace("|", "\\|").split())
