"""API keys: where they come from, and whether a request holds one."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

from distilrank.data.files import open_text
from distilrank.errors import InputError


class ApiKeys:
    """The keys that a server accepts; their hashes, rather, so that no dump or traceback shows one."""

    def __init__(self, keys: list[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        """Whether any key is asked for at all."""
        return bool(self._digests)

    def accept(self, authorization: str) -> bool:
        """Tell whether an ``Authorization`` header holds a key.

        Takes the same time whichever keys there are and however much of one is right: digests are compared, each in
        constant time, and all of them.
        """
        scheme, _, given = authorization.partition(" ")
        digest = _digest(given.strip())
        right = 0
        for known in self._digests:
            right += hmac.compare_digest(digest, known)
        return right > 0 and scheme.lower() == "bearer"


def read_keys(*, variable: str | None = None, path: Path | None = None) -> ApiKeys:
    """Read keys, one a line, from an environment variable or a file; from neither, none are asked for.

    Raises:
        InputError: The variable or the file is missing or holds no key.
    """
    if variable is not None and path is not None:
        raise InputError("give the keys by an environment variable or by a file, not both")
    if variable is not None:
        text, where = os.environ.get(variable, ""), f"the environment variable {variable}"
    elif path is not None:
        with open_text(path) as file:
            text, where = file.read(), str(path)
    else:
        return ApiKeys([])
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if not keys:
        raise InputError(f"{where} holds no API key; put one a line there, or leave the option out")
    if any(not key.isascii() or not key.isprintable() or " " in key for key in keys):
        raise InputError(f"{where} holds a key with characters that no header can carry; use ASCII without spaces")
    return ApiKeys(keys)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
