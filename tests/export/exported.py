"""A tiny exported ranker with queries to judge it on, for the tests of what is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from distilrank.evaluation.measures import measure
from distilrank.export.onnx import export_onnx
from distilrank.export.quality import Scored
from distilrank.models.save import save_model
from distilrank.records import Qrels
from distilrank.runtime.ranker import Ranker
from distilrank.scorer import Scorer
from tests.tiny import WORDS, tiny_model, tiny_pairs, tiny_tokenizer

PASSAGES = 12


def exported_ranker(folder: Path) -> Path:
    """A saved ranker with its float export."""
    save_model(tiny_model(hidden=32), tiny_tokenizer(), folder)
    export_onnx(tiny_model(hidden=32), tiny_tokenizer(), folder)
    return folder


def judged_pairs(queries: int = 12) -> dict[str, list[tuple[str, str]]]:
    """Query id -> pairs, by name of the passage d0, d1, ..."""
    return {
        f"q{i}": [(f"what is {WORDS[i]} {WORDS[i + 5]}", passage) for _, passage in tiny_pairs(PASSAGES, seed=i)]
        for i in range(queries)
    }


class Judge:
    """What the workflow hands in: re-ranks queries whose best passages are those of the float file."""

    def __init__(self, folder: Path) -> None:
        self.pairs = judged_pairs()
        float_ranker = Ranker.load(folder, precision="fp32")
        self.qrels: Qrels = {}
        for query_id, pairs in self.pairs.items():
            best = np.argsort(-float_ranker.score(pairs))[:3]
            self.qrels[query_id] = {f"d{place}": int(place in best) for place in range(PASSAGES)}

    def __call__(self, scorer: Scorer) -> Scored:
        """Score everything."""
        return self.scored({query_id: scorer.score(pairs) for query_id, pairs in self.pairs.items()})

    def scored(self, scores: dict[str, np.ndarray]) -> Scored:
        """Measure scores per query."""
        run = {
            query_id: {f"d{place}": float(score) for place, score in enumerate(found)}
            for query_id, found in scores.items()
        }
        return Scored(run=run, measures=measure(self.qrels, run, ["nDCG@10"]))
