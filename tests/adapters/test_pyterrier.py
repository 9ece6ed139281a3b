"""PyTerrier's own operators and experiments, run with the adapter; no Java is started."""

from __future__ import annotations

from typing import Any

import pytest

from distilrank.evaluation.measures import measure
from distilrank.runtime.ranker import Ranker
from tests.adapters.conftest import QUERY, TEXTS

pytestmark = pytest.mark.slow

QUERIES = {"q1": QUERY, "q2": "what is the moon", "q10": "a small dog"}


@pytest.fixture(scope="module")
def adapter() -> Any:
    pytest.importorskip("pyterrier", reason="pyterrier is not installed; `make adapters` installs it")
    from distilrank.adapters import pyterrier

    return pyterrier


@pytest.fixture
def run(adapter: Any) -> Any:
    """Every text for every query, with a first stage's scores and ranks and a column of the user's own."""
    rows = [
        {"qid": qid, "query": query, "docno": f"d{place}", "text": text, "score": -1.0 * place, "rank": place, "own": 7}
        for qid, query in QUERIES.items()
        for place, text in enumerate(TEXTS)
    ]
    return adapter.pd.DataFrame(rows)


def ranked(frame: Any, qid: str) -> list[str]:
    return list(frame[frame["qid"] == qid].sort_values("rank")["docno"])


def test_frames_get_scores_and_ranks(adapter: Any, ranker: Ranker, run: Any, order: list[int]) -> None:
    before = run.copy(deep=True)
    found = adapter.DistilrankReRanker(ranker)(run)
    adapter.pd.testing.assert_frame_equal(run, before)
    assert set(found.columns) == set(run.columns)
    assert list(found["own"]) == [7] * len(run)
    expected = ranker.score(list(zip(run["query"], run["text"], strict=True)))
    assert list(found["score"]) == [float(score) for score in expected]
    assert ranked(found, "q1") == [f"d{place}" for place in order]
    assert sorted(found[found["qid"] == "q2"]["rank"]) == list(range(len(TEXTS)))


def test_other_columns_of_texts_and_other_forms_of_input(
    adapter: Any, ranker: Ranker, run: Any, order: list[int]
) -> None:
    transformer = adapter.DistilrankReRanker(ranker, text_field="body")
    renamed = run.rename(columns={"text": "body"})
    assert ranked(transformer(renamed), "q1") == [f"d{place}" for place in order]
    rows = transformer(renamed.to_dict(orient="records"))
    assert isinstance(rows, list)
    assert [row["score"] for row in rows] == list(transformer(renamed)["score"])
    with pytest.raises(adapter.pt.validate.InputValidationError, match="body"):
        transformer(run)


def test_no_rows(adapter: Any, ranker: Ranker, run: Any) -> None:
    found = adapter.DistilrankReRanker(ranker)(run.head(0))
    assert len(found) == 0
    assert set(found.columns) == set(run.columns)


def test_it_tells_what_it_reads_and_gives(adapter: Any, ranker: Ranker) -> None:
    transformer = adapter.DistilrankReRanker(ranker)
    (needs,) = adapter.pt.inspect.transformer_inputs(transformer)
    assert needs == ["qid", "docno", "query", "text"]
    assert adapter.pt.inspect.transformer_outputs(transformer, needs) == [*needs, "score", "rank"]
    assert repr(transformer) == f"DistilrankReRanker({ranker.folder})"


def test_in_an_experiment(adapter: Any, ranker: Ranker, run: Any) -> None:
    pt, pd = adapter.pt, adapter.pd
    topics = pd.DataFrame(list(QUERIES.items()), columns=["qid", "query"])
    qrels = {qid: {f"d{place}": int(place % 3 == 1) for place in range(len(TEXTS))} for qid in QUERIES}
    judged = [{"qid": qid, "docno": d, "label": label} for qid, own in qrels.items() for d, label in own.items()]
    first = pt.Transformer.from_df(run)
    pipeline = first % 4 >> adapter.DistilrankReRanker(ranker)
    table = pt.Experiment([first, pipeline], topics, pd.DataFrame(judged), ["ndcg_cut_10"], names=["first", "ours"])
    assert list(table["name"]) == ["first", "ours"]
    scores = ranker.score([(query, text) for query in QUERIES.values() for text in TEXTS[:4]])
    places = iter(scores)
    ours = {qid: {f"d{place}": float(next(places)) for place in range(4)} for qid in QUERIES}
    assert table["ndcg_cut_10"][1] == pytest.approx(measure(qrels, ours, ["nDCG@10"]).mean("nDCG@10"))
