"""A request's body, looked at before anything parses it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from distilrank.serve.refusals import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Also matches a text that never ends, so that the search goes over a body once whatever is in it.
_JSON_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+\\?(?:"|\Z)', re.DOTALL)
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


CLIENT_GONE = 499
"""Status in log and metrics of a request whose client left; nobody is sent it."""

DISCARDED_AT_MOST = 8
"""Times ``max_bytes``. What is too long is read on to that point: whoever is still sending would not see a refusal."""


async def read_body(headers: list[tuple[bytes, bytes]], receive: Receive, *, max_bytes: int, seconds: float) -> bytes:
    """Read a JSON body whole.

    Raises:
        Refusal: 415, it is no JSON or is packed; 413, it is too long; 408, it takes too long; 499, the client left.
    """
    sent = {name.lower(): value.decode("latin-1").strip().lower() for name, value in headers}
    kind = sent.get(b"content-type", "").partition(";")[0].strip()
    # A page of another origin may send texts and forms without asking, but no JSON.
    if kind != "application/json":
        raise Refusal(415, "send a body of Content-Type application/json")
    if sent.get(b"content-encoding", "identity") != "identity":
        raise Refusal(415, "send the body unpacked, without Content-Encoding")
    too_long = Refusal(413, f"the body is longer than the {max_bytes:,} bytes that this server takes")
    length = sent.get(b"content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > DISCARDED_AT_MOST * max_bytes:
        raise too_long
    body, size, more = bytearray(), 0, True
    try:
        async with asyncio.timeout(seconds):
            while more and size <= DISCARDED_AT_MOST * max_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(CLIENT_GONE, "the client left")
                size += len(message.get("body", b""))
                if size <= max_bytes:
                    body += message.get("body", b"")
                more = message.get("more_body", False)
    except TimeoutError:
        raise Refusal(408, f"the body did not arrive within {seconds:g} s") from None
    if size > max_bytes:
        raise too_long
    return bytes(body)


def check_json(body: bytes, *, max_depth: int) -> None:
    """Refuse bodies that a parser would choke on, or that hold what cannot be written as UTF-8 again.

    Raises:
        Refusal: 400, it is no UTF-8 text, is nested too deep or has half a surrogate pair in a text.
    """
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(400, "the body is not UTF-8 text") from None
    # json.loads would take a body with NUL for UTF-16 or UTF-32, in which nothing below holds.
    if b"\x00" in body:
        raise Refusal(400, "the body is not JSON")
    if is_deeper(body, max_depth):
        raise Refusal(400, f"the body is nested deeper than {max_depth} levels, or is not JSON")
    if re.search(rb"\\u[dD][89a-fA-F]", body):
        try:
            json.dumps(json.loads(body), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Refusal(400, "a text of the body holds half a surrogate pair") from None
        except ValueError:
            return  # no JSON at all, which its parser says better


def is_deeper(body: bytes, max_depth: int) -> bool:
    """Tell whether arrays and objects are nested deeper, or their brackets do not even match.

    Takes time in proportion to the body's length, whatever is in it.
    """
    brackets = _JSON_TEXT.sub(b"", body).translate(_AS_SQUARE, _NO_BRACKETS)
    for _ in range(max_depth):
        brackets = brackets.replace(b"[]", b"")  # the innermost level
    return bool(brackets)
