"""The SQLite store's work in its own thread: each method is one unit of work on the connection it gets.

An intent is one row in `messages`, a result one row in `segments`, a receipt (`sqlite_receipts`) an update of
that row: nothing is read back on the way. Batches go in one statement; only when its count tells of something
out of the ordinary (a message there already, an SMSC id given again) rows are looked at one by one.
Methods return what they changed as counts by counter name: the caller adds them once durable.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from smsproxy.domain.record import AWAITS_RESULT, SegmentState
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import SegmentResult
from smsproxy.stores.sqlite_accounts import Accounts
from smsproxy.stores.sqlite_ids import DerivedIds, is_derived
from smsproxy.stores.sqlite_receipts import Counts, SqliteReceipts
from smsproxy.stores.sqlite_rows import Row, change

SWEEP_STEP = 500
"""Messages dropped in one sweep: a step of a few milliseconds, so that traffic never waits for retention."""

_INSERT_MESSAGES = "INSERT OR IGNORE INTO messages VALUES {rows}"
# States by number (domain/record.py never renumbers): 7 is UNKNOWN.
# The join drops results of messages that are no longer there (withdrawn, taken over, swept).
_SETTLE = """
    INSERT OR IGNORE INTO segments
    SELECT column2, column3, column4, column5, column6, column7, column8
    FROM (VALUES {rows}) CROSS JOIN messages ON messages.row = column1 WHERE true
    ON CONFLICT (row) DO UPDATE SET
        account = excluded.account, receipt_key = excluded.receipt_key, smsc_id = excluded.smsc_id,
        state = excluded.state, reason = excluded.reason, updated_at = excluded.updated_at
    WHERE segments.state = 7
"""
_RELEASE_KEY = "UPDATE segments SET receipt_key = NULL WHERE account = ? AND receipt_key = ? AND row <> ?"
UNFINISHED = """
    SELECT row, segments, created_at FROM messages AS m WHERE row >= ? AND segments >
        (SELECT count(*) FROM segments AS s WHERE s.row BETWEEN m.row AND m.row + m.segments - 1)
"""
"""Messages without all their results, from a low-water mark on."""


class SqliteTables:
    """The tables, and what of them is kept in memory: accounts and parked receipts (`recover` reads both)."""

    def __init__(self) -> None:
        self._accounts = Accounts()
        self.receipts = SqliteReceipts(self._accounts)
        self.ids = DerivedIds()
        self.first_row = 0
        """The first row number of this life."""
        self.marked_unknown = 0

    def setup(self, connection: sqlite3.Connection) -> None:
        """At open: the schema, a new life, and what the last one left without a result."""
        schema.prepare(connection)
        self.first_row = schema.begin_life(connection)
        self.marked_unknown = _mark_unknown(connection)
        schema.write_meta(connection, "low_water", self.first_row)
        self.ids = DerivedIds()
        self.ids.load(connection, self.first_row)
        self.recover(connection)

    def recover(self, connection: sqlite3.Connection) -> None:
        """Read again what is kept in memory: at open, and after work that was undone."""
        self._accounts.recover(connection)
        self.receipts.recover(connection)
        self.ids.recover()

    def committed(self) -> None:
        """What was done so far is durable."""
        self.ids.committed()

    # -- intents --------------------------------------------------------------------------------------------

    def create(self, connection: sqlite3.Connection, rows: list[Row], replaces: list[int]) -> list[bool]:
        """`rows` of `messages`, their row numbers rising; `replaces`: the row each takes over, 0 for none."""
        self.ids.move(connection, rows[0][0], len(rows))
        if any(replaces):  # rare: a refused message is tried anew
            return [self._create_one(connection, *one) for one in zip(rows, replaces, strict=True)]
        doubtful = self.ids.enter_new(connection, rows)
        numbers = {row[0] for row in doubtful}
        new = [row for row in rows if row[0] not in numbers] if doubtful else rows
        if change(connection, _INSERT_MESSAGES, new) == len(rows):
            return [True] * len(rows)
        for row in doubtful:
            self._create_one(connection, row, 0)
        created = connection.execute(
            "SELECT row FROM messages WHERE row BETWEEN ? AND ?", (rows[0][0], rows[-1][0])
        )
        stored = {row for (row,) in created}
        return [one[0] in stored for one in rows]

    def _create_one(self, connection: sqlite3.Connection, row: Row, replaces: int) -> bool:
        if replaces:
            # Whoever deletes the refused record has taken it over; the loser finds its record.
            refused = connection.execute(
                "SELECT segments FROM messages WHERE row = ? AND message_id = ?", (replaces, row[1])
            ).fetchone()
            if refused is not None:
                _delete(connection, replaces, refused[0])
        if is_derived(row[1]):
            if self.ids.is_live(connection, row[1]):
                return False
            self.ids.enter(row)
        return change(connection, _INSERT_MESSAGES, [row]) == 1

    def withdraw(self, connection: sqlite3.Connection, rows: list[tuple[int, int]]) -> Counts:
        """`rows`: (row, segments) of each message."""
        withdrawn = sum(_delete(connection, row, segments) for row, segments in rows)
        return Counter(intents_withdrawn=withdrawn)

    # -- results --------------------------------------------------------------------------------------------

    def settle(self, connection: sqlite3.Connection, results: Sequence[SegmentResult]) -> Counts:
        account = self._accounts.number
        rows = [
            (
                intent.generation,
                intent.generation + segment_no - 1,
                account(connection, intent.account),
                receipt_key or None,
                smsc_id or None,
                state,
                reason or None,
                at,
            )
            for intent, segment_no, state, smsc_id, receipt_key, reason, at in results
        ]
        connection.execute("SAVEPOINT results")
        counts: Counts = Counter()
        if _settle_at_once(connection, rows):
            counts["results_stored"] = len(rows)
            self.receipts.unpark(connection, rows)
        else:
            connection.execute("ROLLBACK TO results")
            for row in rows:
                counts += _settle_one(connection, row)
                self.receipts.unpark(connection, [row])
        connection.execute("RELEASE results")
        return counts

    # -- housekeeping ---------------------------------------------------------------------------------------

    def sweep(self, connection: sqlite3.Connection, now: float, retention_s: float) -> tuple[list[int], int]:
        """(rows of the messages dropped, number of parked receipts that lapsed)."""
        lapsed = self.receipts.lapse(connection, now)
        dropped = _drop_old(connection, now - retention_s)
        self.ids.drop_dead(connection)
        return dropped, lapsed


def _delete(connection: sqlite3.Connection, row: int, segments: int) -> int:
    """1 when the message was there. Its segments go with it."""
    connection.execute("DELETE FROM segments WHERE row BETWEEN ? AND ?", (row, row + segments - 1))
    return connection.execute("DELETE FROM messages WHERE row = ?", (row,)).rowcount


def _settle_at_once(connection: sqlite3.Connection, rows: list[Row]) -> bool:
    """False when not all of them went in as they are."""
    try:
        return change(connection, _SETTLE, rows) == len(rows)
    except sqlite3.IntegrityError:
        return False


def _settle_one(connection: sqlite3.Connection, row: Row) -> Counts:
    """One result the careful way: an SMSC id given again belongs to the newest message."""
    ((message, state),) = connection.execute(
        "SELECT (SELECT row FROM messages WHERE row = ?), (SELECT state FROM segments WHERE row = ?)", row[:2]
    ).fetchall()
    if message is None or not (state is None or SegmentState(state) in AWAITS_RESULT):
        return Counter()
    reused = connection.execute(_RELEASE_KEY, (row[2], row[3], row[1])).rowcount
    return Counter(results_stored=change(connection, _SETTLE, [row]), smsc_ids_reused=reused)


def _mark_unknown(connection: sqlite3.Connection) -> int:
    """Segments that an earlier life of the daemon left without a result are in doubt (spec §6).

    Looked for from the oldest open intent on, a mark that `sweep` keeps: never a scan of the whole table.
    """
    unfinished = connection.execute(UNFINISHED, (schema.read_meta(connection, "low_water"),)).fetchall()
    for row, segments, created_at in unfinished:
        connection.executemany(
            "INSERT OR IGNORE INTO segments VALUES (?,0,NULL,NULL,?,?,?)",
            [
                (row + offset, SegmentState.UNKNOWN, "no answer before the restart", created_at)
                for offset in range(segments)
            ],
        )
    return len(unfinished)


def _drop_old(connection: sqlite3.Connection, before: float) -> list[int]:
    """The rows of at most SWEEP_STEP messages that were created before; they are gone."""
    dropped = connection.execute(
        "DELETE FROM messages WHERE created_at < ? AND row <="
        " (SELECT max(row) FROM (SELECT row FROM messages ORDER BY row LIMIT ?)) RETURNING row",
        (before, SWEEP_STEP),
    ).fetchall()
    if dropped:
        # By range, which also takes what no message refers to.
        connection.execute(
            "DELETE FROM segments WHERE row < (SELECT ifnull(min(row), 1 << 62) FROM messages)"
        )
    return [row for (row,) in dropped]
