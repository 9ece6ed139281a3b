"""``distilrank calibrate``: what a ranker's scores mean, learned from judged queries and kept in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from distilrank.data.files import library_versions, write_json
from distilrank.errors import SettingsError
from distilrank.evaluation.calibration import (
    FOLDS,
    Method,
    Reliability,
    Threshold,
    Unjudged,
    cross_fit,
    fit,
    judged_pairs,
    reliability,
    require_enough,
    threshold_for,
)
from distilrank.runtime.calibration import CALIBRATION, Calibration, as_json, weights_identity
from distilrank.runtime.classifier import sigmoid
from distilrank.runtime.folder import Precision
from distilrank.runtime.ranker import Ranker
from distilrank.workflows.evaluate import EvaluateSettings, JudgedQueries
from distilrank.workflows.model_card import add_calibration_to_card


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """What is fitted, and to what.

    Attributes:
        split: Of the data, whose judged queries teach; not one that the ranker was trained on.
        method: Scale and shift of the logit, or any rising curve.
        rel: Grade from which a passage counts as relevant.
        unjudged: Candidates that nobody judged are left out, or count as not relevant.
        precision_wanted: For which a threshold is looked for.
        precision: Which file of the ranker is run.
        depth: Candidates per query that are scored; None takes all of a run, and 100 of BM25.
        max_queries: Most queries, the first ones; None takes all.
    """

    split: str = "dev"
    method: Method = "temperature"
    rel: int = 1
    unjudged: Unjudged = "left-out"
    precision_wanted: float = 0.9
    precision: Precision = "auto"
    depth: int | None = None
    max_queries: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.rel < 1:
            raise SettingsError(f"rel is {self.rel}; give the least grade that counts as relevant, at least 1")
        if not 0.0 < self.precision_wanted <= 1.0:
            raise SettingsError(f"precision_wanted is {self.precision_wanted}; give a share, such as 0.9")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What came of it.

    Attributes:
        path: The file.
        calibration: What it holds.
        judged_on: What it was fitted to.
        queries: Whose candidates count.
        pairs: Candidates that count.
        relevant: How many of them are.
        before: How near the sigmoid of the logit is to the judgements.
        after: The same of the calibration, every query by a fit to others.
        threshold: For the precision wanted, by the same fits; None where none reaches it.
    """

    path: Path
    calibration: Calibration
    judged_on: str
    queries: int
    pairs: int
    relevant: int
    before: Reliability
    after: Reliability
    threshold: Threshold | None

    def facts(self) -> Mapping[str, object]:
        """Return what was found, for JSON."""
        return {
            "queries": self.queries,
            "pairs": self.pairs,
            "relevant": self.relevant,
            "folds": FOLDS,
            "before": asdict(self.before),
            "after": asdict(self.after),
            "threshold": None if self.threshold is None else asdict(self.threshold),
        }

    def sentence(self) -> str:
        """Return it in a sentence without its full stop."""
        return (
            f"calibrated by {self.calibration.method} on {self.judged_on} ({self.queries:,} queries, {self.pairs:,} "
            f"candidates, {self.relevant:,} relevant): on queries held out, probabilities miss by "
            f"{self.after.calibration_error:.3f} on average ({self.before.calibration_error:.3f} before), Brier score "
            f"{self.after.brier:.3f} ({self.before.brier:.3f} before)"
        )


def calibrate(
    folder: Path,
    *,
    data: str,
    settings: CalibrateSettings,
    run: str | None = None,
    collection: Path | None = None,
    threads: int | None = None,
    offline: bool = False,
) -> Calibrated:
    """Fit a calibration, see how it does on queries held out, and write ``calibration.json``.

    Args:
        folder: Of an exported ranker.
        data: With the judged queries; see ``evaluate_ranking``. Where documents were cut to passages, a document's
            best passage is what is judged.
        settings: What is fitted, and to what.
        run: Candidates; None takes the data's, or BM25's.
        collection: The file of passages where it is not in the folder.
        threads: Processor threads; None as ``Ranker.load``.
        offline: Never use the network.

    Raises:
        InputError: The data does not belong together, or too little of it is judged.
        ModelError: The folder holds no export of a ranker, or it ranks nothing.
    """
    ranker = Ranker.load(folder, threads=threads, precision=settings.precision)
    weights = weights_identity(folder)
    judging = EvaluateSettings(split=settings.split, depth=settings.depth, max_queries=settings.max_queries)
    judged = JudgedQueries(data, settings=judging, run=run, collection=collection, offline=offline)
    scores, qrels = judged.scores(ranker, name=folder.resolve().name)
    pairs = judged_pairs(scores, qrels, rel=settings.rel, unjudged=settings.unjudged)
    require_enough(pairs, settings.method)
    held_out = cross_fit(pairs, settings.method)
    made = Calibrated(
        path=folder / CALIBRATION,
        calibration=fit(pairs, settings.method),
        judged_on=f"{Path(data).name}, {settings.split}",
        queries=len(set(pairs.query.tolist())),
        pairs=len(pairs.logits),
        relevant=int(pairs.relevant.sum()),
        before=reliability(sigmoid(pairs.logits), pairs.relevant),
        after=reliability(held_out, pairs.relevant),
        threshold=threshold_for(held_out, pairs, precision=settings.precision_wanted),
    )
    fitted_on = {"data": made.judged_on, "settings": asdict(settings), **made.facts()}
    write_json(
        made.path,
        {**as_json(made.calibration), "weights": weights, "fitted_on": fitted_on, "versions": library_versions()},
    )
    add_calibration_to_card(folder, made.sentence())
    return made
