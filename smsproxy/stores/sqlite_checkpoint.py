"""Checkpoints: the WAL is copied back into the database beside the writer, and kept from growing for ever.

A checkpoint inside the writer stalls it for 100-500 ms, so a thread and connection of its own copy (PASSIVE)
while the writer goes on. But under writing without a pause that never quite catches up, and a WAL begins anew
only when nothing is left to copy. So past a bound, and with little left, the writer is asked to copy the last
pages itself between two commits. Used by sqlite_thread.py only.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

_POLL_S = 0.25
_FRAME_BYTES = 4096 + 24  # a page and its header (sqlite.org/fileformat2.html §4)
_START_BYTES = 16 * 1024 * 1024
RESTART_BYTES = 64 * 1024 * 1024
"""From here on the writer is asked to finish: large enough to be rare, small enough to read at a restart."""
_QUICK_S = 0.02
"""A pass this short leaves the writer no more to copy than came meanwhile."""
_ROUNDS = 8
"""Passes to get there; each has only to copy what came during the one before."""


class Checkpointer:
    """Runs in a thread of its own; `restart` alone is the writer's. Counters are read at scrape time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = Path(f"{path}-wal")
        self._closing = threading.Event()
        self._seen_ns = 0
        self.restart_due = threading.Event()
        self.passes = 0
        self.failures = 0
        self.restarts = 0
        self.restarts_held_back = 0
        """The writer was asked, but a foreign reader still needs the old pages."""
        self.longest_restart_s = 0.0
        self.wal_bytes = 0
        """In use at the last pass; the file itself does not shrink."""

    def __repr__(self) -> str:
        return f"<Checkpointer wal={self.wal_bytes >> 20}MiB passes={self.passes} restarts={self.restarts}>"

    def stop(self) -> None:
        self._closing.set()

    def run(self) -> None:
        """The thread: look every quarter of a second until stop()."""
        connection: sqlite3.Connection | None = None
        while not self._closing.wait(_POLL_S):
            try:
                if self.restart_due.is_set() or not self._grown():
                    continue  # the writer has its turn, or there is nothing to do
                if connection is None:
                    connection = sqlite3.connect(self._path, isolation_level=None)
                self.copy(connection)
            except (OSError, sqlite3.Error):  # a full disk, say: the WAL keeps everything meanwhile
                self.failures += 1
        if connection is not None:
            connection.close()

    def _grown(self) -> bool:
        """Whether the WAL is worth a pass and was written to since the last one."""
        now = self._wal.stat()
        grown = now.st_size >= _START_BYTES and now.st_mtime_ns != self._seen_ns
        self._seen_ns = now.st_mtime_ns
        return grown

    def copy(self, connection: sqlite3.Connection) -> None:
        """Copy what can be copied beside the writer; ask it to finish when the WAL has passed its bound."""
        for _ in range(_ROUNDS):
            began_at = time.monotonic()
            self._pass(connection)
            if self.wal_bytes < RESTART_BYTES or self._closing.is_set():
                return
            if time.monotonic() - began_at < _QUICK_S:
                break
        self.restart_due.set()

    def restart(self, connection: sqlite3.Connection) -> None:
        """In the writer, between two transactions: nothing is appended now, so this pass reaches the end and
        the next commit begins the WAL anew."""
        began_at = time.monotonic()
        try:
            if self._pass(connection):
                self.restarts += 1
            else:
                self.restarts_held_back += 1
        except sqlite3.Error:
            self.failures += 1
        self.longest_restart_s = max(self.longest_restart_s, time.monotonic() - began_at)
        self.restart_due.clear()

    def _pass(self, connection: sqlite3.Connection) -> bool:
        """One PASSIVE checkpoint; whether it copied all that was in the WAL when it began."""
        ((busy, frames, copied),) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.passes += 1
        self.wal_bytes = max(frames, 0) * _FRAME_BYTES
        return not busy and frames == copied
