"""The SQLite schema of the record store, its version, and the numbering that keeps it small.

Rows lie in arrival order: a message gets the next row number R and its segments are R, R+1, … in `segments`,
so a record is found from its message without a further index. The upper bits of a row number count the times
the file was opened, so no number is ever given twice. There are two indexes, both on what the outside asks
by: our message_id (16 bytes) and (account, receipt key). Random indexes are what slows a growing store, so
there is no third.
"""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 1

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE messages (
    row INTEGER PRIMARY KEY,
    message_id BLOB NOT NULL,
    app_id INTEGER NOT NULL,
    link_id INTEGER NOT NULL,
    transaction_id TEXT NOT NULL,
    task_id INTEGER NOT NULL,
    client_sent_at INTEGER NOT NULL,
    segments INTEGER NOT NULL,
    receipts INTEGER NOT NULL,
    created_at REAL NOT NULL
);
CREATE UNIQUE INDEX messages_by_id ON messages (message_id);
CREATE TABLE segments (
    row INTEGER PRIMARY KEY,
    account INTEGER NOT NULL,
    receipt_key TEXT,
    smsc_id TEXT,
    state INTEGER NOT NULL,
    reason TEXT,
    updated_at REAL NOT NULL
);
CREATE UNIQUE INDEX segments_by_receipt ON segments (account, receipt_key) WHERE receipt_key IS NOT NULL;
CREATE TABLE parked (
    account INTEGER NOT NULL,
    receipt_key TEXT NOT NULL,
    state INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (account, receipt_key)
) WITHOUT ROWID;
"""
_NAMES = {"meta", "accounts", "messages", "segments", "parked"}
ROWS_OF_A_LIFE = 1 << 40
"""Row numbers of one life of the daemon: a million a second for twelve days; 8 million lives fit."""


def prepare(connection: sqlite3.Connection) -> None:
    """Create the schema in an empty file, or check that it is ours. Raises sqlite3.DatabaseError."""
    if not _tables(connection):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        write_meta(connection, "schema_version", SCHEMA_VERSION)
    verify(connection)


def _tables(connection: sqlite3.Connection) -> set[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found}


def verify(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError when the file is not a store of this release."""
    if not _tables(connection) >= _NAMES:
        raise sqlite3.DatabaseError("not a smsproxy store (other tables are in it)")
    version = read_meta(connection, "schema_version")
    if version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"schema version {version}, this release knows {SCHEMA_VERSION}")


def begin_life(connection: sqlite3.Connection) -> int:
    """Count this opening; returns the first row number of this life, above every number given before."""
    life = read_meta(connection, "life") + 1
    write_meta(connection, "life", life)
    return life * ROWS_OF_A_LIFE


def read_meta(connection: sqlite3.Connection, key: str) -> int:
    """A number of the `meta` table, 0 where it is not there."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return int(found[0]) if found else 0


def write_meta(connection: sqlite3.Connection, key: str, value: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))
