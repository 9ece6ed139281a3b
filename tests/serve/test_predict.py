from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.serve.serving import FakeClassifier, FakeRanker, Serving, serving


@pytest.fixture(scope="module")
def server() -> Any:
    models = {
        "classes": FakeClassifier(),
        "labels": FakeClassifier("labels"),
        "numbers": FakeClassifier("numbers"),
        "ranker": FakeRanker(),
    }
    with serving(models, max_documents=3, max_document_chars=20, queue_pairs=9) as running:
        yield running


def test_one_text_a_pair_or_a_batch(server: Serving) -> None:
    def raw(inputs: Any) -> Any:
        answer = server.post("/predict", {"inputs": inputs, "raw_scores": True}).json()
        return answer

    one = [{"label": "first", "score": 2.0}, {"label": "second", "score": 0.0}, {"label": "neither", "score": 0.0}]
    pair = [{"label": "second", "score": 2.0}, {"label": "first", "score": 1.0}, {"label": "neither", "score": 0.0}]
    assert raw("a b") == one
    assert raw(["a", "b c"]) == pair
    assert raw([["a b"], ["a", "b c"]]) == [one, pair]
    assert raw([["a b"]]) == [one]


def test_logits_mean_what_the_model_was_trained_for(server: Serving) -> None:
    def scores(model: str) -> list[float]:
        answer = server.post("/predict", {"inputs": ["a b c", "d"], "model": model}).json()
        assert [prediction["label"] for prediction in answer] == ["first", "second", "neither"]
        return [prediction["score"] for prediction in answer]

    exponents = np.exp([3.0, 1.0, 0.0])
    assert scores("classes") == pytest.approx(list(exponents / exponents.sum()))
    assert scores("labels") == pytest.approx([1 / (1 + np.exp(-logit)) for logit in (3.0, 1.0, 0.0)])
    assert scores("numbers") == [3.0, 1.0, 0.0]


def test_each_route_has_its_kind_of_model(server: Serving) -> None:
    refused = server.post("/predict", {"inputs": "a", "model": "ranker"})
    assert (refused.status_code, refused.json()["error"]) == (422, "the model ranker is a ranker; use /rerank")
    refused = server.post("/rerank", {"query": "q", "texts": ["a"], "model": "classes"})
    assert (refused.status_code, refused.json()["error"]) == (422, "the model classes is a classifier; use /predict")


def test_limits(server: Serving) -> None:
    assert server.post("/predict", {"inputs": [["a"]] * 4}).status_code == 413
    assert server.post("/predict", {"inputs": [["a", "b" * 21]]}).status_code == 413
    assert server.post("/predict", {"inputs": "a " * 10}).status_code == 200
    for wrong in ([], [[]], [["a", "b", "c"]], ["a"], ["a", "b", "c"], 3, None, [["a"], "b"]):
        assert server.post("/predict", {"inputs": wrong}).status_code == 422, wrong


def test_truncation_can_be_forbidden() -> None:
    with serving({"classes": FakeClassifier()}) as server:
        body = {"inputs": [["a " * 30], ["a", "b " * 60]]}
        assert server.post("/predict", body).status_code == 200
        refused = server.post("/predict", {**body, "truncate": False})
        assert refused.status_code == 413
        assert "64 tokens, more than the 48" in refused.json()["error"]
