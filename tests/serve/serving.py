"""A server without a socket, in front of rankers whose scores a test can foretell."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from distilrank.runtime.classifier import Classifier
from distilrank.serve.application import build_application
from distilrank.serve.batching import Scores
from distilrank.serve.keys import ApiKeys
from distilrank.serve.logs import JsonLog
from distilrank.serve.models import Models, ServedModel
from distilrank.serve.service import Service
from distilrank.serve.settings import ServeSettings
from tests.tiny import tiny_tokenizer


class FakeRanker:
    """A passage's logit is its number of words, less ten for each word of the query, times ``factor``.

    Attributes:
        batches: The pairs of each call.
        may_score: Cleared, it holds every call up.
        entered: Set as soon as a call has come.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.batches: list[list[tuple[str, str]]] = []
        self.may_score = threading.Event()
        self.may_score.set()
        self.entered = threading.Event()

    def score(self, pairs: Sequence[Any]) -> NDArray[np.float32]:
        self.batches.append(list(pairs))
        self.entered.set()
        assert self.may_score.wait(60)
        return self.expected(pairs)

    def expected(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        logits = [self.factor * (len(passage.split()) - 10 * len(query.split())) for query, passage in pairs]
        return np.array(logits, np.float32)


class FakeClassifier(Classifier):
    """Logits are the number of words of the first text, that of the second, and 0."""

    def __init__(self, kind: Any = "classes") -> None:
        self.labels = ("first", "second", "neither")
        self.kind = kind

    def score(self, pairs: Sequence[tuple[str, str | None]]) -> NDArray[np.float32]:
        return np.array([(len(a.split()), len((b or "").split()), 0) for a, b in pairs], np.float32)


def served(scorer: Scores, folder: Path = Path("fake")) -> ServedModel:
    return ServedModel(folder=folder, scorer=scorer, tokenizer=tiny_tokenizer(), file=folder / "x.onnx", sha256="0")


class Serving:
    """A running service, its client, and what it has logged."""

    def __init__(self, service: Service, written: io.StringIO) -> None:
        self.service = service
        self.app = build_application(service)
        self.client = TestClient(self.app)
        self._written = written

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._written.getvalue().splitlines()]

    def post(self, path: str, body: Any, **options: Any) -> Any:
        return self.client.post(path, json=body, **options)

    def metric(self, line: str) -> float:
        """The value of the sample that starts with these characters."""
        lines = self.service.metrics.text().decode().splitlines()
        (found,) = [each for each in lines if each.startswith(line + " ")]
        return float(found.rpartition(" ")[2])


@contextmanager
def serving(
    models: Mapping[str, Scores] | None = None,
    *,
    keys: Sequence[str] = (),
    load: Callable[[Path], ServedModel] | None = None,
    **settings: Any,
) -> Iterator[Serving]:
    scorers = models or {"student": FakeRanker()}
    folders = {name: Path(name) for name in scorers}
    written = io.StringIO()
    chosen = ServeSettings(**{"batch_wait_ms": 0.0, **settings})
    service = Service(
        Models(folders, load=load or (lambda folder: served(scorers[str(folder)], folder))),
        chosen,
        keys=ApiKeys(list(keys)),
        log=JsonLog(written, texts=chosen.log_texts),
    )
    try:
        yield Serving(service, written)
    finally:
        for scorer in scorers.values():
            if isinstance(scorer, FakeRanker):
                scorer.may_score.set()
        service.close()
