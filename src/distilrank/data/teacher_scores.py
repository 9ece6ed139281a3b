"""The format of teacher scores: a folder of Parquet shards, a manifest, and a journal apart.

::

    manifest.json            what the scores are, whose, of what, how made; the shards' hashes once all are there
    scores-00000.parquet     query_id, doc_id (text), score (float32): as the teacher gives it
    journal.jsonl            when, where, how fast; the only file that two runs of one command differ in

Rows keep the order of the input. Where the input has no identifiers, ``query_id`` is the position of the group (or
pair) in its file and ``doc_id`` that of the passage in its group, both from 0; the manifest says so. How the rows are
cut into shards is decided before any is scored, and a shard appears whole or not at all, so that a killed run loses
what it had in hand and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distilrank.data.differences import first_difference
from distilrank.data.files import atomic_write_bytes, file_hash, library_versions, read_json, write_json
from distilrank.errors import InputError, MissingExtraError, ModelError, ResumeError, SettingsError

MANIFEST, JOURNAL = "manifest.json", "journal.jsonl"
VERB = "teach"
FORMAT = 1
SHARD_PAIRS = 8192
"""Pairs of a shard: what a killed run loses at most for each worker, and the window that is sorted by length."""

Meaning = Literal["logit", "cosine", "dot product", "probability", "given"]
"""What a score is: raw logit, cosine, dot product, probability, or whatever the file or service meant by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Consecutive rows.

    Attributes:
        query_ids: Of each row.
        doc_ids: Of each row.
        scores: (rows,) float32.
    """

    query_ids: list[str]
    doc_ids: list[str]
    scores: NDArray[np.float32]


class ScoresInTheMaking:
    """A folder of scores while it is filled; the same description resumes it, any other is refused.

    Args:
        folder: Made by ``claim``.
        description: What decides the scores, as JSON values; must hold ``scores`` (a ``Meaning``).
        pairs: Number of rows.
        shard_pairs: Rows of a shard.
    """

    def __init__(
        self, folder: Path, *, description: Mapping[str, object], pairs: int, shard_pairs: int = SHARD_PAIRS
    ) -> None:
        if shard_pairs < 1:
            raise SettingsError(f"shard_pairs is {shard_pairs} but must be at least 1")
        if not pairs:
            raise InputError("there are no pairs to score")
        self.folder = folder
        self.pairs = pairs
        self._shard_pairs = shard_pairs
        self._told = {"verb": VERB, "format": FORMAT, **description, "pairs": pairs, "shard_pairs": shard_pairs}

    def __len__(self) -> int:
        """Return the number of shards."""
        return -(-self.pairs // self._shard_pairs)

    def bounds(self, shard: int) -> tuple[int, int]:
        """Return the first row of a shard and the one after its last."""
        return shard * self._shard_pairs, min(self.pairs, (shard + 1) * self._shard_pairs)

    def claim(self) -> None:
        """Make the folder this description's, and remove what a killed run left half-written.

        Raises:
            ResumeError: The folder holds the scores of another description; the text names the first difference.
            InputError: Another verb made the folder.
        """
        file = self.folder / MANIFEST
        if file.is_file():
            stored = read_json(file)
            if stored.get("verb") != VERB:
                problem = f"was made by distilrank {stored.get('verb')}, not {VERB}; give --out another folder"
                raise InputError(problem, path=self.folder)
            difference = first_difference({k: v for k, v in stored.items() if k in self._told}, self._told)
            if difference:
                raise ResumeError(
                    f"{self.folder} holds the scores of another command: {difference}; give the same command to go on "
                    "with it, or --out another folder"
                )
            for torn in self.folder.glob(".*.tmp"):
                torn.unlink()
            return
        write_json(file, {**self._told, "versions": library_versions(), "shards": None})

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not there, in order."""
        return [shard for shard in range(len(self)) if not (self.folder / shard_name(shard)).is_file()]

    def write(self, number: int, shard: Shard) -> None:
        """Write a shard.

        Raises:
            ModelError: A score is not finite.
        """
        start, stop = self.bounds(number)
        if not len(shard.query_ids) == len(shard.doc_ids) == len(shard.scores) == stop - start:
            raise ValueError(f"shard {number} has {stop - start} rows, not {len(shard.scores)}")
        wrong = np.flatnonzero(~np.isfinite(shard.scores))
        if len(wrong):
            row = int(wrong[0])
            raise ModelError(
                f"the teacher gave {shard.scores[row]} to passage {shard.doc_ids[row]!r} of query "
                f"{shard.query_ids[row]!r}; its weights are broken, or overflow at this precision"
            )
        atomic_write_bytes(self.folder / shard_name(number), _packed(shard))

    def finish(self) -> None:
        """Write the shards' hashes into the manifest, by which the folder is whole.

        Raises:
            ModelError: It was whole before, and a shard that was lost since did not become what it had been.
        """
        manifest = read_json(self.folder / MANIFEST)
        shards = []
        for number in range(len(self)):
            start, stop = self.bounds(number)
            path = self.folder / shard_name(number)
            shards.append({"file": path.name, "pairs": stop - start, "sha256": file_hash(path)})
        if manifest["shards"] not in (None, shards):
            raise ModelError(
                f"a shard of {self.folder} is not what it was when the manifest was written; remove the folder and "
                "score again, on one kind of machine"
            )
        if manifest["shards"] is None:
            write_json(self.folder / MANIFEST, {**manifest, "shards": shards})


class TeacherScores:
    """A whole folder of scores; rows are read as they are asked for.

    Args:
        folder: As ``distilrank teach`` left it.

    Raises:
        InputError: It holds no scores, not all of them yet, or a shard is not as it was written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / MANIFEST).is_file():
            inner = sorted(path.parent.name for path in self.folder.glob(f"*/{MANIFEST}"))
            problem = f"; name one of {', '.join(inner)} in it" if inner else "; make some with: distilrank teach"
            raise InputError(f"holds no teacher scores{problem}", path=folder)
        self.manifest: dict[str, Any] = read_json(self.folder / MANIFEST)
        if self.manifest.get("verb") != VERB or self.manifest.get("format") != FORMAT:
            raise InputError(f"holds no teacher scores of format {FORMAT}, but something else", path=folder)
        if self.manifest["shards"] is None:
            done, wanted = (
                len(list(self.folder.glob("scores-*.parquet"))),
                -(-len(self) // self.manifest["shard_pairs"]),
            )
            problem = f"is not whole: {done} of {wanted} shards are there; give the same command again"
            raise InputError(problem, path=folder)
        for shard in self.manifest["shards"]:
            path = self.folder / shard["file"]
            if path.parent != self.folder:
                raise InputError("names shards outside its folder; score again", path=self.folder / MANIFEST)
            if file_hash(path) != shard["sha256"]:
                raise InputError("was changed after it was written; remove it, score again", path=path)

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.manifest["pairs"])

    @property
    def meaning(self) -> Meaning:
        """What the scores are."""
        meaning: Meaning = self.manifest["scores"]
        return meaning

    @property
    def input(self) -> dict[str, Any]:
        """What was scored: hashes, what was left out, whether identifiers are given or positions."""
        return dict(self.manifest["input"])

    @property
    def identity(self) -> str:
        """What tells these scores from others: a hash of all of them."""
        return hashlib.sha256("".join(shard["sha256"] for shard in self.manifest["shards"]).encode()).hexdigest()

    def shards(self) -> Iterator[Shard]:
        """Yield the rows a shard at a time, in order."""
        for shard in self.manifest["shards"]:
            yield _unpacked(self.folder / shard["file"])

    def rows(self) -> Iterator[tuple[str, str, float]]:
        """Yield (query_id, doc_id, score) in order."""
        for shard in self.shards():
            yield from zip(shard.query_ids, shard.doc_ids, shard.scores.tolist(), strict=True)


class ScoreTable:
    """Scores found by query_id and doc_id; takes 12 bytes a row, in a nameless file and not in memory.

    Two different pairs of identifiers share a key with a probability of 2^-64. Of rows of the same identifiers, the
    first one counts.

    Args:
        scores: Read once, here.
    """

    def __init__(self, scores: TeacherScores) -> None:
        self.scores = scores
        self._keys, self._values = _scratch(len(scores), "<u8"), _scratch(len(scores), "<f4")
        keys, start = np.empty(len(scores), "<u8"), 0
        values = np.empty(len(scores), "<f4")
        for shard in scores.shards():
            stop = start + len(shard.scores)
            keys[start:stop] = _keys(shard.query_ids, shard.doc_ids)
            values[start:stop] = shard.scores
            start = stop
        order = np.argsort(keys, kind="stable")
        self._keys[:], self._values[:] = keys[order], values[order]

    def find(self, query_id: str, doc_ids: Sequence[str]) -> NDArray[np.float32]:
        """Return the score of each passage, (passages,), NaN where there is none."""
        wanted = _keys([query_id] * len(doc_ids), doc_ids)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found = np.where(self._keys[places] == wanted, self._values[places], np.float32(np.nan))
        return np.asarray(found, np.float32)


def shard_name(number: int) -> str:
    """Return the name of a shard's file."""
    return f"scores-{number:05}.parquet"


def _keys(query_ids: Sequence[str], doc_ids: Sequence[str]) -> NDArray[np.uint64]:
    digests = b"".join(
        hashlib.blake2b(f"{query_id}\0{doc_id}".encode(), digest_size=8).digest()
        for query_id, doc_id in zip(query_ids, doc_ids, strict=True)
    )
    return np.frombuffer(digests, dtype="<u8")


def _scratch(count: int, dtype: str) -> NDArray[Any]:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype=dtype, mode="w+", shape=(count,))


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", extra="teach", purpose="for teacher scores") from None
    return pyarrow


def _packed(shard: Shard) -> bytes:
    pyarrow = _pyarrow()
    schema = pyarrow.schema(
        [
            pyarrow.field("query_id", pyarrow.string(), nullable=False),
            pyarrow.field("doc_id", pyarrow.string(), nullable=False),
            pyarrow.field("score", pyarrow.float32(), nullable=False),
        ]
    )
    table = pyarrow.table([shard.query_ids, shard.doc_ids, np.asarray(shard.scores, np.float32)], schema=schema)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _unpacked(path: Path) -> Shard:
    table = _pyarrow().parquet.read_table(path, use_threads=False)
    return Shard(
        query_ids=table["query_id"].to_pylist(),
        doc_ids=table["doc_id"].to_pylist(),
        scores=table["score"].to_numpy(),
    )
