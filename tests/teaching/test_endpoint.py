from __future__ import annotations

from collections.abc import Iterator

import pytest

from distilrank.errors import InputError, ModelError, OfflineError, SettingsError
from distilrank.teaching.endpoint import EndpointScorer, EndpointSettings, Form
from tests.teaching.servers import Reranker, serving

PAIRS = [("one", "a" * i) for i in range(1, 41)] + [("two", "b" * 9), ("one", "c" * 3)]


@pytest.fixture
def server() -> Iterator[Reranker]:
    with serving() as reranker:
        yield reranker


def scorer(server: Reranker, form: Form = "tei", waits: list[float] | None = None, **options: object) -> EndpointScorer:
    model = None if form == "tei" else "best"
    settings = EndpointSettings(url=server.url, form=form, model=model, **options)  # type: ignore[arg-type]
    return EndpointScorer(settings, sleep=([] if waits is None else waits).append)


@pytest.mark.parametrize(("form", "path"), [("tei", "/rerank"), ("cohere", "/v2/rerank"), ("jina", "/v1/rerank")])
def test_scores_come_back_in_the_order_asked_for(server: Reranker, form: Form, path: str) -> None:
    scores = scorer(server, form).score(PAIRS)
    assert scores.dtype == "float32"
    assert scores.tolist() == [len(passage) / 8 for _, passage in PAIRS]
    assert {request[0] for request in server.requests} == {path}
    bodies = [body for *_, body in server.requests]
    texts = [body["texts" if form == "tei" else "documents"] for body in bodies]
    assert [body["query"] for body in bodies] == (
        ["one", "one", "two", "one"] if form == "tei" else ["one", "two", "one"]
    )
    assert [text for part in texts for text in part] == [passage for _, passage in PAIRS]
    expected = {
        "tei": {"raw_scores": True, "truncate": True},
        "cohere": {"model": "best", "top_n": 1},
        "jina": {"model": "best", "top_n": 1, "return_documents": False},
    }[form]
    assert {
        name: value for name, value in bodies[-1].items() if name not in ("query", "texts", "documents")
    } == expected


def test_an_address_with_a_path_is_taken_as_it_is() -> None:
    assert EndpointSettings(url="http://host/deep/re-rank/").address == "http://host/deep/re-rank"
    assert EndpointSettings(url="https://host:8080/").address == "https://host:8080/rerank"


def test_later_is_asked_again_after_waiting_longer_each_time(server: Reranker) -> None:
    waits: list[float] = []
    server.answers = [(503, {}, b""), (429, {"Retry-After": "17"}, b""), (500, {}, b"oops")]
    assert scorer(server, waits=waits).score([("q", "abcd")]).tolist() == [0.5]
    assert len(server.requests) == 4
    assert 0.5 <= waits[0] <= 1.5
    assert waits[1] == 17
    assert 2 <= waits[2] <= 6


def test_giving_up(server: Reranker) -> None:
    server.answers = [(503, {}, b"")] * 2
    with pytest.raises(OfflineError, match=r"gave no answer in 2 tries .*503"):
        scorer(server, tries=2).score([("q", "p")])
    waits: list[float] = []
    nobody = EndpointScorer(EndpointSettings(url="http://127.0.0.1:9", tries=3), sleep=waits.append)
    with pytest.raises(OfflineError, match="gave no answer in 3 tries"):
        nobody.score([("q", "p")])
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((422, {}, b'{"error": "too long"}'), "refused a request: it answered 422 .*too long"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), "refused a request: it answered 302"),
        ((200, {}, b"<html>"), "answered something that is not JSON"),
        ((200, {}, b'{"results": []}'), "does not answer as a tei re-ranker"),
        ((200, {}, b'[{"index": 2, "score": 1}]'), "does not answer as a tei re-ranker"),
        ((200, {}, b'[{"index": -1, "score": 1}]'), "does not answer as a tei re-ranker"),
        ((200, {}, b'[{"index": 1, "score": 1}]'), "left out 1 of the 2 scores"),
    ],
)
def test_an_answer_that_waiting_does_not_mend(
    server: Reranker, answer: tuple[int, dict[str, str], bytes], sentence: str
) -> None:
    server.answers = [answer]
    with pytest.raises(ModelError, match=sentence):
        scorer(server).score([("q", "p"), ("q", "pp")])
    assert len(server.requests) == 1


def test_the_key_is_sent_and_told_to_nobody(server: Reranker, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="the environment variable TEACHER_KEY holds no key"):
        scorer(server, key_from="TEACHER_KEY")
    monkeypatch.setenv("TEACHER_KEY", " s3cret\n")
    asking = scorer(server, key_from="TEACHER_KEY")
    asking.score([("q", "p")])
    assert server.requests[0][1]["Authorization"] == "Bearer s3cret"
    server.answers = [(401, {}, b"no")]
    with pytest.raises(ModelError) as refused:
        asking.score([("q", "p")])
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(asking._settings)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"url": "localhost:8080"}, "is no address"),
        ({"url": "https://user:key@host"}, "holds a key"),
        ({"url": "http://host", "form": "cohere"}, "needs the name of a model"),
        ({"url": "http://host", "form": "other"}, "must be one of tei, cohere, jina"),
        ({"url": "http://host", "tries": 0}, "tries must be at least 1"),
    ],
)
def test_settings_that_could_never_work(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        EndpointSettings(**options)  # type: ignore[arg-type]
