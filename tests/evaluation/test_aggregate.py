from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from distilrank.data.trec import ranking
from distilrank.errors import SettingsError
from distilrank.evaluation.aggregate import Aggregation, aggregate_documents, probabilities
from distilrank.records import Run

PASSAGES: Run = {"q": {"D1#_0": 0.0, "D1#_1": 2.0, "D1#_2": -1.0, "D2#_1": 1.0, "D3#_0": -3.0, "D4": 0.5}}
P = {logit: 1 / (1 + np.exp(-logit)) for logit in (-3.0, -1.0, 0.0, 0.5, 1.0, 2.0)}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("MaxP", {"D1": 2.0, "D2": 1.0, "D3": -3.0, "D4": 0.5}),
        ("FirstP", {"D1": 0.0, "D3": -3.0, "D4": 0.5}),
        ("SumP", {"D1": P[0.0] + P[2.0] + P[-1.0], "D2": P[1.0], "D3": P[-3.0], "D4": P[0.5]}),
        ("AvgP", {"D1": (P[0.0] + P[2.0] + P[-1.0]) / 3, "D2": P[1.0], "D3": P[-3.0], "D4": P[0.5]}),
        ("k-MaxAvgP", {"D1": (P[2.0] + P[0.0]) / 2, "D2": P[1.0], "D3": P[-3.0], "D4": P[0.5]}),
    ],
)
def test_by_hand(how: Aggregation, expected: dict[str, float]) -> None:
    found = aggregate_documents(PASSAGES, how, k=2)
    assert found == {"q": {document: pytest.approx(score) for document, score in expected.items()}}


def random_run() -> Run:
    rng = np.random.default_rng(0)
    return {
        f"q{i}": {f"D{d}#_{n}": float(rng.normal(0, 3)) for d in range(8) for n in range(rng.integers(1, 6))}
        for i in range(5)
    }


def test_laws() -> None:
    run = random_run()
    average = aggregate_documents(run, "AvgP")
    assert aggregate_documents(run, "k-MaxAvgP", k=5) == {
        query_id: {document: pytest.approx(score) for document, score in scores.items()}
        for query_id, scores in average.items()
    }
    best, first_best = aggregate_documents(run, "MaxP"), aggregate_documents(run, "k-MaxAvgP", k=1)
    for query_id, scores in best.items():
        assert ranking(first_best[query_id]) == ranking(scores)
        assert all(0 <= average[query_id][document] <= first_best[query_id][document] for document in scores)


def test_the_order_of_the_passages_does_not_matter() -> None:
    run = random_run()
    for how in ("MaxP", "FirstP", "SumP", "AvgP", "k-MaxAvgP"):
        turned = {query_id: dict(reversed(scores.items())) for query_id, scores in run.items()}
        found, other = aggregate_documents(run, how), aggregate_documents(turned, how)
        assert {query_id: ranking(scores) for query_id, scores in found.items()} == {
            query_id: ranking(scores) for query_id, scores in other.items()
        }


def test_a_sum_never_punishes_a_document_for_one_more_passage() -> None:
    one = aggregate_documents({"q": {"D#_0": 1.0}}, "SumP")["q"]["D"]
    two = aggregate_documents({"q": {"D#_0": 1.0, "D#_1": -5.0}}, "SumP")["q"]["D"]
    assert two > one


def test_max_tells_good_documents_apart_where_probabilities_no_longer_do() -> None:
    found = aggregate_documents({"q": {"A#_0": 41.0, "B#_0": 40.0}}, "MaxP")
    assert ranking(found["q"]) == ["A", "B"]
    assert probabilities([41.0]) == probabilities([40.0])


def test_documents_by_a_table() -> None:
    run: Run = {"q": {"x": 1.0, "y": 2.0, "z": 0.0}}
    belongs = {"x": "A", "y": "A", "z": "B"}
    assert aggregate_documents(run, "MaxP", document_of=belongs) == {"q": {"A": 2.0, "B": 0.0}}
    first = {"A": "x", "B": "nobody"}.__getitem__
    assert aggregate_documents(run, "FirstP", document_of=belongs, first_passage_of=first) == {"q": {"A": 1.0}}


def test_queries_without_results_stay() -> None:
    assert aggregate_documents({"q": {}}, "MaxP") == {"q": {}}


def test_probabilities_another_way() -> None:
    logits = np.linspace(-30, 30, 61)
    assert probabilities(list(logits)) == pytest.approx(expit(logits))
    two_classes = softmax(np.stack([np.zeros(61), logits], axis=1), axis=1)[:, 1]
    assert probabilities(list(logits)) == pytest.approx(two_classes)


@pytest.mark.filterwarnings("error")
def test_probabilities_of_extreme_logits() -> None:
    assert probabilities([-1000.0, 1000.0, 0.0]) == [0.0, 1.0, 0.5]


def test_refusals() -> None:
    with pytest.raises(SettingsError, match=r"aggregation 'MeanP' is not known; did you mean 'MaxP'\?"):
        aggregate_documents(PASSAGES, "MeanP")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="k is 0; give at least 1"):
        aggregate_documents(PASSAGES, "k-MaxAvgP", k=0)
