"""What a model folder says about how it is run, looked at before anything of it is loaded.

::

    onnx/model.onnx                     the float network
    onnx/model_qint8_avx512_vnni.onnx   ... in 8 bits, for processors of this kind
    onnx/quality.json                   how the 8-bit files were judged (``export --precision int8``)
    onnx/encoder.onnx, onnx/head.onnx   the halves of a siamese network
    runtime.json                        threads and batch size, measured on one machine (``export --tune``)
    calibration.json                    what a logit means (``calibrate``)
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from distilrank.data.files import read_json
from distilrank.data.pickles import refuse_pickles
from distilrank.errors import InputError, ModelError
from distilrank.runtime.cpu import this_cpu

Precision = Literal["auto", "fp32", "int8"]
"""``auto``: 8 bits where they were judged on this kind of processor and passed, else fp32."""

RUNTIME = "runtime.json"
QUALITY = Path("onnx") / "quality.json"


def require_folder(folder: str | Path) -> Path:
    """Return a model folder after looking at it.

    Raises:
        ModelError: There is none, or it has its weights in a pickle alone.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}")
    refuse_pickles(folder)
    return folder


def network_file(folder: Path, precision: Precision = "auto") -> Path:
    """Return the file to be run.

    Raises:
        ModelError: There is none, or none of the precision asked for.
    """
    floating = folder / "onnx" / "model.onnx"
    small = None if precision == "fp32" else _judged_file(folder)
    if small is None and not floating.is_file():
        raise ModelError(f"{folder} holds no onnx/model.onnx; run: distilrank export {folder}")
    if small is None and precision == "int8":
        raise ModelError(
            f"{folder} holds no 8-bit file that passed on a processor like this one ({this_cpu().arithmetic}); run: "
            f"distilrank export {folder} --precision int8 --data DATA"
        )
    return small or floating


def _judged_file(folder: Path) -> Path | None:
    """Return the 8-bit file that was judged on a processor of this kind, passed, and has not changed since."""
    quality = read_object(folder / QUALITY)
    arithmetic = this_cpu().arithmetic
    files = quality.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(facts, dict) for facts in files.values()):
        raise ModelError(f"{folder / QUALITY} should hold an object of files; export the model again")
    for name, facts in files.items():
        path = folder / "onnx" / Path(name).name
        fits = facts.get("arithmetic") == facts.get("judged_on") == arithmetic
        if fits and path.is_file() and path.stat().st_size == facts.get("bytes"):
            return path
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was measured to be fastest on a machine; None where nothing was.

    Attributes:
        threads: Of one forward pass.
        batch_tokens: Limit on the padded tokens of a batch.
        pad_to: Lengths are padded to multiples of this.
    """

    threads: int | None = None
    batch_tokens: int | None = None
    pad_to: int | None = None


def tuned(folder: Path) -> Tuned:
    """Return what ``runtime.json`` says, if it was measured on a machine like this one.

    Raises:
        ModelError: The file holds something else.
    """
    stored = read_object(folder / RUNTIME)
    if stored.get("machine") != machine():
        return Tuned()
    found = {each.name: stored.get(each.name) for each in fields(Tuned)}
    if any(value is not None and (not isinstance(value, int) or value < 1) for value in found.values()):
        raise ModelError(f"{folder / RUNTIME} should hold whole numbers from 1; make it anew with: export --tune")
    return Tuned(**found)


def machine() -> dict[str, object]:
    """Return what decides whether a measurement holds here: the processor, and how many cores this process may use."""
    return {"cpu": this_cpu().as_dict(), "cores": usable_cores()}


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_object(path: Path) -> dict[str, Any]:
    """Return a JSON object; an empty one where there is no file.

    Raises:
        ModelError: The file holds something else.
    """
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except InputError as error:
        raise ModelError(f"{error}; remove it, or export the model again") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} should hold a JSON object; remove it, or export the model again")
    return content
