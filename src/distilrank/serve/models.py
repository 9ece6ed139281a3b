"""What a server has loaded, by name; a folder with new content takes its name's place while requests go on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from distilrank.data.files import file_hash
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError
from distilrank.runtime.calibration import Calibration, read_calibration
from distilrank.runtime.classifier import Classifier, label_names, sigmoid
from distilrank.runtime.folder import Precision, network_file
from distilrank.runtime.ranker import Ranker
from distilrank.serve.batching import Pair, Scores
from distilrank.serve.refusals import Refusal

WARM_UP_WORDS = (1, 30, 300)

Fingerprint = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedModel:
    """A model in memory.

    Attributes:
        folder: Where it comes from.
        scorer: Answers pairs.
        tokenizer: Counts tokens, truncated as the scorer truncates them.
        file: The network that is run.
        sha256: Of that file.
        calibration: What a ranker's logits mean; None where nobody ran ``distilrank calibrate``.
        loaded_at: Unix time.
    """

    folder: Path
    scorer: Scores
    tokenizer: PairTokenizer
    file: Path
    sha256: str
    calibration: Calibration | None = None
    loaded_at: float = field(default_factory=time.time)

    @property
    def classifier(self) -> Classifier | None:
        """The classifier, or None for a ranker."""
        return self.scorer if isinstance(self.scorer, Classifier) else None

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return a ranker's scores from 0 to 1: calibrated probabilities where there are any, else the sigmoid."""
        return sigmoid(logits) if self.calibration is None else self.calibration.probabilities(logits)

    @property
    def max_tokens(self) -> int:
        """Longest pair; what is longer is truncated."""
        return self.tokenizer.max_tokens

    @cached_property
    def _whole(self) -> PairTokenizer:
        return self.tokenizer.with_max_tokens(1 << 30)

    @cached_property
    def _plain(self) -> Tokenizer:
        return self.tokenizer.backend

    def count_tokens(self, pairs: Sequence[Pair], *, truncated: bool = True) -> list[int]:
        """Return the tokens of each pair, special tokens included."""
        tokenizer = self.tokenizer if truncated else self._whole
        counts = [0] * len(pairs)
        for single in (True, False):
            places = [place for place, (_, second) in enumerate(pairs) if (second is None) == single]
            seconds = None if single else [pairs[place][1] or "" for place in places]
            encoded = tokenizer.encode([pairs[place][0] for place in places], seconds)
            for place, item in zip(places, encoded, strict=True):
                counts[place] = len(item)
        return counts

    def shorten(self, texts: Sequence[str], max_tokens: int) -> list[str]:
        """Return texts cut after so many tokens of their own."""
        encodings = self._plain.encode_batch(list(texts), add_special_tokens=False)
        return [
            text if len(encoding) <= max_tokens else text[: encoding.offsets[max_tokens - 1][1]]
            for text, encoding in zip(texts, encodings, strict=True)
        ]


def load_served(folder: Path, *, threads: int | None = None, precision: Precision = "auto") -> ServedModel:
    """Load a ranker, or a classifier when ``config.json`` says so, and let it answer once.

    Args:
        folder: Of the model.
        threads: Of one forward pass; None as in ``Ranker.load``.
        precision: Which of its files is run.

    Raises:
        ModelError: Something is missing or broken, or its answers are not numbers.
    """
    kind: type[Ranker] | type[Classifier] = Ranker
    if (folder / "config.json").is_file():
        labels, meaning = label_names(folder)
        kind = Classifier if len(labels) > 1 or meaning == "numbers" else Ranker
    scorer: Scores = kind.load(folder, threads=threads, precision=precision)
    words = ["word " * count for count in WARM_UP_WORDS]
    if not np.isfinite(scorer.score([("word", text) for text in words])).all():
        raise ModelError(f"the model in {folder} answers something that is not a number; export it again")
    halves = folder / "onnx" / "encoder.onnx"  # of a siamese network, which is not run as a whole
    file = halves if kind is Ranker and halves.is_file() else network_file(folder, precision)
    return ServedModel(
        folder=folder,
        scorer=scorer,
        tokenizer=PairTokenizer.from_folder(folder),
        file=file,
        sha256=file_hash(file),
        calibration=read_calibration(folder) if kind is Ranker else None,
    )


def fingerprint(folder: Path) -> Fingerprint:
    """Return what tells whether the files of a folder have been replaced or written to; empty when it is gone."""
    found = []
    folder = Path(os.path.realpath(folder))
    for place in (folder, folder / "onnx"):
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_file():
                        stat = entry.stat()
                        found.append((entry.path, stat.st_size, stat.st_mtime_ns, stat.st_ino))
        except OSError:
            return ()
    return tuple(sorted(found))


class Models:
    """The models of a server, by name. A name may be asked for at any time, from any thread.

    Args:
        folders: Name -> model folder, the default one first. Names of one folder share one model.
        load: Loads a folder.
        tell: Told of every change: an event's name and its facts.

    Raises:
        ModelError: A folder cannot be loaded.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        load: Callable[[Path], ServedModel] = load_served,
        tell: Callable[..., None] = lambda event, **facts: None,
    ) -> None:
        self._folders = dict(folders)
        self._load = load
        self._tell = tell
        self._seen = {folder: fingerprint(folder) for folder in self._folders.values()}
        self._settled = dict(self._seen)
        self._models = {folder: load(folder) for folder in self._seen}
        self._refreshing = threading.Lock()

    @property
    def names(self) -> list[str]:
        """All names, the default one first."""
        return list(self._folders)

    def find(self, name: str | None) -> tuple[str, ServedModel]:
        """Return a model and its name; no name, or an empty one, means the default.

        Raises:
            Refusal: 404, there is no model of that name.
        """
        name = name or self.names[0]
        if name not in self._folders:
            raise Refusal(404, f"there is no such model; there is {', '.join(self.names)}")
        return name, self._models[self._folders[name]]

    def refresh(self, *, at_once: bool = False) -> None:
        """Load the folders that have changed; requests under way keep the model that they began with.

        A folder that cannot be loaded changes nothing and is not tried again before it changes again.

        Args:
            at_once: Load a folder when it differs. Otherwise only when it differs and was found the same twice in a
                row: somebody may be writing to it.
        """
        with self._refreshing:
            for folder, seen in self._seen.items():
                now = fingerprint(folder)
                if now == seen:
                    continue
                settled, self._settled[folder] = self._settled[folder] == now, now
                if settled or at_once:
                    self._seen[folder] = now
                    self._replace(folder)

    def _replace(self, folder: Path) -> None:
        begun = time.perf_counter()
        try:
            model = self._load(folder)
        except Exception as error:  # whatever is wrong with the new one, the old one serves on
            self._tell("reload_failed", level="error", folder=str(folder), problem=str(error))
            return
        self._models[folder] = model
        seconds = round(time.perf_counter() - begun, 3)
        self._tell("reloaded", folder=str(folder), sha256=model.sha256, seconds=seconds)


def read_names(models: Sequence[str]) -> dict[str, Path]:
    """Read ``[NAME=]FOLDER`` as the command line takes it; without a name, the folder's own.

    Raises:
        InputError: There is none, a name is empty, or one is given twice.
    """
    if not models:
        raise InputError("give at least one model folder")
    named: dict[str, Path] = {}
    for model in models:
        name, equals, path = model.partition("=")
        if not equals:
            name, path = Path(model).resolve().name, model
        name = name.strip()
        if not name or not path:
            raise InputError(f"{model!r} is not NAME=FOLDER")
        if name in named:
            raise InputError(f"two models are called {name!r}; name them with NAME=FOLDER")
        named[name] = Path(path)
    return named
