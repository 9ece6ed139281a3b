from __future__ import annotations

import socket
import threading

import pytest

from distilrank.data.offline import forbidden_while_reading, network_forbidden
from distilrank.errors import OfflineError

# An address of RFC 5737, which belongs to nobody: were it really asked, the attempt would fail or time out.
ELSEWHERE = ("192.0.2.1", 9)


def connect(seconds: float = 0.05) -> None:
    with socket.socket() as attempt:
        attempt.settimeout(seconds)
        attempt.connect(ELSEWHERE)


def test_other_machines_are_out_of_reach_in_the_block_and_only_there() -> None:
    with network_forbidden():
        with pytest.raises(OfflineError, match=r"192\.0\.2\.1 was to be asked for data, which --offline forbids"):
            connect()
        with pytest.raises(OfflineError, match=r"example\.invalid"):
            socket.getaddrinfo("example.invalid", 443)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(OfflineError):
            datagrams.sendto(b"", ELSEWHERE)
    with pytest.raises(OSError, match=r".*"):
        connect()


def test_blocks_may_be_nested_and_may_fail() -> None:
    with network_forbidden():
        with pytest.raises(KeyError), network_forbidden():
            raise KeyError
        with pytest.raises(OfflineError):
            connect()
    with network_forbidden(False), pytest.raises(OSError, match=r".*"):
        connect()


def test_it_holds_for_other_threads() -> None:
    raised: list[Exception] = []

    def attempt() -> None:
        try:
            connect()
        except Exception as error:
            raised.append(error)

    with network_forbidden():
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
    assert [type(error) for error in raised] == [OfflineError]


def test_this_machine_stays_in_reach() -> None:
    with network_forbidden(), socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
        assert socket.getaddrinfo("localhost", 80)
        first, second = socket.socketpair()
        first.close()
        second.close()


def test_items_are_fetched_without_the_network_and_used_with_it() -> None:
    reached: list[str] = []

    def items() -> object:
        for number in range(2):
            try:
                connect()
            except OfflineError:
                reached.append("forbidden")
            yield number

    for _ in forbidden_while_reading(items(), True):  # type: ignore[var-annotated, arg-type]
        try:
            connect()
        except OSError:
            reached.append("allowed")
    assert reached == ["forbidden", "allowed"] * 2
