"""Who takes part in a benchmark, said in a way that another process, or another Python, can act upon."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from distilrank.runtime.folder import Precision, network_file

Runner = Literal["distilrank", "torch", "sentence-transformers", "fastembed", "flashrank"]
"""``distilrank`` runs an export, ``torch`` the weights by distilrank's scorer, the others as their packages do it."""

PEERS: tuple[Runner, ...] = ("sentence-transformers", "fastembed", "flashrank")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model folder and what runs it.

    Attributes:
        name: In tables.
        folder: Of the model.
        runner: What runs it.
        precision: Of the export that is run; of no meaning to those that run weights.
        threads: Of one forward pass.
        batch_tokens: Limit on the padded tokens of a batch of distilrank's. None: what it takes by itself.
        python: The interpreter that has the runner and distilrank.
    """

    name: str
    folder: Path
    runner: Runner = "distilrank"
    precision: Precision = "fp32"
    threads: int = 1
    batch_tokens: int | None = None
    python: str = sys.executable

    def to_json(self) -> str:
        """Return everything as one line."""
        return json.dumps({**asdict(self), "folder": str(self.folder)})

    @classmethod
    def from_json(cls, line: str) -> Entry:
        """Read what ``to_json`` wrote."""
        fields = json.loads(line)
        return cls(**{**fields, "folder": Path(fields["folder"])})

    @property
    def network_files(self) -> list[Path]:
        """The files whose numbers are run.

        Raises:
            ModelError: There are none of the precision asked for.
        """
        if self.runner in ("torch", "sentence-transformers"):
            return sorted(self.folder.glob("*.safetensors"))
        halves = [self.folder / "onnx" / f"{half}.onnx" for half in ("encoder", "head")]
        if self.runner == "distilrank" and halves[0].is_file():
            return halves
        return [network_file(self.folder, self.precision)]
