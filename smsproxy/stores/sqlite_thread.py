"""SQLite in a thread of its own, with group commit: the ground under the store and the embedded policy.

Work (a plain function of the connection) queues up while a transaction runs; the thread then takes all of it
into the next one. So a commit, the dear part (one fdatasync), is paid once for everything that waited, and
nobody waits for a timer. A second thread copies the WAL back into the database (a checkpoint inside the
writer stalls it for 100-500 ms; docs/ARCHITECTURE.md).
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

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], Any]
_Job = tuple[Work, "asyncio.Future[Any]"]

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a group commit on the platter: the promise holds through a power cut (spec §6)
    "wal_autocheckpoint=0",  # checkpoints are the other thread's work
    "cache_size=-65536",  # 64 MiB
    "mmap_size=1073741824",
    "temp_store=MEMORY",
    "secure_delete=OFF",
)
_CHECKPOINT_BYTES = 16 * 1024 * 1024
_CHECKPOINT_POLL_S = 0.25
_CLOSE = None


class SqliteThread:
    """One database file, one writer thread, one checkpoint thread."""

    def __init__(self, path: str | Path, *, name: str = "store") -> None:
        self._path = Path(path)
        self._name = name
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = -1
        self.commits = 0
        self.works = 0

    async def open(self, setup: Work) -> None:
        """Create the file where needed, take its lock, run `setup`. Raises StoreUnavailableError."""
        connection = await asyncio.to_thread(self._connect, setup)
        self._threads = [
            threading.Thread(target=self._write, args=(connection,), name=f"{self._name}-writer"),
            threading.Thread(target=self._checkpoint, name=f"{self._name}-checkpoint", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """`work(connection)` inside the next group commit; returns once that is durable.

        Raises StoreUnavailableError when the transaction failed (then nothing of it was written).
        """
        if self._closing.is_set():
            raise StoreUnavailableError("the store is closed")
        future: asyncio.Future[R] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    async def close(self) -> None:
        """Run what is queued, checkpoint, close the file, end the threads."""
        if self._closing.is_set() or not self._threads:
            return
        self._closing.set()
        self._queue.put(_CLOSE)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        os.close(self._lock)

    # -- in other threads -----------------------------------------------------------------------------------

    def _connect(self, setup: Work) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN IMMEDIATE")
            setup(connection)
            connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            if self._lock >= 0:
                os.close(self._lock)
            raise StoreUnavailableError(f"{self._path}: {_words(error)}") from error
        return connection

    def _take_lock(self) -> None:
        """Row numbers are handed out by this process, so two writers on one file would be a disaster."""
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError("in use by another smsproxy process") from error

    def _write(self, connection: sqlite3.Connection) -> None:
        open_for_work = True
        while open_for_work:
            jobs = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    jobs.append(self._queue.get_nowait())
            open_for_work = jobs[-1] is not _CLOSE
            self._commit(connection, [job for job in jobs if job is not None])
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        if not jobs:
            return
        results: list[Any] = []
        failure: StoreUnavailableError | None = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, _ in jobs:
                results.append(work(connection))
            connection.execute("COMMIT")
        except (
            Exception
        ) as error:  # supervised: whatever it was, the callers are told and the thread lives on
            failure = StoreUnavailableError(f"{self._path}: {_words(error)}")
            failure.__cause__ = error
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        self.commits += 1
        self.works += len(jobs)
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(_resolve, jobs, results, failure)

    def _checkpoint(self) -> None:
        """Copy the WAL back whenever it has grown, while the writer goes on."""
        wal = Path(f"{self._path}-wal")
        connection: sqlite3.Connection | None = None
        while not self._closing.wait(_CHECKPOINT_POLL_S):
            with contextlib.suppress(OSError, sqlite3.Error):
                if wal.stat().st_size < _CHECKPOINT_BYTES:
                    continue
                if connection is None:
                    connection = sqlite3.connect(self._path, isolation_level=None)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        if connection is not None:
            connection.close()


def _resolve(jobs: list[_Job], results: list[Any], failure: StoreUnavailableError | None) -> None:
    for index, (_, future) in enumerate(jobs):
        if future.done():  # its caller was cancelled; the work itself is done all the same
            continue
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(results[index])


def _words(error: Exception) -> str:
    """One clear line for an operator, whatever SQLite or the system called it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
