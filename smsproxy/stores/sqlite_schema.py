"""The SQLite schema of the record store, its version, and the numbering that keeps it small.

Rows lie in arrival order: a message gets the next row number R and its segments are R, R+1, … in `segments`,
so a record is found from its message without a further index. The upper bits of a row number count the times
the file was opened, so no number is ever given twice. Random indexes are what slows a growing store, so there
are two ordinary ones, on what comes in rising order mostly: our own message ids and (account, receipt key).
Derived message ids, random by nature, lie in `ids` (sqlite_ids.py). A file of version 1 is brought to 2 in
the transaction that opens it.
"""

from __future__ import annotations

import sqlite3

from smsproxy.stores import id_filter

SCHEMA_VERSION = 2
_READABLE = (1, 2)
"""`messages`, `segments` and `meta` are the same in both: what reads from outside needs no more."""
PART_MAX = 2_000_000
"""Entries of one part of `ids`: a look-up asks part after part, new entries go into the newest."""
_ORDERED = "substr(message_id, 7, 1) BETWEEN x'70' AND x'7F'"
"""Is it one of our own ids, a UUIDv7? In the words of the index: only so SQLite takes it."""


def _about_ids(text: str) -> str:
    """A statement with the question of _ORDERED where it says {ordered}."""
    return text.replace("{ordered}", _ORDERED)


_IDS = _about_ids("""
CREATE UNIQUE INDEX messages_by_own_id ON messages (message_id) WHERE {ordered};
CREATE TABLE ids (
    part INTEGER NOT NULL,
    id BLOB NOT NULL,
    row INTEGER NOT NULL,
    PRIMARY KEY (part, id, row)
) WITHOUT ROWID;
CREATE TABLE id_parts (part INTEGER PRIMARY KEY, entries INTEGER NOT NULL, last_row INTEGER NOT NULL);
CREATE TABLE id_filters (part INTEGER PRIMARY KEY, bits BLOB NOT NULL);
""")
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

OWN_IDS = _about_ids("message_id IN (VALUES {rows}) AND {ordered}")
"""The condition of a look-up of our own ids: a template for the ids."""
DERIVED_FROM = _about_ids("SELECT message_id, row FROM messages WHERE row >= ? AND NOT ({ordered})")
"""Messages with derived ids from a row on."""
LOST_IDS = _about_ids("""
    SELECT count(*) FROM messages AS m
    WHERE row < (SELECT value FROM meta WHERE key = 'ids_from') AND NOT ({ordered}) AND NOT EXISTS (
        SELECT 1 FROM id_parts CROSS JOIN ids
        ON ids.part = id_parts.part AND ids.id = m.message_id AND ids.row = m.row)
""")
"""How many messages should have an entry in `ids` and have none."""
FILTERS = "SELECT part, ifnull(bits, zeroblob(?)) FROM id_parts LEFT JOIN id_filters USING (part)"
"""What each part's filter knows; one that was never stored knows nothing, and is so many octets."""
_PART = _about_ids(
    "SELECT count(*), max(row) FROM"
    " (SELECT row FROM messages WHERE row > ? AND NOT ({ordered}) ORDER BY row LIMIT ?)"
)
_FILE = _about_ids(
    "INSERT INTO ids SELECT ?, message_id, row FROM messages"
    " WHERE row > ? AND row <= ? AND NOT ({ordered}) ORDER BY message_id"
)
_FILED = "SELECT id FROM ids WHERE part = ?"
ROWS_OF_A_LIFE = 1 << 40
"""Row numbers of one life of the daemon: a million a second for twelve days; 8 million lives fit."""


def prepare(connection: sqlite3.Connection) -> None:
    """Create the schema in an empty file, bring an older one up to date, or check that it is ours. Inside a
    transaction. Raises sqlite3.DatabaseError."""
    if not _tables(connection):
        for statement in (_TABLES + _IDS).split(";"):
            connection.execute(statement)
        write_meta(connection, "schema_version", SCHEMA_VERSION)
    verify(connection)
    if read_meta(connection, "schema_version") == 1:
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """From version 1, whose one index had both kinds of ids. Some seconds for a million messages."""
    connection.execute("DROP INDEX messages_by_id")
    for statement in _IDS.split(";"):
        connection.execute(statement)
    file_ids(connection)
    write_meta(connection, "schema_version", SCHEMA_VERSION)


def file_ids(connection: sqlite3.Connection) -> None:
    """Enter every derived id of `messages` into `ids`, part by part, each in its order."""
    next_life = (read_meta(connection, "life") + 1) * ROWS_OF_A_LIFE
    done = 0
    while True:
        ((entries, last_row),) = connection.execute(_PART, (done, PART_MAX)).fetchall()
        if not entries:
            break
        part = part_to_fill(connection)
        connection.execute(_FILE, (part, done, last_row))
        count_into_part(connection, part, entries, last_row)
        bits = bytearray(id_filter.OCTETS)
        id_filter.add(bits, (one for (one,) in connection.execute(_FILED, (part,))))
        write_filter(connection, part, bits)
        done = last_row
    write_meta(connection, "ids_from", next_life)


def part_to_fill(connection: sqlite3.Connection) -> int:
    """The newest part of `ids`, a new one where that is full or there is none."""
    newest = connection.execute("SELECT part, entries FROM id_parts ORDER BY part DESC LIMIT 1").fetchone()
    if newest is not None and newest[1] < PART_MAX:
        return int(newest[0])
    part = 1 if newest is None else newest[0] + 1
    connection.execute("INSERT INTO id_parts VALUES (?, 0, 0)", (part,))
    return int(part)


def write_filter(connection: sqlite3.Connection, part: int, bits: bytearray) -> None:
    """Store what a part's filter knows by now."""
    connection.execute("INSERT OR REPLACE INTO id_filters VALUES (?, ?)", (part, bits))


def count_into_part(connection: sqlite3.Connection, part: int, entries: int, last_row: int) -> None:
    """So many entries were written to this part, the highest row among them `last_row`."""
    connection.execute(
        "UPDATE id_parts SET entries = entries + ?, last_row = max(last_row, ?) WHERE part = ?",
        (entries, last_row, part),
    )


def _tables(connection: sqlite3.Connection) -> set[str]:
    found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in found}


def verify(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError when the file is not a store of this release."""
    if not _tables(connection) >= _NAMES:
        raise sqlite3.DatabaseError("not a smsproxy store (other tables are in it)")
    version = read_meta(connection, "schema_version")
    if version not in _READABLE:
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
