"""Who waits for the SQLite writer, how long, and who is told at once that it is away (reliability row 33).

The loop puts works in, the writer takes them all when its transaction has begun. So what is still in here is
provably not done, and its caller can be told so: an urgent one after `PATIENCE_S` while a foreign writer
holds the file, and after `STALL_S` when the disk does not answer. From then on, or from the first commit that
fails, the store is *away*: new messages are refused without waiting, until a probe was written.
Used by sqlite_thread.py; everything but `take` and `blocked` is the loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from smsproxy.domain.errors import StoreUnavailableError

PATIENCE_S = 0.06
"""With its answer well within the 100 ms that a refusal may take."""
LOOK_S = 0.02
STALL_S = 1.0
"""A commit is milliseconds, tens on a slow disk; a busy host's hiccups are below this."""
PROBE_S = 0.1
"""How soon the return is noticed; one small write, so not much oftener."""
_LOCKED = "database is locked"  # SQLite's own words
_SILENT = "the disk does not answer"


class Job(NamedTuple):
    """One work in the queue."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    urgent: bool
    """Its caller would rather hear "not now" than wait."""
    at: float
    """When it came, in the loop's time."""


class Gate:
    """The queue in front of one writer. `away`, `outages` and `refused` are read at any time."""

    def __init__(self, path: object, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._loop = loop
        self._jobs: deque[Job] = deque()
        self._looking: asyncio.TimerHandle | None = None
        self._probing: asyncio.TimerHandle | None = None
        self._closed = False
        self.wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        """A token whenever there is something to do; more than one is no harm."""
        self.blocked = False
        """Set by the writer while a foreign one holds the file."""
        self.waiting = 0
        """Works without an end."""
        self.away = ""
        """Why the store cannot write, in words; empty while it can."""
        self.outages = 0
        self.refused = 0
        """Works told at once, or soon, that it is away."""

    def __bool__(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._jobs)

    def put(self, work: Callable[[sqlite3.Connection], Any], *, urgent: bool) -> asyncio.Future[Any]:
        """Queue a work; the future gets its end."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.append(Job(work, future, urgent, self._loop.time()))
        self.waiting += 1
        self.wake.put(None)
        if self._looking is None:
            self._looking = self._loop.call_later(PATIENCE_S, self._look)
        return future

    def check(self, *, reading: bool = False) -> None:
        """For what need not be tried while the store is away. Raises StoreUnavailableError.

        Only where nothing gets through at all that is true of `reading`, too: a full disk can be read.
        """
        if self.away and (not reading or self.away in (_LOCKED, _SILENT)):
            self.refused += 1
            raise StoreUnavailableError(f"{self._path}: {self.away}")

    def take(self) -> list[Job]:
        """All that waits, for the transaction that has begun. The writer's."""
        taken: list[Job] = []
        with contextlib.suppress(IndexError):  # not a look at the length: the loop may be taking, too
            while True:
                taken.append(self._jobs.popleft())
        return taken

    def went_away(self, reason: str) -> None:
        """It cannot write now. Probes begin."""
        if not self.away:
            self.outages += 1
        self.away = reason
        if self._probing is None and not self._closed:
            self._probing = self._loop.call_later(PROBE_S, self._probe)

    def came_back(self) -> None:
        """Something was written."""
        self.away = ""

    def close(self) -> None:
        """No timers from here on. What waits stays for the writer."""
        self._closed = True
        for timer in (self._looking, self._probing):
            if timer is not None:
                timer.cancel()

    def _look(self) -> None:
        """Tell those who have waited too long. Only while something waits."""
        self._looking = None
        if self._closed or not self._jobs:
            return
        now = self._loop.time()
        patience_s = PATIENCE_S if self.blocked else STALL_S
        waiting = self.take()  # each is either here or with the writer, never in both hands
        late = [job for job in waiting if job.urgent and now - job.at >= patience_s]
        if late:
            self.went_away(_LOCKED if self.blocked else _SILENT)
            self._refuse(late)
            waiting = [job for job in waiting if not (job.urgent and now - job.at >= patience_s)]
        self._jobs.extendleft(reversed(waiting))
        self.wake.put(None)
        self._looking = self._loop.call_later(LOOK_S, self._look)

    def _refuse(self, jobs: list[Job]) -> None:
        self.waiting -= len(jobs)
        self.refused += len(jobs)
        for job in jobs:
            if not job.future.done():
                job.future.set_exception(StoreUnavailableError(f"{self._path}: {self.away}"))

    def _probe(self) -> None:
        self._probing = None
        if self.away and not self._closed:
            self.put(_write_something, urgent=False).add_done_callback(self._probed)

    def _probed(self, probe: asyncio.Future[Any]) -> None:
        if probe.cancelled():
            return
        if probe.exception() is None:
            self.came_back()
        else:  # the writer has told why
            self.went_away(self.away or "unknown")


def _write_something(connection: sqlite3.Connection) -> None:
    """The least that needs the lock, the disk and a page of it: the header, as it is."""
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    connection.execute(f"PRAGMA user_version = {version:d}")
