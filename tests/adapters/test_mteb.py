"""MTEB's own evaluation of a task made here, run with the adapter."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilrank.data.files import file_hash
from distilrank.evaluation.measures import measure
from distilrank.export.onnx import export_onnx
from distilrank.runtime.ranker import Ranker
from tests.adapters.conftest import QUERY, TEXTS
from tests.bilstms import saved_bilstm, tiny_bilstm, tiny_word_tokenizer
from tests.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.slow

QUERIES = {"q1": QUERY, "q2": "what is the moon"}
QRELS = {qid: {f"d{place}": int(place % 3 == 1) for place in range(len(TEXTS))} for qid in QUERIES}


@pytest.fixture(scope="module")
def adapter() -> Any:
    pytest.importorskip("mteb", reason="mteb is not installed; `make adapters` installs it")
    from distilrank.adapters import mteb

    return mteb


@pytest.fixture
def task(adapter: Any) -> Any:
    """Every text is a candidate of every query."""
    from datasets import Dataset
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

    class Tiny(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Tiny",
            description="made here",
            reference=None,
            dataset={"path": "none", "revision": "1"},
            type="Reranking",
            category="t2t",
            modalities=["text"],
            eval_splits=["test"],
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )

        def load_data(self, **kwargs: Any) -> None:
            corpus = [{"id": f"d{place}", "title": "", "text": text} for place, text in enumerate(TEXTS)]
            data = {
                "queries": Dataset.from_list([{"id": qid, "text": text} for qid, text in QUERIES.items()]),
                "corpus": Dataset.from_list(corpus),
                "relevant_docs": QRELS,
                "top_ranked": {qid: list(QRELS[qid]) for qid in QUERIES},
            }
            self.dataset = {"default": {"test": data}}
            self.data_loaded = True

    return Tiny()


def evaluated(adapter: Any, model: Any, task: Any, cache: Path) -> float:
    import mteb

    found = mteb.evaluate(model, task, cache=mteb.ResultCache(cache), co2_tracker=False, show_progress_bar=False)
    return float(found.task_results[0].scores["test"][0]["ndcg_at_10"])


def ours(ranker: Ranker) -> float:
    scores = iter(ranker.score([(query, text) for query in QUERIES.values() for text in TEXTS]))
    run = {qid: {name: float(next(scores)) for name in QRELS[qid]} for qid in QUERIES}
    return measure(QRELS, run, ["nDCG@10"]).mean("nDCG@10")


def test_it_is_what_mteb_expects(adapter: Any, folder: Path, ranker: Ranker) -> None:
    from mteb.models import CrossEncoderProtocol

    model = adapter.DistilrankCrossEncoder(folder, threads=1)
    assert isinstance(model, CrossEncoderProtocol)
    assert model.mteb_model_meta.name == "distilrank/student"
    assert model.mteb_model_meta.is_cross_encoder
    adapter.ModelMeta.model_validate(model.mteb_model_meta.model_dump())
    scores = model.predict([{"text": [QUERY] * 4}, {"text": [QUERY] * 2}], [{"text": list(TEXTS)}], hf_split="test")
    np.testing.assert_array_equal(scores, ranker.score([(QUERY, text) for text in TEXTS]))


def test_a_network_in_halves_has_a_revision_too(adapter: Any, tmp_path: Path) -> None:
    folder = saved_bilstm(tmp_path / "bilstm")
    export_onnx(tiny_bilstm(), tiny_word_tokenizer(), folder)
    model = adapter.DistilrankCrossEncoder(folder)
    halves = [file_hash(folder / "onnx" / f"{half}.onnx")[:16] for half in ("encoder", "head")]
    assert model.mteb_model_meta.revision == "-".join(halves)
    assert adapter.DistilrankCrossEncoder(folder, "mine").mteb_model_meta.revision == "mine"


def test_a_task_is_evaluated_as_we_would(adapter: Any, folder: Path, ranker: Ranker, task: Any, tmp_path: Path) -> None:
    model = adapter.DistilrankCrossEncoder(folder, threads=1)
    expected = ours(ranker)
    assert 0 < expected < 1
    assert evaluated(adapter, model, task, tmp_path) == pytest.approx(expected, abs=1e-4)


def test_results_of_other_weights_and_options_are_kept_apart(
    adapter: Any, folder: Path, task: Any, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "student"))
    cache = tmp_path / "cache"
    before = evaluated(adapter, adapter.DistilrankCrossEncoder(copy), task, cache)
    assert evaluated(adapter, adapter.DistilrankCrossEncoder(copy), task, cache) == before
    short = adapter.DistilrankCrossEncoder(copy, max_tokens=8)
    assert evaluated(adapter, short, task, cache) == pytest.approx(ours(short.ranker), abs=1e-4)
    export_onnx(tiny_model(seed=1), tiny_tokenizer(), copy)
    changed = adapter.DistilrankCrossEncoder(copy)
    assert evaluated(adapter, changed, task, cache) == pytest.approx(ours(changed.ranker), abs=1e-4)
    assert len({before, ours(short.ranker), ours(changed.ranker)}) == 3
