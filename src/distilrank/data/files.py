"""Opening files whatever their compression, and writing them whole or not at all.

Compression is told by a file's first bytes when reading and by its suffix when writing. A file that is
written here appears under its name only once it is complete, so a killed command leaves the old file or none.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import json
import lzma
import os
import platform
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from distilrank.errors import InputError, MissingExtraError

_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
_RECORDED_LIBRARIES = (
    "numpy",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "onnxruntime",
    "bm25s",
    "ir_measures",
    "scipy",
)


def open_bytes(path: str | Path) -> BinaryIO:
    """Open a file for reading as bytes, unpacking gzip, xz or zstd on the way.

    Raises:
        InputError: There is no such file, or it may not be read.
        MissingExtraError: The file is zstd and the zstandard library is not installed.
    """
    try:
        raw = open(path, "rb")  # noqa: SIM115 (the caller closes it)
    except FileNotFoundError:
        raise InputError("there is no such file; check the path", path=path) from None
    except IsADirectoryError:
        raise InputError("is a folder where a file is expected", path=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None
    magic = raw.peek(6)[:6]
    if magic.startswith(_GZIP):
        return cast(BinaryIO, _ClosingGzip(raw))
    if magic.startswith(_XZ):
        return cast(BinaryIO, _ClosingXz(raw))
    if magic.startswith(_ZSTD):
        return cast(BinaryIO, io.BufferedReader(_ZstdReader(raw), buffer_size=1 << 17))
    return raw


def is_packed(path: str | Path) -> bool:
    """Return whether `open_bytes` would have to unpack the file."""
    try:
        with open(path, "rb") as file:
            return file.read(6).startswith((_GZIP, _XZ, _ZSTD))
    except OSError:
        return False


def open_text(path: str | Path) -> TextIO:
    r"""Open a UTF-8 text for reading, unpacked, without its byte order mark and with ``\n`` line ends."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig")


class _ClosingGzip(gzip.GzipFile):
    """A GzipFile that closes the file under it, which GzipFile leaves open when it is handed one."""

    def __init__(self, under: BinaryIO) -> None:
        super().__init__(fileobj=under, mode="rb")
        self._under = under

    def close(self) -> None:
        """Close this file and the one under it."""
        super().close()
        self._under.close()


class _ClosingXz(lzma.LZMAFile):
    """An LZMAFile that closes the file under it."""

    def __init__(self, under: BinaryIO) -> None:
        super().__init__(under)
        self._under = under

    def close(self) -> None:
        """Close this file and the one under it."""
        super().close()
        self._under.close()


class _ZstdReader(io.RawIOBase):
    """Unpacks zstd frames one after another.

    The library's own stream reader reports the end of a cut-off file as an ordinary end of file; this
    one raises EOFError.
    """

    def __init__(self, under: BinaryIO) -> None:
        try:
            import zstandard
        except ImportError:
            under.close()
            raise MissingExtraError("zstandard", extra="zstd", purpose="to read .zst files") from None
        self._under = under
        self._new_frame: Callable[[], Any] = zstandard.ZstdDecompressor().decompressobj
        self._errors = (zstandard.ZstdError,)
        self._frame = self._new_frame()
        self._inside = False
        self._ready = b""

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with unpacked bytes and return how many there are; 0 at the end."""
        while not self._ready:
            if not self._unpack_more():
                return 0
        chunk, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _unpack_more(self) -> bool:
        packed = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame, self._inside = self._new_frame(), False
        packed = packed or self._under.read(1 << 16)
        if not packed:
            if self._inside:
                raise EOFError("compressed file ended before the end of its last frame")
            return False
        try:
            self._ready = self._frame.decompress(packed)
        except self._errors as error:
            raise OSError(str(error)) from None
        self._inside = True
        return True

    def close(self) -> None:
        """Close this file and the one under it."""
        self._under.close()
        super().close()


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder that takes ``path``'s name on success and vanishes on failure.

    Folders that do not exist are made. Whoever writes the temporary file closes it before the block ends.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def atomic_write(path: str | Path) -> Iterator[TextIO]:
    r"""Open a UTF-8 text for writing that appears under its name only when the block ends without an error.

    Line ends are ``\n``. A name that ends in ``.gz``, ``.xz`` or ``.zst`` is packed accordingly, always to
    the same bytes for the same text.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    with atomic_path(path) as temporary:
        try:
            raw = open(temporary, "xb")  # noqa: SIM115 (closed two lines below)
        except OSError as error:
            raise _unwritable(path, error) from None
        with raw, _packing(Path(path).suffix, raw) as packed:
            text = io.TextIOWrapper(packed, encoding="utf-8", newline="\n")
            try:
                yield text
            finally:
                text.detach()


def _unwritable(path: str | Path, error: OSError) -> InputError:
    return InputError(f"cannot be written ({error.strerror}); choose another place", path=path)


@contextmanager
def _packing(suffix: str, raw: BinaryIO) -> Iterator[BinaryIO]:
    if suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed:
            yield cast(BinaryIO, packed)
    elif suffix == ".xz":
        with lzma.LZMAFile(raw, "wb") as packed_xz:
            yield cast(BinaryIO, packed_xz)
    elif suffix == ".zst":
        try:
            import zstandard
        except ImportError:
            raise MissingExtraError("zstandard", extra="zstd", purpose="to write .zst files") from None
        with zstandard.ZstdCompressor(write_checksum=True).stream_writer(raw, closefd=False) as packed_zstd:
            yield cast(BinaryIO, packed_zstd)
    else:
        yield raw


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write bytes to a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes as they are on disk, in hexadecimal."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path=path) from None


def write_json(path: str | Path, content: object) -> None:
    """Write ``content`` as JSON, keys in their own order, one space of indent, a newline at the end.

    Raises:
        ValueError: ``content`` holds NaN or an infinity, which JSON does not know.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    atomic_write_bytes(path, f"{text}\n".encode())


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: The file is missing, is not JSON or is nested too deeply.
    """
    try:
        with open_text(path) as file:
            return json.load(file)
    except json.JSONDecodeError as error:
        raise InputError(f"is not JSON ({error.msg})", path=path, line=error.lineno) from None
    except RecursionError:
        raise InputError("is nested too deeply; write it anew", path=path) from None
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text; convert it to UTF-8", path=path) from None


def write_manifest(
    folder: str | Path,
    *,
    verb: str,
    settings: Mapping[str, object],
    inputs: Mapping[str, Path],
    outputs: Mapping[str, Path],
    extra: Mapping[str, object] | None = None,
    name: str = "manifest.json",
) -> None:
    """Write ``manifest.json``: what was run, on what, with which versions, and what came out.

    Args:
        folder: Where the manifest goes.
        verb: The verb of the command line that made the folder.
        settings: Settings as JSON values.
        inputs: Name -> file that was read. Paths are recorded as given.
        outputs: Name -> file that was written; a path inside ``folder`` is recorded relative to it.
        extra: Further entries, placed at the end.
        name: Of the file, where a folder holds the results of several commands.
    """
    folder = Path(folder)
    write_json(
        folder / name,
        {
            "verb": verb,
            "settings": dict(settings),
            "versions": library_versions(),
            "inputs": {name: _described(path, folder) for name, path in inputs.items()},
            "outputs": {name: _described(path, folder) for name, path in outputs.items()},
            **(extra or {}),
        },
    )


def _described(path: Path, folder: Path) -> dict[str, object]:
    shown = path.relative_to(folder) if path.is_relative_to(folder) else path
    return {"path": shown.as_posix(), "bytes": path.stat().st_size, "sha256": file_hash(path)}


def library_versions() -> dict[str, str]:
    """Return the versions of Python, distilrank and those libraries that this process has loaded."""
    versions = {"python": platform.python_version()}
    for name in ("distilrank", *_RECORDED_LIBRARIES):
        if name == "distilrank" or name in sys.modules:
            with suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
    return versions
