"""An evaluation as tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from distilrank.evaluation.evaluate import Evaluation
from distilrank.evaluation.intervals import Interval

if TYPE_CHECKING:
    from distilrank.evaluation.calibration import Reliability
    from distilrank.evaluation.classification import ClassificationEvaluation


def ranking_tables(evaluation: Evaluation) -> list[Table]:
    """Return the systems' measures, the comparisons, and what was kept of the teacher."""
    tables = [_measures_table(evaluation)]
    if evaluation.comparisons:
        tables.append(_comparisons_table(evaluation))
    if evaluation.teacher is not None:
        tables.append(_teacher_table(evaluation))
    return tables


def classification_tables(evaluation: ClassificationEvaluation) -> list[Table]:
    """Return the systems' measures and what was kept of the teacher."""
    table = _table(f"{evaluation.examples} examples; means with 95% bootstrap intervals")
    table.add_column("")
    for name in evaluation.measures:
        table.add_column(name, justify="right")
    for system, intervals in evaluation.intervals.items():
        table.add_row(escape(system), *(_number(intervals[name]) for name in evaluation.measures))
    if not evaluation.share_kept:
        return [table]
    kept = _table(f"{evaluation.system}: share of {evaluation.teacher} kept")
    kept.add_column("measure")
    kept.add_column("share", justify="right")
    for name, share in evaluation.share_kept.items():
        kept.add_row(name, _share(share))
    return [table, kept]


def calibration_tables(before: Reliability, after: Reliability) -> list[Table]:
    """Return how near probabilities are to judgements, and in which range of them."""
    means = _table("Distance of probabilities from judgements, of queries held out")
    means.add_column("")
    means.add_column("expected calibration error", justify="right")
    means.add_column("Brier score", justify="right")
    for name, found in (("sigmoid of the logit", before), ("calibrated", after)):
        means.add_row(name, f"{found.calibration_error:.4f}", f"{found.brier:.4f}")
    bins = _table("Calibrated, of queries held out: what is said, and what is so")
    for name in ("probability", "share that is relevant", "candidates"):
        bins.add_column(name, justify="right")
    for each in after.bins:
        bins.add_row(f"{each.predicted:.3f}", f"{each.observed:.3f}", f"{each.pairs:,}")
    return [means, bins]


def remarks(evaluation: Evaluation) -> list[str]:
    """Return what a reader of the tables should know about queries that were left out or count as zero."""
    notes = []
    for name, measures in evaluation.measured.items():
        if measures.without_results:
            count, first = len(measures.without_results), measures.without_results[0]
            notes.append(f"{name}: {count} judged queries without results count as 0 (the first is {first!r})")
        if measures.without_judgements:
            count, first = len(measures.without_judgements), measures.without_judgements[0]
            notes.append(f"{name}: {count} queries without judgements were left out (the first is {first!r})")
    return notes


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", header_style="bold")


def _measures_table(evaluation: Evaluation) -> Table:
    queries = len(evaluation.measured[evaluation.system].query_ids)
    table = _table(f"{queries} judged queries; means with 95% bootstrap intervals")
    table.add_column("")
    for name in evaluation.measures:
        table.add_column(name, justify="right")
    for system, intervals in evaluation.intervals.items():
        role = " (first stage)" if system == evaluation.first_stage != evaluation.system else ""
        role = role or (" (teacher)" if system == evaluation.teacher else "")
        table.add_row(escape(system) + role, *(_number(intervals[name]) for name in evaluation.measures))
    return table


def _comparisons_table(evaluation: Evaluation) -> Table:
    table = _table(f"{evaluation.system} against the others; p values with Holm's correction")
    table.add_column("measure")
    table.add_column("against")
    table.add_column("difference", justify="right")
    table.add_column("p (t-test)", justify="right")
    table.add_column("p (randomisation)", justify="right")
    table.add_column("win/tie/loss", justify="right")
    for each in evaluation.comparisons:
        table.add_row(
            each.measure,
            escape(each.baseline),
            _number(each.difference, sign="+"),
            _p_value(each.t_test_holm),
            _p_value(each.randomisation_holm),
            f"{each.wins}/{each.ties}/{each.losses}",
        )
    return table


def _teacher_table(evaluation: Evaluation) -> Table:
    table = _table(f"{evaluation.system}: what it kept of {evaluation.teacher}")
    table.add_column("")
    table.add_column("mean", justify="right")
    for name, share in evaluation.share_kept.items():
        table.add_row(f"share of {name} kept", _share(share))
    if evaluation.fidelity is not None:
        agreement = evaluation.fidelity
        table.add_row("Kendall's tau of the rankings", _number(agreement.interval(agreement.kendall_tau)))
        table.add_row("rank-biased overlap", _number(agreement.interval(agreement.rank_biased_overlap)))
    return table


def _number(interval: Interval, *, sign: str = "") -> str:
    # No square brackets: rich would read them as markup.
    return f"{interval.mean:{sign}.4f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"


def _share(share: Interval | None) -> str:
    if share is None:
        return "the teacher has 0"
    return f"{share.mean:.1%} ({share.low:.1%} to {share.high:.1%})"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
