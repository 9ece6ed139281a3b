"""The running server: its socket, its signals, and folders that change under it.

SIGTERM: ``/ready`` says no, requests are taken for ``drain_seconds`` more, then no connection is accepted any more and
what has been accepted is answered. SIGINT does the same without the wait. SIGHUP: folders that have changed are loaded.
"""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from distilrank import __version__
from distilrank.errors import InputError
from distilrank.runtime.folder import usable_cores
from distilrank.serve.application import build_application
from distilrank.serve.keys import ApiKeys
from distilrank.serve.logs import JsonLog
from distilrank.serve.metrics import Metrics
from distilrank.serve.models import Models, load_served
from distilrank.serve.service import Service
from distilrank.serve.settings import ServeSettings

KEEP_ALIVE_SECONDS = 75
"""Longer than load balancers keep idle connections (60 s is usual): whoever closes first should be the client."""


def run_server(
    folders: Mapping[str, Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    settings: ServeSettings | None = None,
    keys: ApiKeys | None = None,
) -> None:
    """Load models and serve them until a signal says stop.

    Args:
        folders: Name -> model folder, the default one first.
        host: Address to listen on.
        port: Port; 0 takes a free one, which the log names.
        settings: Batching, limits and patience; None takes the defaults.
        keys: API keys; None asks for none.

    Raises:
        InputError: The address cannot be listened on.
        ModelError: A folder cannot be loaded.
    """
    settings = settings or ServeSettings()
    log = JsonLog(texts=settings.log_texts)
    log.take_over("uvicorn", "uvicorn.error")
    metrics = Metrics()

    def tell(event: str, **facts: Any) -> None:
        metrics.reloads.labels("failed" if event == "reload_failed" else "done").inc()
        log(event, **facts)

    with _bound(host, port) as listening:
        shared_out = None if settings.workers == 1 else max(1, usable_cores() // settings.workers)
        load = partial(load_served, threads=settings.threads or shared_out, precision=settings.precision)
        models = Models(folders, load=load, tell=tell)
        service = Service(models, settings, keys=keys, log=log, metrics=metrics)
        address, number = listening.getsockname()[:2]
        served = {name: str(folder) for name, folder in folders.items()}
        announce = partial(log, "serving", address=f"http://{address}:{number}", models=served, version=__version__)
        try:
            with _Watcher(models, settings.watch_seconds):
                _UvicornServer(service, announce).run(sockets=[listening])
        finally:
            service.close()
            log("stopped")


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that will listen; it refuses connections until the models are loaded."""
    if not 0 <= port <= 65535:
        raise InputError(f"port {port} is none; give one from 1 to 65535, or 0 for any that is free")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        problem = f"cannot listen on {host}, port {port} ({error.strerror})"
        raise InputError(f"{problem}; give another --host or --port") from None
    return listening


class _UvicornServer(uvicorn.Server):
    """uvicorn, with a time of leave between the signal and the end."""

    def __init__(self, service: Service, announce: Callable[[], None]) -> None:
        settings = service.settings
        config = uvicorn.Config(
            build_application(service),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.max_body_seconds + settings.timeout_seconds) + 1,
        )
        super().__init__(config)
        self._service = service
        self._announce = announce
        self._leave_at = math.inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._announce()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; a second signal ends the wait, a third everything.

        Nothing is kept to be raised again at the end: a stop that was asked for is no failure.
        """
        if self.should_exit:
            self.force_exit = True
        self._service.leaving = True
        wait = self._service.settings.drain_seconds if sig == signal.SIGTERM and self._leave_at == math.inf else 0.0
        self._leave_at = time.monotonic() + wait

    async def on_tick(self, counter: int) -> bool:
        """Stop when the time has come; called ten times a second."""
        self.should_exit = self.should_exit or time.monotonic() >= self._leave_at
        return await super().on_tick(counter)


class _Watcher:
    """Looks at the folders every so often, and on SIGHUP; as a context manager, while the block runs."""

    def __init__(self, models: Models, seconds: float) -> None:
        self._models = models
        self._seconds = seconds
        self._look = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._watch, name="watching", daemon=True)

    def __enter__(self) -> _Watcher:
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, lambda *_: self._look.set())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._look.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            asked = self._look.wait(self._seconds or None)
            self._look.clear()
            if self._stop:
                return
            self._models.refresh(at_once=asked)
