"""SQLite in a thread of its own, with group commit: the ground under the store and the embedded policy.

Work (a plain function of the connection) queues up while a transaction runs; the thread then takes all of it
into the next one. So a commit, the dear part (one fdatasync), is paid once for everything that waited, and
nobody waits for a timer. Within the group each work stands for itself (a savepoint): one that raises is
undone alone. What fails for all, the commit, is told to all. Who waits how long is in `sqlite_gate.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.sqlite_checkpoint import Checkpointer
from smsproxy.stores.sqlite_file import Home, connect, take_lock
from smsproxy.stores.sqlite_gate import Gate, Job

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], Any]
_End = tuple[Any, Exception | None]

MAX_WAITING = 10_000
"""Works in the queue. Coalescers keep it at a handful; more means single calls piled up on a slow disk."""
BUSY_TIMEOUT_S = 0.5
"""Wait for a foreign writer's lock (an operator's shell): less than a receipt may be held (5 s, spec §6)."""
_LOCK_POLL_S = 0.005

_DISK_FAULTS = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
"""What one work meets and the next one will, too."""


def _nothing(*_: sqlite3.Connection) -> None:
    """Nothing is kept in memory beside the file."""


class SqliteThread:
    """One database file, one writer thread, one checkpoint thread.

    `setup` prepares the file at open, inside a transaction. `recover` makes right again what the owner keeps
    in memory beside the file; it runs before other work whenever work was undone. `committed` tells it, in
    the writer's thread, that everything done so far is durable.
    """

    def __init__(
        self,
        path: str | Path,
        setup: Work,
        recover: Work = _nothing,
        committed: Callable[[], None] = _nothing,
        *,
        name: str = "store",
    ) -> None:
        self._path = Path(path)
        self._setup = setup
        self._recover = recover
        self._committed = committed
        self._name = name
        self._loop = asyncio.get_running_loop()
        self.gate = Gate(self._path, self._loop)
        """Who waits, and whether the store is away."""
        self._open = False
        self._closing = False
        self._home: Home | None = None
        self._stale = False
        self._threads: list[threading.Thread] = []
        self._lock = -1
        self.checkpointer = Checkpointer(self._path)
        self.commits = 0
        self.commits_failed = 0
        self.works = 0
        self.works_failed = 0
        self.works_refused = 0
        """Refused at MAX_WAITING."""

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"<SqliteThread {self._path} {state} waiting={self.gate.waiting} {self.works}/{self.commits}>"

    async def open(self) -> None:
        """Create the file where needed, take its lock, run `setup`. Raises StoreUnavailableError."""
        connection = await asyncio.to_thread(self._connect)
        self._closing = False
        self.gate = Gate(self._path, self._loop)
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

    async def run(self, work: Callable[[sqlite3.Connection], R], *, urgent: bool = False) -> R:
        """`work(connection)` inside the next group commit; returns once that is durable.

        Raises what `work` raised, an error of SQLite as StoreUnavailableError; then nothing of it is written.
        `urgent`: rather that error soon than a wait for a file that somebody else holds.
        """
        if not self._open:
            raise StoreUnavailableError(f"{self._path}: not open")
        if self.gate.waiting >= MAX_WAITING:
            self.works_refused += 1
            raise StoreUnavailableError(f"{self._path}: too slow, {MAX_WAITING} calls wait")
        future: asyncio.Future[R] = self.gate.put(work, urgent=urgent)
        return await future

    async def close(self) -> None:
        """Run what is queued, checkpoint, close the file, end the threads."""
        if not self._open:
            return
        self._open = False
        self.gate.close()
        self._closing = True
        self.gate.wake.put(None)
        self.checkpointer.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        os.close(self._lock)

    def _resolve(self, jobs: list[Job], ends: list[_End], fault: str | None) -> None:
        """`fault`: why the store is away, "" when something was written, None when neither is known."""
        gate = self.gate
        gate.waiting -= len(jobs)
        if fault:
            gate.went_away(fault)
        elif fault is not None:
            gate.came_back()
        for job, (value, error) in zip(jobs, ends, strict=True):
            if job.future.done():  # its caller was cancelled; the work itself is done all the same
                continue
            if error is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(error)

    # -- in other threads -----------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        try:
            with contextlib.ExitStack() as undo:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = take_lock(self._path)
                undo.callback(os.close, self._lock)
                connection = connect(self._path, BUSY_TIMEOUT_S)
                undo.callback(connection.close)
                connection.execute("BEGIN IMMEDIATE")
                self._setup(connection)
                connection.execute("COMMIT")
                connection.execute("PRAGMA busy_timeout=0")  # from here on `_begin` waits, and says so
                self._home = Home(self._path)
                undo.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise self._unavailable(error) from error
        return connection

    def _write(self, connection: sqlite3.Connection) -> None:
        closing = False
        while not closing:
            self.gate.wake.get()
            closing = self._closing  # what was queued before is still run
            if self.gate:
                self._commit(connection)
            if self.checkpointer.restart_due.is_set():
                self.checkpointer.restart(connection)
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def _commit(self, connection: sqlite3.Connection) -> None:
        """One group: everything that waits once the transaction has begun."""
        jobs: list[Job] = []
        fault: str | None
        changes = connection.total_changes
        try:
            self._begin(connection)
            jobs = self.gate.take()
            ends, fault = self._transact(connection, jobs)
            if connection.total_changes != changes:
                fault = fault or ""
            self.commits += bool(jobs)
        except Exception as error:  # supervised: all callers are told and the thread lives on
            self.commits_failed += 1
            self._stale = True
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            jobs += self.gate.take()
            fault = _fault(error)
            ends = [(None, self._unavailable(error)) for _ in jobs]
        self.works += len(jobs)
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, jobs, ends, fault)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin a transaction, waiting for a foreign writer for a while. Raises sqlite3.Error, OSError."""
        give_up_at = time.monotonic() + BUSY_TIMEOUT_S
        try:
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_at:
                        raise
                self.gate.blocked = True
                time.sleep(_LOCK_POLL_S)
        finally:
            self.gate.blocked = False

    def _transact(self, connection: sqlite3.Connection, jobs: list[Job]) -> tuple[list[_End], str | None]:
        """The ends, and what is wrong with the disk if one of them met it."""
        changes, look = connection.total_changes, self._stale
        if self._stale:
            self._recover(connection)
            self._stale = False
        ends = [self._run_one(connection, job.work) for job in jobs]
        if self._home is not None and (look or connection.total_changes != changes):
            self._home.check()
        connection.execute("COMMIT")
        self._committed()
        causes = [error.__cause__ for _, error in ends if error is not None]
        faults = [str(one) for one in causes if isinstance(one, sqlite3.Error) and _code(one) in _DISK_FAULTS]
        return ends, faults[0] if faults else None

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


def _words(error: Exception) -> str:
    """One clear line for an operator, whatever SQLite or the system called it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for an error of our own."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _fault(error: Exception) -> str | None:
    """Why nothing can be written now, None where the fault is one of a work."""
    cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
    if isinstance(cause, sqlite3.IntegrityError) or not isinstance(cause, OSError | sqlite3.DatabaseError):
        return None
    return _words(error)
