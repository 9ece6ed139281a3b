from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.serve.serving import FakeRanker, Serving, serving

BODY = {"query": "what", "documents": ["one two", "one"]}


def held_up(server: Serving, ranker: FakeRanker, pool: ThreadPoolExecutor, count: int = 1) -> list[Any]:
    """Send requests that will not be answered before the ranker may score; return once one is being scored."""
    ranker.may_score.clear()
    ranker.entered.clear()
    futures = [pool.submit(server.post, "/v2/rerank", BODY) for _ in range(count)]
    assert ranker.entered.wait(30)
    return futures


def test_a_key_is_asked_for_where_anything_is_told_or_done() -> None:
    with serving(keys=["secret", "other"]) as server:
        posts = ["/v1/rerank", "/v2/rerank", "/rerank", "/predict"]
        gets = ["/info", "/metrics", "/openapi.json", "/nothing"]
        for method, path in [*(("POST", path) for path in posts), *(("GET", path) for path in gets)]:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}):
                refused = server.client.request(method, path, headers=headers)
                assert refused.status_code == 401
                assert refused.headers["www-authenticate"] == "Bearer"
                assert refused.json()["error_type"] == "Unauthorized"
        for path in ("/", "/health", "/ready"):
            assert server.client.get(path).status_code == 200
        for key in ("secret", "other"):
            headers = {"Authorization": f"Bearer {key}"}
            assert server.post("/v2/rerank", BODY, headers=headers).status_code == 200
            assert server.client.get("/info", headers=headers).status_code == 200
        assert "secret" not in json.dumps(server.log)


def test_without_keys_nobody_is_asked() -> None:
    with serving() as server:
        assert server.post("/v2/rerank", BODY, headers={"Authorization": "Bearer anything"}).status_code == 200


def test_bodies_are_checked_before_they_are_parsed() -> None:
    with serving(max_body_bytes=100, max_json_depth=3) as server:

        def status(content: bytes, **headers: str) -> int:
            headers = {"Content-Type": "application/json", **headers}
            return int(server.client.post("/v2/rerank", content=content, headers=headers).status_code)

        assert status(json.dumps(BODY).encode()) == 200
        assert status(json.dumps(BODY).encode() + b" " * 100) == 413
        assert status(json.dumps({**BODY, "deep": [[[1]]]}).encode()) == 400
        assert status(b"[" * 90) == 400
        assert status(rb'{"query": "\ud800", "documents": ["d"]}') == 400
        assert status(json.dumps(BODY).encode(), **{"Content-Type": "text/plain"}) == 415
        assert status(json.dumps(BODY).encode(), **{"Content-Encoding": "gzip"}) == 415
        assert server.log[-1]["status"] == 415


def test_a_full_server_says_when_to_come_back() -> None:
    ranker = FakeRanker()
    with serving({"student": ranker}, max_requests=2) as server, ThreadPoolExecutor(4) as pool:
        held = held_up(server, ranker, pool, 2)
        while server.metric("distilrank_requests_in_flight") < 2:
            time.sleep(0.001)
        refused = server.post("/v2/rerank", BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error_type"] == "Overloaded"
        assert server.client.get("/health").status_code == 200
        ranker.may_score.set()
        assert [future.result(30).status_code for future in held] == [200, 200]
        assert server.post("/v2/rerank", BODY).status_code == 200


def test_a_full_queue_says_when_to_come_back() -> None:
    ranker = FakeRanker()
    with (
        serving({"student": ranker}, queue_pairs=4, max_documents=4, batch_pairs=1) as server,
        ThreadPoolExecutor(4) as pool,
    ):
        held = held_up(server, ranker, pool, 2)
        while server.service.batcher.waiting < 3:  # one of four is being scored
            time.sleep(0.001)
        refused = server.post("/v2/rerank", BODY)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert server.metric("distilrank_queue_pairs") == 3
        ranker.may_score.set()
        assert [future.result(30).status_code for future in held] == [200, 200]


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    ranker = FakeRanker()
    with serving({"student": ranker}, timeout_seconds=0.2, batch_pairs=1) as server:
        ranker.may_score.clear()
        late = server.post("/v2/rerank", BODY)
        assert (late.status_code, late.headers["retry-after"]) == (504, "1")
        assert late.json()["error_type"] == "Timeout"
        assert server.service.batcher.waiting == 0  # its second pair is not scored
        ranker.may_score.set()
        assert server.post("/v2/rerank", BODY).status_code == 200


def test_a_client_that_leaves_is_forgotten() -> None:
    ranker = FakeRanker()
    with serving({"student": ranker}, batch_pairs=1) as server:
        ranker.may_score.clear()
        body = json.dumps(BODY).encode()
        scope = {"type": "http", "method": "POST", "path": "/v2/rerank", "raw_path": b"/v2/rerank", "query_string": b"",
                 "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
                 "client": ("test", 1), "server": ("test", 80)}  # fmt: skip
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            while not ranker.entered.is_set():
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            pass

        asyncio.run(server.app(scope, receive, send))
        assert server.service.batcher.waiting == 0
        assert server.log[-1]["status"] == 499
        assert server.metric('distilrank_requests_total{path="/v2/rerank",status="499"}') == 1


def test_what_fails_inside_is_a_500_that_tells_nothing_and_a_log_that_tells_where() -> None:
    class Broken(FakeRanker):
        def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
            raise RuntimeError(f"cannot read {pairs}")

    for log_texts in (False, True):
        with serving({"student": Broken()}, log_texts=log_texts) as server:
            server.client = type(server.client)(server.app, raise_server_exceptions=True)
            failed = server.post("/v2/rerank", BODY)
            assert failed.status_code == 500
            assert failed.json()["error_type"] == "Backend"
            assert "one two" not in failed.text
            told = next(line for line in server.log if line["event"] == "failed")
            assert told["error"] == "RuntimeError"
            assert told["request_id"] == failed.headers["x-request-id"]
            assert any("test_gate.py" in place and "score" in place for place in told["at"])
            assert ("one two" in json.dumps(told)) == log_texts
            assert server.log[-1]["status"] == 500


def test_the_log_never_holds_texts_unless_asked() -> None:
    body = {"query": "very private", "documents": ["also private"], "model": "private name"}
    with serving() as server:
        server.post("/v2/rerank", {**body, "model": None})
        server.post("/v2/rerank", body)
        server.client.post(
            "/v2/rerank", content=rb'{"private": "\ud800"}', headers={"Content-Type": "application/json"}
        )
        server.post("/rerank", {**body, "texts": 3})
        server.client.get("/private?private=private", headers={"X-Request-ID": "a private text"})
        server.client.request("PRIVATE", "/rerank")
        assert len(server.log) == 6
        assert "private" not in json.dumps(server.log).lower()
    with serving(log_texts=True) as server:
        server.post("/v2/rerank", {**body, "model": None})
        assert server.log[0]["event"] == "texts"
        assert server.log[0]["pairs"] == [["very private", "also private"]]
        assert server.log[0]["request_id"] == server.log[1]["request_id"]


def test_a_line_of_the_log_says_what_a_request_cost() -> None:
    with serving() as server:
        answer = server.post("/v2/rerank", BODY, headers={"X-Request-ID": "their-id.1"})
        line = server.log[-1]
        assert answer.headers["x-request-id"] == line["request_id"] == "their-id.1"
        assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "POST", "/v2/rerank", 200)
        assert (line["model"], line["pairs"]) == ("student", 2)
        assert 0 <= line["queue_ms"] + line["score_ms"] <= line["milliseconds"] + 1
        assert answer.headers["server-timing"] == f"queue;dur={line['queue_ms']}, score;dur={line['score_ms']}"
        other = server.client.get("/health", headers={b"X-Request-ID": b"no good\xe9"})
        assert len(other.headers["x-request-id"]) == 32


def test_numbers_for_prometheus() -> None:
    with serving({"student": FakeRanker(), "other": FakeRanker()}) as server:
        for _ in range(3):
            server.post("/v2/rerank", BODY)
        server.post("/v2/rerank", {**BODY, "model": "other"})
        server.post("/v2/rerank", {})
        server.client.get("/secret")
        answer = server.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert 'distilrank_requests_total{path="/v2/rerank",status="200"} 4.0' in answer.text
        assert server.metric('distilrank_requests_total{path="/v2/rerank",status="422"}') == 1
        assert server.metric('distilrank_requests_total{path="other",status="404"}') == 1
        assert server.metric('distilrank_pairs_total{model="student"}') == 6
        assert server.metric('distilrank_pairs_total{model="other"}') == 2
        assert server.metric('distilrank_request_seconds_count{path="/v2/rerank"}') == 5
        assert server.metric("distilrank_queue_seconds_count") == 4
        assert server.metric("distilrank_score_seconds_count") == 4
        assert server.metric("distilrank_batch_pairs_sum") == 8
        assert server.metric("distilrank_queue_pairs") == 0
        assert server.metric("distilrank_requests_in_flight") == 0
        assert server.metric("process_resident_memory_bytes") > 0
        assert "secret" not in server.client.get("/metrics").text


def test_health_and_readiness() -> None:
    with serving() as server:
        assert server.client.get("/health").json() == {"status": "ok"}
        assert server.client.get("/ready").json() == {"status": "ready"}
        server.service.leaving = True
        assert server.client.get("/ready").status_code == 503
        assert server.client.get("/health").status_code == 200
        last = server.post("/v2/rerank", BODY)
        assert (last.status_code, last.headers["connection"]) == (200, "close")
        server.service.close()
        stopped = server.post("/v2/rerank", BODY)
        assert (stopped.status_code, stopped.json()["error_type"]) == (503, "Unhealthy")
        assert server.client.get("/health").status_code == 503


def test_info_is_that_of_tei_and_names_every_model() -> None:
    with serving({"student": FakeRanker(), "other": FakeRanker()}, max_documents=7) as server:
        info = server.client.get("/info").json()
    assert (info["model_id"], info["max_client_batch_size"], info["max_input_length"]) == ("student", 7, 48)
    assert info["model_type"] == {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    assert list(info["models"]) == ["student", "other"]


def test_paths_and_methods_that_are_none() -> None:
    with serving() as server:
        assert server.client.get("/docs").status_code == 404
        assert server.client.get("/rerank").status_code == 405
        assert server.client.get("/rerank").headers["allow"] == "POST"
        assert server.post("/health", {}).status_code == 405
        for path in ("/docs", "/rerank"):
            assert set(server.client.get(path).json()) == {"error", "error_type", "message", "detail"}


def test_many_clients_get_their_own_answers() -> None:
    with serving(batch_pairs=8, batch_wait_ms=1.0) as server, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> bool:
            documents = ["w " * (number + place) for place in range(5)]
            body = {"query": "q " * number, "texts": documents, "raw_scores": True}
            scores = {rank["index"]: rank["score"] for rank in server.post("/rerank", body).json()}
            return scores == {place: float(number + place - 10 * number) for place in range(5)}

        assert all(pool.map(ask, range(1, 25)))
