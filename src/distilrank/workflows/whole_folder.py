"""A folder that appears whole or not at all, and a command that does not repeat itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distilrank.data.files import read_json
from distilrank.errors import InputError, ResumeError

MANIFEST = "manifest.json"


@contextmanager
def whole_folder(folder: str | Path) -> Iterator[Path]:
    """Yield an empty sibling folder that takes ``folder``'s name, and place, when the block ends without an error.

    A killed command leaves ``.NAME.partial``, which the next one clears away. A folder that is replaced is moved
    aside first and removed last.
    """
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    old = folder.with_name(f".{folder.name}.old")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for rest in (partial, old):
        shutil.rmtree(rest, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            folder.rename(old)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def is_done(
    folder: str | Path,
    *,
    verb: str,
    settings: Mapping[str, object],
    inputs: Mapping[str, str],
    overwrite: bool = False,
) -> bool:
    """Say whether a folder holds the finished result of this very command.

    Args:
        folder: The output folder.
        verb: The verb of the command line.
        settings: Settings as JSON values.
        inputs: Name -> SHA-256 of the files read.
        overwrite: Allow another command's folder to be replaced.

    Returns:
        True when there is nothing to do, False when the folder is to be made.

    Raises:
        ResumeError: The folder holds another command's result, and ``overwrite`` is False.
        InputError: The folder holds something that no such command made; it is never replaced.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / MANIFEST).is_file():
        raise InputError(f"exists and was not made by distilrank {verb}; give --out another folder", path=folder)
    manifest = read_json(folder / MANIFEST)
    before = {
        "verb": manifest.get("verb"),
        **_flat(manifest.get("settings", {})),
        **{f"input {name}": entry.get("sha256") for name, entry in manifest.get("inputs", {}).items()},
    }
    now = {"verb": verb, **_flat(settings), **{f"input {name}": digest for name, digest in inputs.items()}}
    if before["verb"] != verb:
        raise InputError(f"was made by distilrank {before['verb']}, not {verb}; give --out another folder", path=folder)
    different = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not different:
        return True
    if overwrite:
        return False
    raise ResumeError(
        f"{folder} was made by another command: {_difference(different[0], before, now)}; "
        "give --overwrite to replace it, or --out another folder"
    )


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested settings as one level, their names joined by points."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _difference(name: str, before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Say how a setting or input differs."""
    if name.startswith("input "):
        return f"{name} is another file"
    return f"{name} was {before.get(name)!r} and is now {now.get(name)!r}"
