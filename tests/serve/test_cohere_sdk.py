"""Cohere's own client, unchanged, against this server.

It lives in an environment of its own, for its dependencies' sake; ``COHERE_PYTHON`` names the interpreter there:
``python -m venv /tmp/cohere && /tmp/cohere/bin/pip install cohere && COHERE_PYTHON=/tmp/cohere/bin/python``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.serve.live import listening
from tests.serve.serving import FakeRanker, serving

PYTHON = os.environ.get("COHERE_PYTHON") or (sys.executable if find_spec("cohere") else None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PYTHON is None, reason="COHERE_PYTHON names no Python with cohere")]

ASK = textwrap.dedent(
    """
    import asyncio, json, sys
    import cohere

    address = sys.argv[1]
    documents = ["one two", "one", "one two three"]
    v1 = cohere.Client(api_key="secret", base_url=address)
    v2 = cohere.ClientV2(api_key="secret", base_url=address)
    told = {}

    def shown(answer):
        return [(one.index, one.relevance_score, getattr(getattr(one, "document", None), "text", None))
                for one in answer.results]

    told["v1"] = shown(v1.rerank(query="q", documents=documents, model="rerank-v3.5", top_n=2, return_documents=True))
    told["v1 bare"] = shown(v1.rerank(query="q", documents=documents, return_documents=False))
    told["v1 objects"] = shown(v1.rerank(query="q", documents=[{"text": "a", "n": "1"}, {"text": "a b"}]))
    told["v2"] = shown(v2.rerank(model="rerank-v3.5", query="q", documents=documents, top_n=3, max_tokens_per_doc=512))
    asynchronous = cohere.AsyncClientV2(api_key="secret", base_url=address)
    told["async"] = shown(asyncio.run(asynchronous.rerank(model="rerank-v3.5", query="q", documents=documents)))
    for name, key, model in (("unknown", "secret", "none"), ("key", "wrong", "rerank-v3.5")):
        try:
            cohere.ClientV2(api_key=key, base_url=address).rerank(model=model, query="q", documents=documents)
        except cohere.core.ApiError as error:
            told[name] = [type(error).__name__, error.status_code, error.body["message"]]
    print(json.dumps(told))
    """
)


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    assert PYTHON
    with serving({"rerank-v3.5": FakeRanker(0.1)}, keys=["secret"]) as server, listening(server) as address:
        asked = subprocess.run([PYTHON, "-c", ASK, address], capture_output=True, text=True, check=False, timeout=300)
        assert asked.returncode == 0, asked.stderr
        yield json.loads(asked.stdout)


def test_both_versions_get_their_rankings(told: dict[str, Any]) -> None:
    def order(name: str) -> list[int]:
        return [index for index, _, _ in told[name]]

    assert order("v1") == [2, 0]
    assert [text for _, _, text in told["v1"]] == ["one two three", "one two"]
    assert order("v1 bare") == order("v2") == order("async") == [2, 0, 1]
    assert [text for _, _, text in told["v1 bare"]] == [None] * 3
    assert order("v1 objects") == [1, 0]
    assert all(0 < score < 1 for name in ("v1", "v2", "async") for _, score, _ in told[name])


def test_errors_arrive_as_its_own(told: dict[str, Any]) -> None:
    assert told["unknown"][:2] == ["NotFoundError", 404]
    assert "rerank-v3.5" in told["unknown"][2]
    assert told["key"][:2] == ["UnauthorizedError", 401]
