"""What ``--offline`` means: no library on the way to the data may reach the network, whatever it tries."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from distilrank.errors import OfflineError

T = TypeVar("T")

_WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
_AT_HOME = ("localhost", "127.", "::1", "0.0.0.0")

_lock = threading.Lock()
_open_blocks = 0
_is_installed = False


@contextmanager
def network_forbidden(forbidden: bool = True) -> Iterator[None]:
    """Make every attempt of this process to reach another machine an `OfflineError` while the block runs.

    It holds for all threads of the process. Sockets of this machine itself stay usable.

    Args:
        forbidden: When False, the block changes nothing.
    """
    global _open_blocks, _is_installed
    if not forbidden:
        yield
        return
    with _lock:
        _open_blocks += 1
        if not _is_installed:
            # An audit hook sees every socket of every library, and it cannot be taken out: hence the counter.
            sys.addaudithook(_watch)
            _is_installed = True
    try:
        yield
    finally:
        with _lock:
            _open_blocks -= 1


def forbidden_while_reading(items: Iterable[T], forbidden: bool) -> Iterator[T]:
    """Yield ``items``, each fetched with the network forbidden; between them the network is as it was."""
    iterator = iter(items)
    while True:
        with network_forbidden(forbidden):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _open_blocks or event not in _WATCHED:
        return
    address = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
    host = address[0] if isinstance(address, tuple) else address
    # Addresses that are no tuples are paths of local sockets; no host means this machine.
    is_local = not isinstance(address, tuple) and event != "socket.getaddrinfo"
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host or "localhost")
    if not is_local and not name.startswith(_AT_HOME):
        raise OfflineError(f"{name} was to be asked for data, which --offline forbids; fetch the data first without it")
