"""What measures a model on the dev split while it is trained, and raises alarms about its scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from distilrank.data.classification import ClassificationData
from distilrank.data.folder import RankingFolder
from distilrank.evaluation.classification import measure_classification
from distilrank.evaluation.diagnostics import Finding
from distilrank.evaluation.diagnostics.alarms import decision_alarms
from distilrank.evaluation.measures import measure
from distilrank.evaluation.rerank import rerank
from distilrank.records import Qrels, Run
from distilrank.scorer import Scorer
from distilrank.workflows.alarms import ranker_alarms

if TYPE_CHECKING:
    from distilrank.data.labels import Label

NAME = "the model"
"""The subject of alarms: a folder's name is its user's business."""


class RankingJudge:
    """Re-ranks the dev queries with a scorer as it is then.

    Args:
        scorer: Of the model that is trained.
        folder: Texts of the queries and passages.
        qrels: Judgements of the queries that are re-ranked.
        candidates: The first stage's.
        measures: As ir_measures names them.
    """

    def __init__(
        self, scorer: Scorer, folder: RankingFolder, *, qrels: Qrels, candidates: Run, measures: Sequence[str]
    ) -> None:
        self._scorer, self._folder = scorer, folder
        self._qrels, self._candidates, self._names = qrels, candidates, measures
        self._first_measured = measure(qrels, candidates, measures)
        self.alarms: Sequence[Finding] = ()

    def __call__(self) -> Mapping[str, float]:
        """Return the measures; ``alarms`` is then about the same scores."""
        folder, candidates = self._folder, self._candidates
        run = rerank(self._scorer, queries=folder.queries, passages=folder.passages, candidates=candidates)
        measured = measure(self._qrels, run, self._names)
        self.alarms = ranker_alarms(
            run,
            candidates,
            name=NAME,
            first_stage="the first stage",
            measured=measured,
            first_measured=self._first_measured,
        )
        return measured.means()


class ClassifierScorer(Protocol):
    """Something that gives logits for texts."""

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return raw logits, (texts, labels)."""
        ...


class ClassifierJudge:
    """Measures a classifier as it is then on dev examples.

    Args:
        scorer: Of the model that is trained.
        dev: The examples, at least one.
    """

    def __init__(self, scorer: ClassifierScorer, dev: ClassificationData) -> None:
        self._scorer, self._dev = scorer, dev
        self._texts = [example.text for example in dev.examples]
        pairs = dev.examples[0].text_pair is not None
        self._pairs = [str(example.text_pair) for example in dev.examples] if pairs else None
        self._labels: list[Label] = [example.label for example in dev.examples if example.label is not None]
        self.alarms: Sequence[Finding] = ()

    def __call__(self) -> Mapping[str, float]:
        """Return the measures; ``alarms`` is then about the same logits."""
        logits, dev = self._scorer.logits(self._texts, self._pairs), self._dev
        measures = measure_classification(self._labels, logits, dev.kind)
        self.alarms = decision_alarms(self._labels, logits, kind=dev.kind, label_names=dev.label_names, name=NAME)
        return measures
