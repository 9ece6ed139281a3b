"""A server with its socket, in a thread of the test."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tests.serve.serving import Serving


@contextmanager
def listening(server: Serving) -> Iterator[str]:
    """Yield the address at which a server answers."""
    running = uvicorn.Server(uvicorn.Config(server.app, port=0, lifespan="off", log_config=None))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
