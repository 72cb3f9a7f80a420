"""`--stored N`: a record store with N delivered messages in it, so that its weight can be measured.

Filled through the product's own schema, tables first and indexes after them (ten million in a minute or two):
rows of an earlier life, ids as the row's own messages have them, every segment with its receipt. A filled
file is kept in build/stored and copied for each run. Called by sides.py before the daemon starts.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from smsproxy.domain.ids import time_ordered_id
from smsproxy.domain.record import SegmentState
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import ReceiptMode
from tests.bench.daemon import LINK_ID

_OVER_S = 3600.0
"""They were sent during the last hour before the file was made: nothing of them is due to be swept."""
_FIRST_SMSC_ID = 2_000_000_000
"""Ids of the bench's SMSC count from 1."""
_FRESH_S = 12 * 3600.0
"""A kept file older than this is made anew, long before anything in it is due to be swept."""

_MESSAGES = """
    WITH RECURSIVE one(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM one WHERE n + 1 < :count)
    INSERT INTO messages SELECT :first + n, message_id(n), 1, :link, 'stored-' || n, 0, 0, 1, :receipts,
        :began + :step * n FROM one
"""
_SEGMENTS = """
    WITH RECURSIVE one(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM one WHERE n + 1 < :count)
    INSERT INTO segments SELECT :first + n, 1, CAST(:smsc_id + n AS TEXT), CAST(:smsc_id + n AS TEXT), :state,
        NULL, :began + :step * n + 1 FROM one
"""


def fill(path: Path, messages: int, account: str, *, derived_ids: bool, kept: Path) -> None:
    """Make the store. `derived_ids`: message ids as transaction_ids give them. `kept`: the folder of files
    for further runs."""
    kind = "derived" if derived_ids else "ordered"
    source = kept / f"{messages}-{kind}-v{schema.SCHEMA_VERSION}.db"
    if not source.exists() or source.stat().st_mtime < time.time() - _FRESH_S:
        kept.mkdir(parents=True, exist_ok=True)
        unfinished = source.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        _make(unfinished, messages, derived_ids=derived_ids)
        unfinished.rename(source)
    shutil.copyfile(source, path)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE accounts SET name = ?", (account,))
    os.sync()  # or the first rounds would pay for writing it


def _make(path: Path, messages: int, *, derived_ids: bool) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-262144"):
            file.execute(f"PRAGMA {pragma}")
        file.execute("BEGIN")
        schema.prepare(file)
        first = schema.begin_life(file)
        indexes = file.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''"
        ).fetchall()
        for name, _ in indexes:
            file.execute(f"DROP INDEX {name}")
        _insert(file, first, messages, derived_ids=derived_ids)
        for _, statement in indexes:
            file.execute(statement)
        schema.file_ids(file)
        schema.write_meta(file, "low_water", first + messages)
        file.execute("COMMIT")
        file.execute("PRAGMA journal_mode=WAL")


def _insert(file: sqlite3.Connection, first: int, count: int, *, derived_ids: bool) -> None:
    began, step = time.time() - _OVER_S, _OVER_S / count
    randbytes = random.Random(1).randbytes

    def message_id(number: int) -> bytes:
        if derived_ids:  # of version 8, as derived_id makes them
            octets = randbytes(16)
            return octets[:6] + b"\x80" + octets[7:]
        return time_ordered_id(int((began + step * number) * 1000), randbytes(10))

    file.create_function("message_id", 1, message_id)
    values = {"first": first, "count": count, "began": began, "step": step}
    file.execute("INSERT INTO accounts VALUES (1, '')")
    file.execute(_MESSAGES, values | {"link": LINK_ID, "receipts": ReceiptMode.ALL})
    file.execute(_SEGMENTS, values | {"smsc_id": _FIRST_SMSC_ID, "state": SegmentState.DELIVERED})
