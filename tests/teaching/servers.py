"""A re-ranker behind HTTP, in a thread: it scores a passage by its length and can be told to fail first."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Reranker:
    """What the server was asked, and what it is to answer.

    Attributes:
        requests: (path, headers, body) of each request.
        answers: Status, headers and body for the next requests; when they are used up, scores.
        seconds: How long an answer takes.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.seconds = 0.0
        self.url = ""

    def scores(self, body: dict[str, Any]) -> Any:
        texts = body.get("texts", body.get("documents"))
        name = "score" if "texts" in body else "relevance_score"
        found = [{"index": i, name: len(text) / 8} for i, text in enumerate(texts)]
        found.sort(key=lambda item: -item[name])  # as such servers do
        return found if "texts" in body else {"results": found}


@contextmanager
def serving() -> Iterator[Reranker]:
    reranker = Reranker()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reranker.requests.append((self.path, dict(self.headers), body))
            time.sleep(reranker.seconds)
            status, headers, data = 200, {}, json.dumps(reranker.scores(body)).encode()
            if reranker.answers:
                status, headers, data = reranker.answers.pop(0)
            with suppress(OSError):  # whoever asked may have been killed
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        reranker.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield reranker
        finally:
            server.shutdown()
            thread.join()
