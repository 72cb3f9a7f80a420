"""A key-value file for the embedded contact policy: `policy.base.KeyValue` on SQLite, with group commit.

Beside the record store, in a file and thread of its own, so that neither waits for the other. (It meets the
protocol by shape: stores and policy do not import one another.)
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

_SCHEMA_VERSION = 1
_ONCE_WAIT_S = 5.0
_PURGE_STEP = 100
"""Expired keys dropped with each unit of work: the file shrinks as fast as it grows, without a sweep."""


class SqliteTransaction:
    """What a unit of work may do. Reads see its own writes."""

    __slots__ = ("_connection", "_now")

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self._now = now

    def get(self, key: bytes) -> bytes | None:
        found = self._connection.execute(
            "SELECT value FROM kv WHERE key = ? AND expires_at > ?", (key, self._now)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def put(self, key: bytes, value: bytes, expires_at: float) -> None:
        self._connection.execute("INSERT OR REPLACE INTO kv VALUES (?,?,?)", (key, value, expires_at))

    def delete(self, key: bytes) -> None:
        self._connection.execute("DELETE FROM kv WHERE key = ?", (key,))

    def keys(self, prefix: bytes) -> list[bytes]:
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

    async def open(self) -> None:
        """Raises StoreUnavailableError with one clear line."""
        await self.thread.open()

    async def close(self) -> None:
        await self.thread.close()

    async def transact(self, work: Callable[[SqliteTransaction], R]) -> R:
        """`work` in a transaction of its own within the next group commit; durable when this returns."""

        def run(connection: sqlite3.Connection) -> R:
            now = self._clock()
            connection.execute(
                "DELETE FROM kv WHERE key IN (SELECT key FROM kv WHERE expires_at <= ? LIMIT ?)",
                (now, _PURGE_STEP),
            )
            return work(SqliteTransaction(connection, now))

        self.thread.gate.check()
        return await self.thread.run(run, urgent=True)


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
            _prepare(one)
            result = work(SqliteTransaction(one, now))
            one.execute("COMMIT")
            return result
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{path}: {error}") from error


def _prepare(connection: sqlite3.Connection) -> None:
    """Create the table in an empty file, or check that it is ours. Raises sqlite3.DatabaseError."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        connection.execute(
            "CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_at REAL NOT NULL)"
            " WITHOUT ROWID"
        )
        connection.execute("CREATE INDEX kv_by_expiry ON kv (expires_at)")
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION:d}")
        return
    if "kv" not in tables:
        raise sqlite3.DatabaseError("not a smsproxy policy file (other tables are in it)")
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if version != _SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"schema version {version}, this release knows {_SCHEMA_VERSION}")
