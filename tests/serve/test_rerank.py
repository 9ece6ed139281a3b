from __future__ import annotations

import math
from typing import Any

import pytest

from tests.serve.serving import FakeRanker, Serving, serving

DOCUMENTS = ["one two", "one", "one two three", "one two"]
LOGITS = [-8.0, -9.0, -7.0, -8.0]  # of the query "what"
ORDER = [2, 0, 3, 1]  # equal ones as they came

SETTINGS: dict[str, Any] = {"max_documents": 6, "max_query_chars": 20, "max_document_chars": 60, "queue_pairs": 100}


def probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


@pytest.fixture(scope="module")
def server() -> Any:
    # Its logits are small enough to tell their sigmoids apart.
    with serving({"student": FakeRanker(), "other": FakeRanker(factor=-1.0)}, **SETTINGS) as running:
        yield running


def test_cohere_v1_and_jina(server: Serving) -> None:
    answer = server.post("/v1/rerank", {"query": "what", "documents": DOCUMENTS, "model": "student"}).json()
    assert [result["index"] for result in answer["results"]] == ORDER
    assert [result["document"] for result in answer["results"]] == [{"text": DOCUMENTS[place]} for place in ORDER]
    for result in answer["results"]:
        assert result["relevance_score"] == pytest.approx(probability(LOGITS[result["index"]]), rel=1e-9)
    assert isinstance(answer["id"], str)
    assert answer["model"] == "student"
    assert answer["meta"]["api_version"]["version"] == "1"
    # [CLS] and two [SEP] with every pair.
    tokens = sum(len(server.service.models.find(None)[1].tokenizer.encode(["what"], [text])[0]) for text in DOCUMENTS)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_documents_come_back_or_not_as_asked(server: Serving) -> None:
    for asked, shown in ((True, True), (None, True), (False, False)):
        body = {"query": "what", "documents": DOCUMENTS, "return_documents": asked, "top_n": 2}
        results = server.post("/v1/rerank", body).json()["results"]
        assert ["document" in result for result in results] == [shown, shown]


def test_documents_may_be_objects_and_name_the_fields_to_read(server: Serving) -> None:
    documents = [{"text": "a", "title": "b c d e", "n": 1}, {"text": "a b", "title": 3}, "a b c"]
    body: dict[str, Any] = {"query": "what", "documents": documents, "raw_scores": True}
    answer = server.post("/v1/rerank", body).json()
    assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == [(2, -7.0), (1, -8.0), (0, -9.0)]
    assert answer["results"][2]["document"] == documents[0]
    # The second has no text of that name, so its own is read.
    answer = server.post("/v1/rerank", {**body, "rank_fields": ["title", "text"]}).json()
    assert [(one["index"], one["relevance_score"]) for one in answer["results"]] == [(0, -5.0), (2, -7.0), (1, -8.0)]


def test_cohere_v2(server: Serving) -> None:
    answer = server.post(
        "/v2/rerank", {"model": "student", "query": "what", "documents": DOCUMENTS, "top_n": 3.0}
    ).json()
    assert set(answer) == {"id", "results", "meta"}
    assert [set(result) for result in answer["results"]] == [{"index", "relevance_score"}] * 3
    assert [result["index"] for result in answer["results"]] == ORDER[:3]


def test_documents_are_cut_after_so_many_of_their_tokens(server: Serving) -> None:
    body = {"query": "what", "documents": ["red blue green", "red"], "raw_scores": True}
    for most, expected in ((1, [-9.0, -9.0]), (2, [-8.0, -9.0]), (3, [-7.0, -9.0]), (4096, [-7.0, -9.0])):
        results = server.post("/v2/rerank", {**body, "max_tokens_per_doc": most}).json()["results"]
        assert [result["relevance_score"] for result in results] == expected


def test_infinity(server: Serving) -> None:
    answer = server.post("/rerank", {"query": "what", "documents": DOCUMENTS, "top_n": 9}).json()
    assert answer["object"] == "rerank"
    assert set(answer) == {"object", "id", "created", "model", "results", "usage"}
    assert [set(result) for result in answer["results"]] == [{"index", "relevance_score"}] * 4
    assert [result["index"] for result in answer["results"]] == ORDER
    body = {"query": "what", "documents": DOCUMENTS, "return_documents": True, "raw_scores": True}
    answer = server.post("/rerank", body).json()
    assert [result["document"] for result in answer["results"]] == [DOCUMENTS[place] for place in ORDER]
    assert [result["relevance_score"] for result in answer["results"]] == [LOGITS[place] for place in ORDER]


def test_tei(server: Serving) -> None:
    answer = server.post("/rerank", {"query": "what", "texts": DOCUMENTS}).json()
    assert [set(rank) for rank in answer] == [{"index", "score"}] * 4
    assert [rank["index"] for rank in answer] == ORDER
    assert [rank["score"] for rank in answer] == pytest.approx([probability(LOGITS[place]) for place in ORDER])
    body = {"query": "what", "texts": DOCUMENTS, "return_text": True, "raw_scores": True, "truncate": True}
    assert server.post("/rerank", {**body, "truncation_direction": "Right"}).json() == [
        {"index": place, "score": LOGITS[place], "text": DOCUMENTS[place]} for place in ORDER
    ]
    assert server.post("/rerank", {**body, "truncation_direction": "Left"}).status_code == 422


def test_the_order_is_by_logit_even_where_probabilities_are_all_1() -> None:
    with serving({"student": FakeRanker(factor=-50.0)}) as server:
        answer = server.post("/rerank", {"query": "what", "texts": DOCUMENTS}).json()
    assert [rank["score"] for rank in answer] == [1.0] * 4
    assert [rank["index"] for rank in answer] == [1, 0, 3, 2]


def test_models_by_name(server: Serving) -> None:
    for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
        body = {"query": "what", "documents": DOCUMENTS, "model": "other"}
        assert [one["index"] for one in server.post(path, body).json()["results"]] == [1, 0, 3, 2]
        refused = server.post(path, {**body, "model": "third"})
        assert refused.status_code == 404
        assert refused.json()["message"] == "there is no such model; there is student, other"
        assert [one["index"] for one in server.post(path, {**body, "model": ""}).json()["results"]] == ORDER


def test_what_is_too_much_is_refused(server: Serving) -> None:
    assert server.post("/v2/rerank", {"query": "q" * 20, "documents": ["d" * 60] * 6}).status_code == 200
    for body, said in (
        ({"query": "q", "documents": ["d"] * 7}, "7 documents, more than the 6"),
        ({"query": "q" * 21, "documents": ["d"]}, "the query has 21 characters, more than the 20"),
        ({"query": "q", "documents": ["d", "d" * 61]}, "a document has 61 characters, more than the 60"),
    ):
        for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
            refused = server.post(path, body)
            assert (refused.status_code, refused.json()["error_type"]) == (413, "Validation")
            assert said in refused.json()["error"]


def test_tokens_are_limited() -> None:
    # "red" and "blue" are one token each, so a pair has 5.
    with serving(max_request_tokens=10) as server:
        body = {"query": "red", "documents": ["blue", "blue"]}
        assert server.post("/v2/rerank", body).status_code == 200
        refused = server.post("/v2/rerank", {"query": "red", "documents": ["blue", "blue red"]})
        assert refused.status_code == 413
        assert "11 tokens, more than the 10" in refused.json()["error"]
        # Tokens that are cut away cost nothing: 48 is the model's limit.
    with serving(max_request_tokens=48) as server:
        assert server.post("/v2/rerank", {"query": "red", "documents": ["blue " * 500]}).status_code == 200


def test_truncation_can_be_forbidden(server: Serving) -> None:
    long, short = "a b " * 13, "a b"  # single letters are tokens
    with serving() as roomy:
        for path, key, body in (
            ("/rerank", "truncate", {"query": "red", "texts": [short, long * 2]}),
            ("/v1/rerank", "truncation", {"query": "red", "documents": [short, long * 2]}),
        ):
            assert roomy.post(path, body).status_code == 200
            assert roomy.post(path, {**body, key: True}).status_code == 200
            refused = roomy.post(path, {**body, key: False})
            assert refused.status_code == 413
            assert "a pair has 56 tokens, more than the 48" in refused.json()["error"]
            kept = {**body, key: False, "texts": [short], "documents": [short]}
            kept.pop("documents" if path == "/rerank" else "texts")
            assert roomy.post(path, kept).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"documents": ["d"]}, "query: Field required"),
        ({"query": "q"}, "body: give either documents"),
        ({"query": "q", "documents": ["d"], "texts": ["d"]}, "body: give either documents"),
        ({"query": "q", "documents": []}, "documents: List should have at least 1 item"),
        ({"query": "q", "texts": []}, "texts: List should have at least 1 item"),
        ({"query": "q", "texts": "text"}, "texts: Input should be a valid list"),
        ({"query": 3, "documents": ["d"]}, "query: Input should be a valid string"),
        ({"query": "q", "documents": ["d", None]}, "documents.1: Input should be a valid string"),
        ({"query": "q", "documents": ["d"], "top_n": 0}, "top_n: Input should be greater than or equal to 1"),
        ({"query": "q", "documents": ["d"], "top_n": "1"}, "top_n: Input should be a valid integer"),
        ({"query": "q", "documents": ["d"], "raw_scores": 1}, "raw_scores: Input should be a valid boolean"),
        (["q"], "body: give either documents"),
        ("q", "body: give either documents"),
    ],
)
def test_other_bodies_are_refused_in_words(server: Serving, body: Any, said: str) -> None:
    refused = server.post("/rerank", body)
    assert refused.status_code == 422
    told = refused.json()
    assert told["error"].startswith(said)
    assert told["error"] == told["message"] == told["detail"]
    assert set(told) == {"error", "error_type", "message", "detail"}


def test_what_is_no_json_is_refused(server: Serving) -> None:
    for body in (b"", b"{", b"[1,]", b'{"query": "q", "documents": ["d"]', b'{"query": ' + b"9" * 5000 + b"}"):
        refused = server.client.post("/v2/rerank", content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code in (400, 422), body
        assert set(refused.json()) == {"error", "error_type", "message", "detail"}


def test_unknown_fields_are_let_through(server: Serving) -> None:
    body = {"query": "q", "documents": ["d"], "priority": 3, "max_chunks_per_doc": 10, "user": {"a": [1]}}
    assert server.post("/v1/rerank", body).status_code == 200
