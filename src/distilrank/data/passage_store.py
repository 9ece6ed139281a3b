"""Passages on disk: a mapping from doc_id to `Passage` that holds millions in almost no memory.

The file is an SQLite database with one table in the collection's order and an index of doc_ids.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, ValuesView
from itertools import islice
from pathlib import Path
from typing import Any

from distilrank.data.files import atomic_path
from distilrank.data.lines import BadLines
from distilrank.errors import InputError
from distilrank.records import Passage

_APPLICATION_ID = 0x64726E6B  # "drnk": tells our files from any other SQLite database
_VERSION = 1
_BATCH = 10_000
_IDS_PER_QUESTION = 500  # SQLite's oldest limit on parameters is 999


class PassageStore(Mapping[str, Passage]):
    """A read-only collection of passages in a file, in insertion order.

    May be pickled, forked and used from several threads: each process and thread opens the file for itself.

    Args:
        path: A file made by `build`.

    Raises:
        InputError: There is no such file, or it is not a passage store of this version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._local = threading.local()
        if not self.path.is_file():
            raise InputError("there is no such passage store; check the path", path=path)
        try:
            made_by = (self._number("PRAGMA application_id"), self._number("PRAGMA user_version"))
            self._length = self._number("SELECT coalesce(max(position), 0) FROM passages")
        except sqlite3.DatabaseError:
            made_by = (0, 0)
        if made_by != (_APPLICATION_ID, _VERSION):
            problem = f"is not a passage store of version {_VERSION}; remove it so that it is built anew"
            raise InputError(problem, path=path)

    @classmethod
    def build(
        cls,
        passages: Iterable[Passage],
        path: str | Path,
        *,
        bad: BadLines | None = None,
        source: str | Path | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> PassageStore:
        """Write the passages to ``path``, whole or not at all, and open it.

        Args:
            passages: Any number of them; they are not held in memory.
            path: The file to make; one that exists is replaced.
            bad: The `BadLines` that ``passages`` was read with. A repeated doc_id counts as a bad line too
                (the first of its passages is kept), and everything skipped is noted in the store.
            source: The file the passages come from, for messages.
            progress: Called now and then with the number of passages written so far.

        Raises:
            InputError: A doc_id is used twice and ``bad`` does not allow it, or the disk is full.
        """
        bad = BadLines() if bad is None else bad
        before = len(bad.skipped)
        try:
            with atomic_path(path) as temporary:
                connection = sqlite3.connect(temporary, isolation_level=None)
                try:
                    _fill(connection, passages, progress)
                    _index(connection, bad, source)
                    _note(connection, bad.skipped[before:])
                finally:
                    connection.close()
        except sqlite3.OperationalError as error:
            problem = f"the passage store cannot be written ({error}); free some disk space or choose another place"
            raise InputError(problem, path=path) from None
        return cls(path)

    @property
    def skipped(self) -> list[InputError]:
        """The bad lines that were skipped when the store was built."""
        return [InputError(problem) for (problem,) in self._connection.execute("SELECT problem FROM skipped")]

    def __len__(self) -> int:
        """Return the number of passages."""
        return self._length

    def __getitem__(self, doc_id: str) -> Passage:
        """Return the passage with this doc_id."""
        # SQLite would take the number 10 for the text "10", which a mapping of strings does not.
        known = isinstance(doc_id, str)
        found = self._ask("SELECT doc_id, text, title FROM passages WHERE doc_id = ?", doc_id) if known else None
        if found is None:
            raise KeyError(doc_id)
        return Passage(*found)

    def __contains__(self, doc_id: object) -> bool:
        """Return whether there is a passage with this doc_id."""
        return isinstance(doc_id, str) and self._ask("SELECT 1 FROM passages WHERE doc_id = ?", doc_id) is not None

    def __iter__(self) -> Iterator[str]:
        """Yield the doc_ids in insertion order."""
        for (doc_id,) in self._connection.execute("SELECT doc_id FROM passages ORDER BY position"):
            yield doc_id

    def values(self) -> ValuesView[Passage]:
        """Return the passages in insertion order, read as they are asked for."""
        return _Passages(self)

    def items(self) -> ItemsView[str, Passage]:
        """Return the pairs of doc_id and passage in insertion order, read as they are asked for."""
        return _Pairs(self)

    def position(self, index: int) -> Passage:
        """Return the passage at ``index``, from 0, in insertion order.

        Raises:
            IndexError: There is none; a negative index counts from the end.
        """
        place = index + self._length if index < 0 else index
        found = self._ask("SELECT doc_id, text, title FROM passages WHERE position = ?", place + 1)
        if found is None:
            raise IndexError(f"no passage {index} among {self._length}")
        return Passage(*found)

    def get_many(self, doc_ids: Iterable[str]) -> dict[str, Passage]:
        """Return doc_id -> passage for those of ``doc_ids`` that exist, in the order asked for."""
        wanted = list(dict.fromkeys(doc_ids))
        found: dict[str, Passage] = {}
        for start in range(0, len(wanted), _IDS_PER_QUESTION):
            chunk = wanted[start : start + _IDS_PER_QUESTION]
            marks = ",".join("?" * len(chunk))
            rows = self._connection.execute(
                f"SELECT doc_id, text, title FROM passages WHERE doc_id IN ({marks})", chunk
            )
            found.update((row[0], Passage(*row)) for row in rows)
        return {doc_id: found[doc_id] for doc_id in wanted if doc_id in found}

    def stream(self) -> Iterator[Passage]:
        """Yield the passages in insertion order."""
        rows = self._connection.execute("SELECT doc_id, text, title FROM passages ORDER BY position")
        for row in rows:
            yield Passage(*row)

    def _ask(self, question: str, *parameters: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._connection.execute(question, parameters).fetchone()
        return found

    def _number(self, question: str) -> int:
        (number,) = self._connection.execute(question).fetchone()
        return int(number)

    @property
    def _connection(self) -> sqlite3.Connection:
        # A connection must cross neither fork nor thread, so each process and thread has its own.
        local = self._local
        if getattr(local, "process", None) != os.getpid():
            # "immutable" skips locking, so that stores on read-only and network file systems open.
            address = f"{self.path.as_uri()}?mode=ro&immutable=1"
            local.connection = sqlite3.connect(address, uri=True, check_same_thread=False, factory=_Connection)
            local.process = os.getpid()
        connection: sqlite3.Connection = local.connection
        return connection

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the path alone."""
        return {"path": self.path, "length": self._length}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file when it is first needed."""
        self.path, self._length = state["path"], state["length"]
        self._local = threading.local()


class _Connection(sqlite3.Connection):
    """Closes itself when its thread or its store ends; Python 3.13 warns when nobody does."""

    def __del__(self) -> None:
        self.close()


class _Passages(ValuesView[Passage]):
    def __init__(self, store: PassageStore) -> None:
        super().__init__(store)
        self._store = store

    def __iter__(self) -> Iterator[Passage]:
        return self._store.stream()


class _Pairs(ItemsView[str, Passage]):
    def __init__(self, store: PassageStore) -> None:
        super().__init__(store)
        self._store = store

    def __iter__(self) -> Iterator[tuple[str, Passage]]:
        return ((passage.doc_id, passage) for passage in self._store.stream())


_TABLE = "(position INTEGER PRIMARY KEY, doc_id TEXT NOT NULL, text TEXT NOT NULL, title TEXT NOT NULL)"


def _fill(connection: sqlite3.Connection, passages: Iterable[Passage], progress: Callable[[int], None] | None) -> None:
    # The file has no name of its own until it is complete, so a journal would protect nothing.
    for setting in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute(f"CREATE TABLE passages {_TABLE}")
    connection.execute("CREATE TABLE skipped (problem TEXT NOT NULL)")
    rows = ((passage.doc_id, passage.text, passage.title) for passage in passages)
    written = 0
    connection.execute("BEGIN")
    while batch := list(islice(rows, _BATCH)):
        connection.executemany("INSERT INTO passages (doc_id, text, title) VALUES (?, ?, ?)", batch)
        written += len(batch)
        if progress is not None:
            progress(written)
    connection.execute("COMMIT")


def _index(connection: sqlite3.Connection, bad: BadLines, source: str | Path | None) -> None:
    # Sorting once at the end is far faster than keeping an index of random ids in order while filling.
    make_index = "CREATE UNIQUE INDEX passage_ids ON passages (doc_id)"
    try:
        connection.execute(make_index)
    except sqlite3.IntegrityError:
        _drop_repeated(connection, bad, source)
        connection.execute(make_index)


def _note(connection: sqlite3.Connection, skipped: list[InputError]) -> None:
    connection.executemany("INSERT INTO skipped VALUES (?)", [(str(error),) for error in skipped])


def _drop_repeated(connection: sqlite3.Connection, bad: BadLines, source: str | Path | None) -> None:
    connection.execute("CREATE INDEX finding ON passages (doc_id)")
    repeated = connection.execute(
        "SELECT again.doc_id, first.position, again.position FROM passages AS again JOIN "
        "(SELECT doc_id, min(position) AS position FROM passages GROUP BY doc_id HAVING count(*) > 1) AS first "
        "ON again.doc_id = first.doc_id AND again.position > first.position ORDER BY again.position"
    )
    dropped = []
    for doc_id, first, again in repeated:
        problem = f"doc_id {doc_id!r} of passage {again} was used by passage {first}; give every passage its own"
        bad.report(InputError(problem, path=source))
        dropped.append((again,))
    connection.execute("DROP INDEX finding")
    connection.execute(f"CREATE TABLE kept {_TABLE}")
    connection.executemany("DELETE FROM passages WHERE position = ?", dropped)
    connection.execute(
        "INSERT INTO kept (doc_id, text, title) SELECT doc_id, text, title FROM passages ORDER BY position"
    )
    connection.execute("DROP TABLE passages")
    connection.execute("ALTER TABLE kept RENAME TO passages")
