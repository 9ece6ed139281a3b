"""A re-ranker behind HTTP as a scorer: text-embeddings-inference, Cohere v2 or Jina, and whoever speaks like them.

- **tei**: ``/rerank``; ``query, texts, raw_scores, truncate`` is answered by ``[{index, score}]``;
- **cohere**: ``/v2/rerank``; ``model, query, documents, top_n`` by ``{results: [{index, relevance_score}]}``;
- **jina**: ``/v1/rerank``; the same with ``return_documents``.

Sources: the APIs' public documentation (text-embeddings-inference's OpenAPI description, Cohere's and Jina's API
references). Only the standard library speaks HTTP here.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.data.teacher_scores import Meaning
from distilrank.errors import InputError, ModelError, OfflineError, SettingsError

Form = Literal["tei", "cohere", "jina"]
PATHS: dict[Form, str] = {"tei": "/rerank", "cohere": "/v2/rerank", "jina": "/v1/rerank"}
MEANING: dict[Form, Meaning] = {"tei": "logit", "cohere": "probability", "jina": "given"}
TEXTS_AT_ONCE: dict[Form, int] = {"tei": 32, "cohere": 100, "jina": 100}
"""Texts of a request; 32 is the most that text-embeddings-inference takes unless it is told otherwise."""

TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """Where the re-ranker is and how patient to be with it.

    Attributes:
        url: Address; without a path, the form's usual one is taken.
        form: Whose requests and answers it speaks.
        model: Its name in the request; cohere and jina need one.
        key_from: Environment variable that holds the key. None: no key is sent.
        tries: How often a request is sent before giving up.
        timeout_seconds: Longest wait for one answer.
    """

    url: str
    form: Form = "tei"
    model: str | None = None
    key_from: str | None = None
    tries: int = 6
    timeout_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"the endpoint {self.url!r} is no address; write it as http://host:port")
        if parts.username or parts.password:
            raise SettingsError(
                "the endpoint's address holds a key; put it into a variable and name that with --key-from"
            )
        if self.form not in PATHS:
            raise SettingsError(f"the endpoint's form is {self.form!r} but must be one of {', '.join(PATHS)}")
        if self.form != "tei" and not self.model:
            raise SettingsError(f"a {self.form} endpoint needs the name of a model; give --endpoint-model")
        if self.tries < 1 or self.timeout_seconds <= 0:
            raise SettingsError("tries must be at least 1 and timeout_seconds positive")

    @property
    def address(self) -> str:
        """The whole address."""
        parts = urllib.parse.urlsplit(self.url)
        return urllib.parse.urlunsplit(parts._replace(path=parts.path.rstrip("/") or PATHS[self.form]))


class EndpointScorer:
    """Scores by asking a server; implements ``Scorer``.

    A request holds passages of one query. An answer that says "later" (408, 425, 429, 5xx), a broken connection and
    silence are tried again after 1, 2, 4, ... seconds (or what ``Retry-After`` says), with a random part against
    many clients coming back at once. The key is in no message and no file.

    Args:
        settings: Where and how.
        sleep: Waits; for tests.

    Raises:
        InputError: The variable that should hold the key is not set.
    """

    def __init__(self, settings: EndpointSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if settings.key_from is not None:
            key = os.environ.get(settings.key_from, "").strip()
            if not key:
                raise InputError(f"the environment variable {settings.key_from} holds no key; set it, it is not kept")
            self._headers["Authorization"] = f"Bearer {key}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one score per pair, shape (pairs,).

        Raises:
            OfflineError: The server could not be reached, or went on saying "later".
            ModelError: It refused a request, or its answer is not one.
        """
        scores = np.empty(len(pairs), np.float32)
        for places in self._requests(pairs):
            answer = self._ask(pairs[places[0]][0], [pairs[place][1] for place in places])
            scores[places] = self._read(answer, len(places))
        return scores

    def _requests(self, pairs: Sequence[tuple[str, str]]) -> Iterator[list[int]]:
        """Yield the places of the pairs of each request: neighbours of one query."""
        most = TEXTS_AT_ONCE[self._settings.form]
        for _, group in groupby(range(len(pairs)), key=lambda place: pairs[place][0]):
            places = list(group)
            for start in range(0, len(places), most):
                yield places[start : start + most]

    def _ask(self, query: str, passages: list[str]) -> Any:
        settings = self._settings
        if settings.form == "tei":
            body: dict[str, Any] = {"query": query, "texts": passages, "raw_scores": True, "truncate": True}
        else:
            body = {"model": settings.model, "query": query, "documents": passages, "top_n": len(passages)}
            if settings.form == "jina":
                body["return_documents"] = False
        data = json.dumps(body).encode()
        for attempt in range(settings.tries):
            request = urllib.request.Request(settings.address, data=data, headers=self._headers, method="POST")
            wait = 2.0**attempt * (0.5 + random.random())
            try:
                with _OPENER.open(request, timeout=settings.timeout_seconds) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                reason = f"it answered {error.code} {error.reason}"
                if error.code not in TRY_AGAIN:
                    raise ModelError(f"{settings.address} refused a request: {reason}{_detail(error)}") from None
                wait = max(wait, _retry_after(error))
            except ValueError:
                raise ModelError(f"{settings.address} answered something that is not JSON; check the address") from None
            except (OSError, http.client.HTTPException) as error:  # URLError, timeouts and broken connections
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            if attempt + 1 < settings.tries:
                self._sleep(min(wait, LONGEST_WAIT))
        raise OfflineError(f"{settings.address} gave no answer in {settings.tries} tries ({reason}); try again later")

    def _read(self, answer: Any, count: int) -> NDArray[np.float32]:
        """Return the scores of an answer in the order of the texts asked for."""
        tei = self._settings.form == "tei"
        scores = np.full(count, np.nan, np.float32)
        try:
            for item in answer if tei else answer["results"]:
                place = int(item["index"])
                if not 0 <= place < count:
                    raise IndexError(place)
                scores[place] = float(item["score" if tei else "relevance_score"])
        except (KeyError, TypeError, ValueError, IndexError):
            raise ModelError(f"{self._settings.address} does not answer as a {self._settings.form} re-ranker") from None
        if np.isnan(scores).any():
            missing = int(np.isnan(scores).sum())
            raise ModelError(f"{self._settings.address} left out {missing} of the {count} scores it was asked for")
        return scores


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send the key along to wherever it is sent."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none; the answer becomes an error."""
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Return the seconds that a server asks to wait; 0 when it does not say (or says a date)."""
    try:
        return float(error.headers.get("Retry-After") or 0)
    except ValueError:
        return 0.0


def _detail(error: urllib.error.HTTPError) -> str:
    """Return what the server says is wrong, shortened."""
    try:
        text = " ".join(error.read(2000).decode("utf-8", "replace").split())
    except OSError:
        return ""
    return f": {text[:200]}" if text else ""
