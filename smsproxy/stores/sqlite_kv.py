"""A key-value file for the embedded contact policy: `policy.base.KeyValue` on SQLite, with group commit.

Beside the record store, in a file and thread of its own, so that neither waits for the other. (It meets the
protocol by shape: stores and policy do not import one another.) Keys come in no order, so there is one tree
and no index beside it: what has expired is found by walking along the keys, some steps with each unit of
work.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.sqlite_thread import SqliteThread

R = TypeVar("R")

_SCHEMA_VERSION = 2
_WITH_INDEX = 1
"""The version before, which had an index by expiry: it cost as much as the table itself."""
_ONCE_WAIT_S = 5.0
_STEPS, _STEPS_PER_PUT = 100, 2
"""Keys looked at with each unit of work, and for each key it puts: the file shrinks faster than it grows, for
what has expired is gone once half as many keys were put as there are."""
_STEP = "SELECT max(key), count(*) FROM (SELECT key FROM kv WHERE key > ? ORDER BY key LIMIT ?)"
_PURGE = "DELETE FROM kv WHERE key > ? AND key <= ? AND expires_at <= ?"


class SqliteTransaction:
    """What a unit of work may do. Reads see its own writes; `flush` ends it."""

    __slots__ = ("_connection", "_now", "_puts")

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self._now = now
        self._puts: dict[bytes, tuple[bytes, bytes, float]] = {}
        """Not written yet: all at once is cheaper."""

    def get(self, key: bytes) -> bytes | None:
        own = self._puts.get(key)
        if own is not None:
            return own[1] if own[2] > self._now else None
        found = self._connection.execute(
            "SELECT value FROM kv WHERE key = ? AND expires_at > ?", (key, self._now)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def put(self, key: bytes, value: bytes, expires_at: float) -> None:
        self._puts[key] = (key, value, expires_at)

    def delete(self, key: bytes) -> None:
        self._puts.pop(key, None)
        self._connection.execute("DELETE FROM kv WHERE key = ?", (key,))

    def flush(self) -> int:
        """Write what was put; how many keys that is."""
        puts = self._puts
        if puts:
            self._connection.executemany("INSERT OR REPLACE INTO kv VALUES (?,?,?)", puts.values())
            self._puts = {}
        return len(puts)

    def keys(self, prefix: bytes) -> list[bytes]:
        self.flush()
        return [
            bytes(key)
            for (key,) in self._connection.execute(
                "SELECT key FROM kv WHERE key >= ? AND key < ? AND expires_at > ? ORDER BY key",
                (prefix, _after(prefix), self._now),
            )
        ]


def _after(prefix: bytes) -> bytes:
    """The first key after all that begin so: a range of the primary key, however many others there are."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,))


class SqliteKeyValue:
    """One file. `clock` gives Unix seconds; it decides what has expired."""

    def __init__(self, path: str | Path, clock: Callable[[], float]) -> None:
        self.thread = SqliteThread(path, _prepare, name="policy")
        """For its counters."""
        self._clock = clock
        self._purged_to = b""
        """Where the walk along the keys is. The writer's."""

    async def open(self) -> None:
        """Raises StoreUnavailableError with one clear line."""
        await self.thread.open()

    async def close(self) -> None:
        await self.thread.close()

    async def transact(self, work: Callable[[SqliteTransaction], R]) -> R:
        """`work` in a transaction of its own within the next group commit; durable when this returns."""

        def run(connection: sqlite3.Connection) -> R:
            now = self._clock()
            transaction = SqliteTransaction(connection, now)
            result = work(transaction)
            self._purge(connection, now, _STEPS + _STEPS_PER_PUT * transaction.flush())
            return result

        self.thread.gate.check()
        return await self.thread.run(run, urgent=True)

    def _purge(self, connection: sqlite3.Connection, now: float, steps: int) -> None:
        """Go on so many keys, and drop those that have expired; from the end back to the beginning."""
        begin = self._purged_to
        ((end, found),) = connection.execute(_STEP, (begin, steps)).fetchall()
        if found:
            connection.execute(_PURGE, (begin, end, now))
        self._purged_to = end if found == steps else b""


def transact_once(path: Path, work: Callable[[SqliteTransaction], R], now: float) -> R:
    """One unit of work from another process than the daemon that has the file open; durable on return.

    Waits for the daemon's turn to end, and makes the file where there is none. Raises StoreUnavailableError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(path, timeout=_ONCE_WAIT_S, isolation_level=None)) as one:
            one.execute("PRAGMA journal_mode=WAL")
            one.execute("PRAGMA synchronous=FULL")
            one.execute("BEGIN IMMEDIATE")
            _create_or_check(one)
            transaction = SqliteTransaction(one, now)
            result = work(transaction)
            transaction.flush()
            one.execute("COMMIT")
            return result
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{path}: {error}") from error


def _prepare(connection: sqlite3.Connection) -> None:
    """For the one who has the file to itself: bring an older one up to date, too. As `_create_or_check`."""
    if _create_or_check(connection) == _WITH_INDEX:
        connection.execute("DROP INDEX kv_by_expiry")
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION:d}")


def _create_or_check(connection: sqlite3.Connection) -> int:
    """Create the table in an empty file, or check that it is ours. The version that it has now. Raises
    sqlite3.DatabaseError."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        connection.execute(
            "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_at REAL NOT NULL)"
            " WITHOUT ROWID"
        )
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION:d}")
        return _SCHEMA_VERSION
    if "kv" not in tables:
        raise sqlite3.DatabaseError("not a smsproxy policy file (other tables are in it)")
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version not in (_WITH_INDEX, _SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"schema version {version}, this release knows {_SCHEMA_VERSION}")
    return int(version)
