"""The OpenAPI description is true: schemathesis sends what it allows and what it does not, and reads the answers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from distilrank.serve.application import build_application
from distilrank.serve.keys import ApiKeys
from distilrank.serve.logs import JsonLog
from distilrank.serve.models import Models
from distilrank.serve.service import Service
from distilrank.serve.settings import ServeSettings
from tests.serve.serving import FakeClassifier, FakeRanker, served

SCORERS: dict[str, Any] = {"ranker": FakeRanker(), "classifier": FakeClassifier()}
KEY = {"Authorization": "Bearer secret"}


def service(default: str) -> Service:
    folders = {name: Path(name) for name in [default, *(set(SCORERS) - {default})]}
    return Service(
        Models(folders, load=lambda folder: served(SCORERS[str(folder)], folder)),
        ServeSettings(batch_wait_ms=0.0),
        keys=ApiKeys(["secret"]),
        log=JsonLog(io.StringIO()),
    )


RANKER, CLASSIFIER = service("ranker"), service("classifier")
rerank = schemathesis.openapi.from_asgi("/openapi.json", build_application(RANKER), headers=KEY)
predict = schemathesis.openapi.from_asgi("/openapi.json", build_application(CLASSIFIER), headers=KEY)


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Iterator[None]:
    yield
    RANKER.close()
    CLASSIFIER.close()


QUICK = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@rerank.exclude(path="/predict").parametrize()
@QUICK
def test_routes_are_as_described(case: Any) -> None:
    case.call_and_validate(headers=KEY)


@predict.include(path="/predict").parametrize()
@QUICK
def test_predict_is_as_described(case: Any) -> None:
    case.call_and_validate(headers=KEY)
