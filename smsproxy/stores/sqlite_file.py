"""The SQLite file itself: opened, locked against a second process, and watched for being taken away.

A file that is deleted or moved under a running process is written on, in the dark: SQLite keeps its handles,
and what is acknowledged from then on nobody finds again. So each commit first looks whether the path still
leads to the file that it is for. Used by sqlite_thread.py.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",  # a group commit on the platter: the promise holds through a power cut (spec §6)
    "wal_autocheckpoint=0",  # sqlite_checkpoint.py
    "cache_size=-16384",  # 16 MiB: with 64, no message was cheaper at 10^6 stored (docs/performance.md)
    "mmap_size=1073741824",
    "temp_store=MEMORY",
    "secure_delete=OFF",
)


class Home:
    """Which files the path and its WAL led to when they were opened."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._file, self._wal = str(path), f"{path}-wal"
        self._opened = self._look()

    def check(self) -> None:
        """Raises OSError unless the path leads there still."""
        try:
            there = self._look() == self._opened
        except FileNotFoundError:
            there = False
        if not there:
            raise OSError("the file was removed or replaced under the daemon")

    def _look(self) -> tuple[int, ...]:
        file, wal = os.stat(self._file), os.stat(self._wal)
        return file.st_dev, file.st_ino, wal.st_dev, wal.st_ino


def take_lock(path: Path) -> int:
    """The open lock file beside `path`: two writers that number rows would be a disaster. Raises OSError."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise OSError("in use by another smsproxy process") from error
        raise
    return lock


def connect(path: Path, timeout_s: float) -> sqlite3.Connection:
    """The file, made where there is none, as its one writer uses it. Raises OSError, sqlite3.Error."""
    # The WAL takes the file's mode: what is in it is nobody else's.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=timeout_s, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
