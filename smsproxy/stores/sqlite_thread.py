"""SQLite in a thread of its own, with group commit: the ground under the store and the embedded policy.

Work (a plain function of the connection) queues up while a transaction runs; the thread then takes all of it
into the next one. So a commit, the dear part (one fdatasync), is paid once for everything that waited, and
nobody waits for a timer. Within the group each work stands for itself (a savepoint): one that raises is
undone alone. What fails for all, the commit, is told to all.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.sqlite_checkpoint import Checkpointer

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], Any]
_Job = tuple[Work, "asyncio.Future[Any]"]
_End = tuple[Any, Exception | None]

MAX_WAITING = 10_000
"""Works in the queue. Coalescers keep it at a handful; more means single calls piled up on a slow disk."""
BUSY_TIMEOUT_S = 0.5
"""Wait for a foreign writer's lock (an operator's shell): less than a receipt may be held (5 s, spec §6)."""

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a group commit on the platter: the promise holds through a power cut (spec §6)
    "wal_autocheckpoint=0",  # sqlite_checkpoint.py
    "cache_size=-65536",  # 64 MiB
    "mmap_size=1073741824",
    "temp_store=MEMORY",
    "secure_delete=OFF",
)
_CLOSE = None


def _nothing(_: sqlite3.Connection) -> None:
    """Nothing is kept in memory beside the file."""


class SqliteThread:
    """One database file, one writer thread, one checkpoint thread.

    `setup` prepares the file at open, inside a transaction. `recover` makes right again what the owner keeps
    in memory beside the file; it runs before other work whenever work was undone.
    """

    def __init__(
        self, path: str | Path, setup: Work, recover: Work = _nothing, *, name: str = "store"
    ) -> None:
        self._path = Path(path)
        self._setup = setup
        self._recover = recover
        self._name = name
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._open = False
        self._stale = False
        self._threads: list[threading.Thread] = []
        self._lock = -1
        self._waiting = 0
        self.checkpointer = Checkpointer(self._path)
        self.commits = 0
        self.commits_failed = 0
        self.works = 0
        self.works_failed = 0
        self.works_refused = 0
        """Refused at MAX_WAITING."""

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"<SqliteThread {self._path} {state} waiting={self._waiting} {self.works}/{self.commits}>"

    async def open(self) -> None:
        """Create the file where needed, take its lock, run `setup`. Raises StoreUnavailableError."""
        connection = await asyncio.to_thread(self._connect)
        # Daemon threads: a process that ends without close() must end; to the file that is a crash like any.
        self._threads = [
            threading.Thread(target=target, args=args, name=f"{self._name}-{word}", daemon=True)
            for word, target, args in (
                ("writer", self._write, (connection,)),
                ("checkpoint", self.checkpointer.run, ()),
            )
        ]
        for thread in self._threads:
            thread.start()
        self._open = True

    async def run(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """`work(connection)` inside the next group commit; returns once that is durable.

        Raises what `work` raised, an error of SQLite as StoreUnavailableError; then nothing of it is written.
        """
        if not self._open:
            raise StoreUnavailableError(f"{self._path}: not open")
        if self._waiting >= MAX_WAITING:
            self.works_refused += 1
            raise StoreUnavailableError(f"{self._path}: too slow, {MAX_WAITING} calls wait")
        future: asyncio.Future[R] = self._loop.create_future()
        self._waiting += 1
        self._queue.put((work, future))
        return await future

    async def close(self) -> None:
        """Run what is queued, checkpoint, close the file, end the threads."""
        if not self._open:
            return
        self._open = False
        self._queue.put(_CLOSE)
        self.checkpointer.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        os.close(self._lock)

    def _resolve(self, jobs: list[_Job], ends: list[_End]) -> None:
        self._waiting -= len(jobs)
        for (_, future), (value, error) in zip(jobs, ends, strict=True):
            if future.done():  # its caller was cancelled; the work itself is done all the same
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    # -- in other threads -----------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        try:
            with contextlib.ExitStack() as undo:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._take_lock()
                undo.callback(os.close, self._lock)
                # The WAL takes the file's mode: what is in it is nobody else's.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
                connection = _connection(self._path)
                undo.callback(connection.close)
                connection.execute("BEGIN IMMEDIATE")
                self._setup(connection)
                connection.execute("COMMIT")
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise self._unavailable(error) from error
        return connection

    def _take_lock(self) -> None:
        """Row numbers are handed out by this process, so two writers on one file would be a disaster."""
        lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                raise OSError("in use by another smsproxy process") from error
            raise
        self._lock = lock

    def _write(self, connection: sqlite3.Connection) -> None:
        jobs: list[_Job | None] = []
        while not jobs or jobs[-1] is not _CLOSE:
            jobs = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    jobs.append(self._queue.get_nowait())
            self._commit(connection, [job for job in jobs if job is not None])
            if self.checkpointer.restart_due.is_set():
                self.checkpointer.restart(connection)
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        if not jobs:
            return
        self.works += len(jobs)
        try:
            ends = self._transact(connection, jobs)
            self.commits += 1
        except Exception as error:  # supervised: all callers are told and the thread lives on
            self.commits_failed += 1
            self._stale = True
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            ends = [(None, self._unavailable(error)) for _ in jobs]
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, jobs, ends)

    def _transact(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[_End]:
        connection.execute("BEGIN IMMEDIATE")
        if self._stale:
            self._recover(connection)
            self._stale = False
        ends = [self._run_one(connection, work) for work, _ in jobs]
        connection.execute("COMMIT")
        return ends

    def _run_one(self, connection: sqlite3.Connection, work: Work) -> _End:
        end: _End
        connection.execute("SAVEPOINT work")
        try:
            end = work(connection), None
        except Exception as error:  # supervised: whatever it was, its caller is told and the thread lives on
            if not connection.in_transaction:
                raise sqlite3.OperationalError(_words(error)) from error  # SQLite gave the whole group up
            connection.execute("ROLLBACK TO work")
            self._recover(connection)
            self.works_failed += 1
            end = None, self._told(error)
        connection.execute("RELEASE work")
        return end

    def _told(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.Error):
            return self._unavailable(error)
        if isinstance(error, StopIteration):  # a future cannot carry it (as PEP 479 for generators)
            told = RuntimeError("work raised StopIteration")
            told.__cause__ = error
            return told
        return error

    def _unavailable(self, error: Exception) -> StoreUnavailableError:
        told = StoreUnavailableError(f"{self._path}: {_words(error)}")
        told.__cause__ = error
        return told


def _connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _words(error: Exception) -> str:
    """One clear line for an operator, whatever SQLite or the system called it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
