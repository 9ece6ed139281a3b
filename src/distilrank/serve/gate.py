"""The door of the server: every request passes here before anything reads it, and every answer on its way out."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from distilrank.serve.bodies import CLIENT_GONE, Message, Receive, check_json, read_body
from distilrank.serve.keys import ApiKeys
from distilrank.serve.logs import JsonLog
from distilrank.serve.metrics import Metrics
from distilrank.serve.refusals import Refusal
from distilrank.serve.settings import ServeSettings

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

NO_KEY_NEEDED = frozenset({"/", "/health", "/ready"})

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(eq=False)
class Account:
    """What the log says about one request, filled in as it goes on."""

    request_id: str
    begun: float = field(default_factory=time.perf_counter)
    status: int = CLIENT_GONE
    facts: dict[str, Any] = field(default_factory=dict)


class Gate:
    """An ASGI application around another one.

    Args:
        app: What answers.
        paths: The paths that it knows; any other is called "other" in log and metrics, as it may hold anything.
        with_body: Those that take a body.
        settings: Limits.
        keys: Keys, if any are asked for.
        metrics: Told of every request.
        log: Told of every request.
        leaving: Whether the server is about to stop; answers then ask clients to close their connection.
    """

    def __init__(
        self,
        app: App,
        *,
        paths: frozenset[str],
        with_body: frozenset[str],
        settings: ServeSettings,
        keys: ApiKeys,
        metrics: Metrics,
        log: JsonLog,
        leaving: Callable[[], bool],
    ) -> None:
        self._app = app
        self._paths = paths
        self._with_body = with_body
        self._settings = settings
        self._keys = keys
        self._metrics = metrics
        self._log = log
        self._leaving = leaving
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; anything else that a server may ask for goes straight on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        account = Account(_request_id(scope["headers"]))
        scope.setdefault("state", {})["account"] = account
        self._under_way += 1
        self._metrics.in_flight.set(self._under_way)
        try:
            await self._answer(scope, receive, self._noting(account, send))
        finally:
            self._under_way -= 1
            self._metrics.in_flight.set(self._under_way)
            self._note(scope, account)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or send its refusal."""
        account: Account = scope["state"]["account"]
        try:
            await self._app(scope, await self._let_in(scope, receive), send)
        except Refusal as refusal:
            await _send_refusal(send, refusal)
        except Exception as error:
            self._log.error("failed", error, request_id=account.request_id)
            if account.status == CLIENT_GONE:  # nothing has been sent yet
                await _send_refusal(send, Refusal(500, "the server failed; its log says where"))

    async def _let_in(self, scope: Scope, receive: Receive) -> Receive:
        """Check key, load and body; return what reads the body again.

        Raises:
            Refusal: The request is not let in.
        """
        settings = self._settings
        if self._keys and scope["path"] not in NO_KEY_NEEDED:
            authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not self._keys.accept(authorization.decode("latin-1")):
                raise Refusal(401, "send a valid key as Authorization: Bearer KEY")
        if scope["method"] != "POST" or scope["path"] not in self._with_body:
            return receive
        if self._under_way > settings.max_requests:
            raise Refusal(429, "too many requests are under way; try again in 1 s", retry_after=1)
        body = await read_body(
            scope["headers"], receive, max_bytes=settings.max_body_bytes, seconds=settings.max_body_seconds
        )
        check_json(body, max_depth=settings.max_json_depth)
        ready = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return ready.pop() if ready else await receive()

        return again

    def _noting(self, account: Account, send: Send) -> Send:
        """Return a ``send`` that notes the status and adds the headers that every answer has."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                account.status = message["status"]
                headers = [(b"x-request-id", account.request_id.encode()), (b"x-content-type-options", b"nosniff")]
                if "score_ms" in account.facts:
                    timing = f"queue;dur={account.facts['queue_ms']}, score;dur={account.facts['score_ms']}"
                    headers.append((b"server-timing", timing.encode()))
                if self._leaving():
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        return noting

    def _note(self, scope: Scope, account: Account) -> None:
        seconds = time.perf_counter() - account.begun
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.requests.labels(path, str(account.status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        self._log(
            "request",
            request_id=account.request_id,
            method=scope["method"] if scope["method"] in ("GET", "POST") else "other",
            path=path,
            status=account.status,
            milliseconds=round(1000 * seconds, 2),
            **account.facts,
        )


def _request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the client's ``X-Request-ID`` where it has a sound one, so that its log and ours can be joined."""
    given = next((value.decode("latin-1") for name, value in headers if name == b"x-request-id"), "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


async def _send_refusal(send: Send, refusal: Refusal) -> None:
    body = json.dumps(refusal.body).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refusal.headers}
    if refusal.status in (408, 413, 415):
        headers["Connection"] = "close"  # what is left of the body is not read
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
