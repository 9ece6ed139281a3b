from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from distilrank.serve.bodies import check_json, is_deeper, read_body
from distilrank.serve.refusals import Refusal

JSON = [(b"content-type", b"application/json; charset=utf-8")]


def read(parts: list[bytes], headers: list[tuple[bytes, bytes]] = JSON, **options: float) -> bytes:
    """Read a body that arrives in parts; after them the client leaves."""
    messages: Iterator[dict[str, object]] = iter(
        {"type": "http.request", "body": part, "more_body": place + 1 < len(parts)} for place, part in enumerate(parts)
    )

    async def receive() -> dict[str, object]:
        return next(messages, {"type": "http.disconnect"})

    return asyncio.run(read_body(headers, receive, **{"max_bytes": 10, "seconds": 5.0, **options}))  # type: ignore[arg-type]


def status(parts: list[bytes], headers: list[tuple[bytes, bytes]] = JSON) -> int:
    with pytest.raises(Refusal) as refused:
        read(parts, headers)
    return refused.value.status


def test_a_body_is_put_together() -> None:
    assert read([b"[1,", b"", b"2]"]) == b"[1,2]"
    assert read([b"0123456789"]) == b"0123456789"
    assert read([b""]) == b""


def test_a_long_body_is_refused_whether_it_says_so_or_not() -> None:
    assert status([b"0123456789", b"0"]) == 413
    assert status([b"01234567890"]) == 413
    assert status([b"1"] * 200) == 413
    assert status([], [*JSON, (b"content-length", b"9" * 5000)]) == 413  # before anything is read
    assert read([b"[]"], [*JSON, (b"content-length", b"nonsense")]) == b"[]"


def test_what_is_no_json_is_refused_unread() -> None:
    assert status([b"[]"], []) == 415
    assert status([b"[]"], [(b"content-type", b"text/plain")]) == 415
    assert status([b"[]"], [*JSON, (b"content-encoding", b"gzip")]) == 415
    assert read([b"[]"], [(b"Content-Type", b"Application/JSON")]) == b"[]"


def test_a_client_that_leaves_or_sends_too_slowly_is_let_go() -> None:
    messages = iter([{"type": "http.request", "body": b"[", "more_body": True}, {"type": "http.disconnect"}])

    async def leaving() -> dict[str, object]:
        return next(messages)

    async def silent() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    for receive, expected in ((leaving, 499), (silent, 408)):
        with pytest.raises(Refusal) as refused:
            asyncio.run(read_body(JSON, receive, max_bytes=10, seconds=0.05))
        assert refused.value.status == expected


@pytest.mark.parametrize(
    ("body", "depth"),
    [
        (b"3", 0),
        (b"[]", 1),
        (b'{"a": [1, {"b": []}]}', 4),
        (b'[[],[],{"a":1}]', 2),
        (b'[{"a":[]},[{}]]', 3),
        (b'["[[[[", "{{"]', 1),
        (rb'["\"[[[", "\\", [2]]', 2),
        (b'"[[[[', 0),
        (b'"[\\', 0),
    ],
)
def test_depth_counts_what_is_not_in_texts(body: bytes, depth: int) -> None:
    assert [is_deeper(body, most) for most in (depth, depth - 1)] == [False, depth > 0]


def test_brackets_that_do_not_match_are_too_deep() -> None:
    for body in (b"[", b"]", b"][", b'["\\\\"[', b"[[[" * 1000):
        assert is_deeper(body, 8)


def test_depth_is_found_in_one_pass() -> None:
    size = 1 << 18
    hostile = [
        b"[]" * size,
        b'"",' * size,
        b'"' + b'\\"' * size,
        b'\\"' * size,
        b'"' * size,
        b"[" * size,
        b'"' + b"\\" * size,
        b'"a' * size,
    ]
    begun = time.process_time()
    for body in hostile:
        is_deeper(body, 8)
    assert time.process_time() - begun < 3.0


def refused(body: bytes) -> str:
    with pytest.raises(Refusal) as error:
        check_json(body, max_depth=3)
    assert error.value.status == 400
    return error.value.problem


def test_what_a_parser_would_choke_on_is_refused() -> None:
    assert "deeper than 3" in refused(b"[[[[]]]]")
    assert "deeper than 3" in refused(b"[" * 100_000)
    check_json(b"[[[]]]", max_depth=3)
    assert "UTF-8" in refused(b'"\xff"')
    assert "UTF-8" in refused(b'"\xed\xa0\x80"')  # a surrogate, spelt out
    # Half of the bytes of Ģ are a quotation mark, behind which brackets would hide.
    assert "not JSON" in refused('["Ģ", [[[[1]]]], "Ģ"]'.encode("utf-16-le"))
    assert "half a surrogate" in refused(rb'["\ud800"]')
    assert "half a surrogate" in refused(rb'{"\uDC00": 1}')
    check_json(rb'["\\ud800", "\ud83d\ude00"]', max_depth=3)
    check_json(rb'"\ud800', max_depth=3)  # no JSON; whoever parses it says so
    check_json(json.dumps({"a": "é😀"}).encode(), max_depth=3)
    check_json('{"a": "é😀"}'.encode(), max_depth=3)
