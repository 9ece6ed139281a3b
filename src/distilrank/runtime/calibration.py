"""What a ranker's logit means: a probability of relevance, as ``distilrank calibrate`` fitted it.

``calibration.json`` lies beside the weights, which it never changes, and ranking is by logit whatever it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import file_hash
from distilrank.errors import ModelError
from distilrank.runtime.classifier import sigmoid
from distilrank.runtime.folder import QUALITY, read_object

CALIBRATION = "calibration.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperature:
    """Platt's scaling: p = sigmoid((z - shift) / temperature).

    Attributes:
        temperature: More than 0; the lower, the surer.
        shift: The logit at which relevant and not are equally likely.
    """

    method: ClassVar[str] = "temperature"
    temperature: float
    shift: float

    def __post_init__(self) -> None:
        """Refuse what would change the order."""
        if not (_are_numbers([self.temperature, self.shift]) and self.temperature > 0):
            raise ModelError("temperature should be a number above 0 and shift a number")

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the probability of each logit, of any shape."""
        return sigmoid((np.asarray(logits, np.float64) - self.shift) / self.temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class Isotonic:
    """A curve through points, straight between them and level beyond them.

    Attributes:
        logits: Of the points, rising.
        values: Their probabilities, never falling.
    """

    method: ClassVar[str] = "isotonic"
    logits: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what is no such curve."""
        if not (_are_numbers(self.logits) and _are_numbers(self.values) and len(self.logits) == len(self.values) > 0):
            raise ModelError("logits and values should be as many numbers, at least one")
        if np.any(np.diff(self.logits) <= 0) or np.any(np.diff(self.values) < 0):
            raise ModelError("logits should rise, and values never fall")
        if self.values[0] < 0 or self.values[-1] > 1:
            raise ModelError("values should be from 0 to 1")

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the probability of each logit, of any shape."""
        return np.asarray(np.interp(np.asarray(logits, np.float64), self.logits, self.values))


Calibration = Temperature | Isotonic


def read_calibration(folder: str | Path) -> Calibration | None:
    """Return the calibration of a model folder; None where ``distilrank calibrate`` has not been run.

    Raises:
        ModelError: The file is broken, or was made for other weights.
    """
    path = Path(folder) / CALIBRATION
    if not path.is_file():
        return None
    stored = read_object(path)
    if stored.get("weights") != weights_identity(path.parent):
        raise ModelError(f"{path} was made for other weights; remove it, or run: distilrank calibrate {folder}")
    try:
        return _parsed(stored)
    except (ModelError, KeyError, OverflowError, TypeError) as problem:
        raise ModelError(f"{path} is broken ({problem}); remove it, or run: distilrank calibrate {folder}") from None


def require_calibration(folder: str | Path) -> Calibration:
    """Return the calibration of a model folder.

    Raises:
        ModelError: It has none, see ``read_calibration``.
    """
    found = read_calibration(folder)
    if found is None:
        raise ModelError(f"{folder} is not calibrated; run: distilrank calibrate {folder} --data DATA")
    return found


def as_json(calibration: Calibration) -> dict[str, object]:
    """Return what ``read_calibration`` reads."""
    return {"method": calibration.method, **asdict(calibration)}


def weights_identity(folder: Path) -> str:
    """Return the SHA-256 of the float file, or of the one that the 8-bit files of a folder without it were made of."""
    path = folder / "onnx" / "model.onnx"
    if path.is_file():
        return file_hash(path)
    made_of = read_object(folder / QUALITY).get("fp32")
    return str(made_of.get("sha256")) if isinstance(made_of, dict) else ""


def _parsed(stored: Mapping[str, Any]) -> Calibration:
    if stored.get("method") == Temperature.method:
        return Temperature(temperature=stored["temperature"], shift=stored["shift"])
    if stored.get("method") == Isotonic.method:
        return Isotonic(logits=tuple(stored["logits"]), values=tuple(stored["values"]))
    raise ModelError(f"method should be {Temperature.method} or {Isotonic.method}")


def _are_numbers(values: Any) -> bool:
    """Tell whether these are finite numbers, and nothing that merely looks like them."""
    return all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )
