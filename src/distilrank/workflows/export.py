"""``distilrank export``: the files that a finished model is run by, in fp32 and, where it ranks as well, in 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distilrank.errors import SettingsError
from distilrank.export.int8 import Int8Export, Method, export_int8
from distilrank.export.onnx import export_onnx
from distilrank.export.quality import MARGIN, MEASURE, Scored
from distilrank.models.load import load_model
from distilrank.runtime.cpu import Arithmetic
from distilrank.scorer import Scorer
from distilrank.workflows.evaluate import EvaluateSettings, JudgedQueries
from distilrank.workflows.model_card import add_quantised_to_card


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Settings:
    """How an 8-bit file is made and judged.

    Attributes:
        split: Of the data, whose judged queries decide.
        margin: Share of nDCG@10 that may be lost, and of the pairs of passages that may stand in another order.
        method: How activations are scaled; see ``export.quantise``.
        arithmetic: Of the processor that the file is for; None takes this machine's.
        embeddings: Whether word embeddings become 8 bits too.
        calibration_pairs: Pairs on which ranges are measured.
        depth: Candidates per query that are scored; None takes all of a run, and 100 of BM25.
        max_queries: Most queries that decide, the first ones; None takes all.
    """

    split: str = "dev"
    margin: float = MARGIN
    method: Method = "auto"
    arithmetic: Arithmetic | None = None
    embeddings: bool = True
    calibration_pairs: int = 256
    depth: int | None = None
    max_queries: int | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0.0 <= self.margin < 1.0:
            raise SettingsError(f"margin is {self.margin}; give a share of nDCG@10, such as 0.01 for 1%")
        if self.calibration_pairs < 1:
            raise SettingsError(f"calibration_pairs is {self.calibration_pairs}, give at least 1")


def export_fp32(folder: Path) -> Path:
    """Write ``onnx/model.onnx`` of a saved model; see ``export_onnx``."""
    return export_onnx(*load_model(folder, offline=True), folder)


def export_quantised(
    folder: Path,
    *,
    data: str,
    settings: Int8Settings,
    run: str | None = None,
    collection: Path | None = None,
    offline: bool = False,
    say: Callable[[str], None] | None = None,
) -> Int8Export:
    """Write an 8-bit file of a ranker if it ranks as well, beside a fresh float file.

    Args:
        folder: Of a saved ranker.
        data: With the queries that decide; see ``evaluate_ranking``.
        settings: How.
        run: Candidates; None takes the data's, or BM25's.
        collection: The file of passages where it is not in the folder.
        offline: Never use the network.
        say: Told what was tried, a line each.

    Raises:
        InputError: The data does not belong together.
        ModelError: The model cannot be exported, or ranks nothing.
    """
    judged = judged_queries(data, settings=settings, run=run, collection=collection, offline=offline)
    if (folder / "model.safetensors").is_file():  # else the float file is all that was handed over
        export_fp32(folder)

    name = f"{Path(data).name}, {settings.split}"
    made = export_int8(
        folder,
        evaluate=lambda scorer: ranked_by(scorer, judged, name=folder.resolve().name),
        pairs=judged.pairs(settings.calibration_pairs),
        margin=settings.margin,
        method=settings.method,
        arithmetic=settings.arithmetic,
        embeddings=settings.embeddings,
        judged_on=name,
        say=say,
    )
    last = made.trials[-1]
    sentence = f"`onnx/{last.recipe.file_name}`, {last.megabytes:,.1f} MB, judged on {name}: {last.sentence()}"
    add_quantised_to_card(folder, last.recipe.file_name, sentence if made.path else None)
    return made


def judged_queries(
    data: str, *, settings: Int8Settings, run: str | None, collection: Path | None, offline: bool
) -> JudgedQueries:
    """Open the queries that decide; arguments as ``export_quantised``'s."""
    judging = EvaluateSettings(
        split=settings.split, measures=(MEASURE,), depth=settings.depth, max_queries=settings.max_queries
    )
    return JudgedQueries(data, settings=judging, run=run, collection=collection, offline=offline)


def ranked_by(scorer: Scorer, judged: JudgedQueries, *, name: str) -> Scored:
    """Re-rank the queries that decide."""
    scores, measures = judged.measure(scorer, name=name)
    return Scored(run=scores, measures=measures)
