"""Vectors of passages on disk, computed ahead by a network that reads each passage by itself.

::

    vectors.npy      (passages, width), float16 or float32, memory-mapped
    keys.npy         (passages,) uint64, a hash of each passage's text
    ids.txt          the doc_id of each passage, one a line
    manifest.json    weights and tokeniser that made them (hashes), limit on tokens, shape

A vector is found by the text that it was made of, so that a changed passage is never scored by an old vector. Two
different texts share a key with a probability of 2^-64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.data.files import atomic_path, file_hash, read_json, write_json
from distilrank.data.tokens import PairTokenizer
from distilrank.errors import InputError, ModelError, ResumeError
from distilrank.records import Passage

FOLDER = "passage-vectors"
"""Where in a model's folder its passage vectors lie."""
AT_ONCE = 1024
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


class PassageVectors:
    """Vectors that were computed ahead; nothing is read before it is asked for.

    Args:
        folder: As ``write_passage_vectors`` left it.
        identity: What the network that will use them is, as ``write_passage_vectors`` was told.

    Raises:
        InputError: There are no vectors, or not all of them yet.
        ModelError: They were made by another network.
    """

    def __init__(self, folder: str | Path, *, identity: Mapping[str, object]) -> None:
        self.folder = Path(folder)
        if not (self.folder / "manifest.json").is_file():
            raise InputError("holds no whole passage vectors; make them with: distilrank encode", path=folder)
        manifest = read_json(self.folder / "manifest.json")
        for name, value in identity.items():
            if manifest["made_by"].get(name) != value:
                raise ModelError(
                    f"the passage vectors in {folder} were made with other {name} than this model's "
                    f"({manifest['made_by'].get(name)} and {value}); make them anew with: distilrank encode"
                )
        self._vectors = np.load(self.folder / "vectors.npy", mmap_mode="r")
        keys = np.load(self.folder / "keys.npy")
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self._keys)

    def find(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the row of each text, (texts,), -1 where there is none."""
        wanted = text_keys(texts)
        if not len(self):
            return np.full(len(wanted), -1)
        places = np.searchsorted(self._keys, wanted)
        places[places == len(self._keys)] = 0
        return np.where(self._keys[places] == wanted, self._order[places], -1)

    def rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return vectors by their rows, (rows, width)."""
        return np.asarray(self._vectors[rows], dtype=np.float32)


def vectors_identity(folder: str | Path, tokenizer: PairTokenizer) -> dict[str, object]:
    """Return what decides the vectors that a saved siamese network gives to passages.

    Raises:
        ModelError: The folder lacks the weights that its vectors are told by.
    """
    weights = Path(folder) / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{folder} lacks model.safetensors, by which passage vectors are told to be its own")
    return {
        "weights": file_hash(weights),
        "tokeniser": tokenizer.identity,
        "limit on words": tokenizer.max_tokens,
    }


def text_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return a hash of each text, (texts,)."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8")


def write_passage_vectors(
    folder: Path,
    passages: Mapping[str, Passage],
    encode: Encode,
    *,
    width: int,
    identity: Mapping[str, object],
    collection: str,
    dtype: Literal["float16", "float32"] = "float16",
    progress: Callable[[int], None] | None = None,
) -> int:
    """Encode all passages and return how many there are; a killed run goes on where it was.

    Args:
        folder: Made when missing.
        passages: A ``PassageStore``, or any mapping of doc_id to passage of a fixed order.
        encode: Texts -> (texts, width).
        width: Of a vector.
        identity: What decides the vectors: hashes of weights and tokeniser, limit on tokens.
        collection: Hash of the passages' file.
        dtype: float16 takes half the space and changes scores in the third digit.
        progress: Called with the number of passages done.

    Raises:
        ResumeError: The folder holds a part of other vectors.
    """
    count = len(passages)
    told = {"made_by": dict(identity), "collection": collection, "shape": [count, width], "dtype": dtype}
    if (folder / "manifest.json").is_file() and read_json(folder / "manifest.json") == told:
        return count
    done = _begin(folder, told)
    vectors = np.lib.format.open_memmap(folder / "unfinished.npy", "r+")
    keys = np.empty(count, "<u8")
    ids: list[str] = []
    pending: list[str] = []
    for doc_id, passage in passages.items():
        ids.append(doc_id)
        pending.append(passage.content)
        if len(pending) == AT_ONCE or len(ids) == count:
            start = len(ids) - len(pending)
            keys[start : len(ids)] = text_keys(pending)
            if len(ids) > done:
                vectors[start : len(ids)] = encode(pending)
                vectors.flush()
                write_json(folder / "unfinished.json", {**told, "done": len(ids)})
            pending = []
            if progress is not None:
                progress(len(ids))
    _finish(folder, keys, ids, told)
    return count


def _begin(folder: Path, told: Mapping[str, Any]) -> int:
    """Return how many passages are done; where there are none, make room for all."""
    state, unfinished = folder / "unfinished.json", folder / "unfinished.npy"
    if state.is_file() and unfinished.is_file():
        before = read_json(state)
        done = int(before.pop("done"))
        if before != told:
            raise ResumeError(f"{folder} holds a part of other passage vectors; remove it or give --out another folder")
        return done
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("manifest.json", "vectors.npy", "keys.npy", "ids.txt"):  # of another network
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    with atomic_path(unfinished) as temporary:
        np.lib.format.open_memmap(temporary, "w+", dtype=told["dtype"], shape=tuple(told["shape"])).flush()
    write_json(state, {**told, "done": 0})
    return 0


def _finish(folder: Path, keys: NDArray[np.uint64], ids: Sequence[str], told: Mapping[str, object]) -> None:
    """Give the files their names, the manifest last."""
    with atomic_path(folder / "keys.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, keys)
    with atomic_path(folder / "ids.txt") as temporary:
        temporary.write_text("".join(f"{doc_id}\n" for doc_id in ids), encoding="utf-8", newline="\n")
    (folder / "unfinished.npy").replace(folder / "vectors.npy")
    write_json(folder / "manifest.json", told)
    (folder / "unfinished.json").unlink()
