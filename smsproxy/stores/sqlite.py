"""The embedded store: records in one SQLite file (spec §6). The default; one process owns the file.

An intent is one row in `messages`, a result one row in `segments`, a receipt an update of that row: nothing
is read back on the way. What an operator or a repeat asks for is put together when asked (`find`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import (
    PARKING_MAX,
    PARKING_S,
    Intent,
    ReceiptMode,
    SegmentResult,
    new_counters,
)
from smsproxy.stores.sqlite_thread import SqliteThread

_SWEEP_STEP = 500
"""Messages dropped in one sweep: a step of a few milliseconds, so that traffic never waits for retention."""

_INSERT_MESSAGE = "INSERT OR IGNORE INTO messages VALUES (?,?,?,?,?,?,?,?,?,?)"
_INSERT_SEGMENT = "INSERT INTO segments VALUES (?,?,?,?,?,?,?)"
# A state that is final sticks; an intermediate receipt changes nothing but the time (spec §6, forward only).
# 1 is SUBMITTED, 7 is UNKNOWN: numbers that domain/record.py promises never to change.
_APPLY_RECEIPT = """
    UPDATE segments SET state = ?, reason = ?, updated_at = ?
    WHERE account = ? AND receipt_key = ? AND state IN (1, 7)
"""
_UPSERT_SEGMENT = """
    INSERT INTO segments VALUES (?,?,?,?,?,?,?) ON CONFLICT (row) DO UPDATE SET
        receipt_key = excluded.receipt_key, smsc_id = excluded.smsc_id, state = excluded.state,
        reason = excluded.reason, updated_at = excluded.updated_at
    WHERE segments.state = 7
"""
_FIND_MESSAGES = "SELECT * FROM messages WHERE message_id IN (?)"
_Parked = tuple[int, str, float]


class SqliteStore:
    """See base.Store for the contract of every method."""

    def __init__(self, path: str | Path, *, retention_s: float) -> None:
        self._thread = SqliteThread(path)
        self._retention_s = retention_s
        self._next_row = 1
        self._accounts: dict[str, int] = {}
        self._parked: dict[tuple[int, str], _Parked] = {}
        self._open_rows: dict[int, int] = {}
        """Row of an intent without its whole result -> segments still missing, in row order."""
        self.counters = new_counters()

    @property
    def commits(self) -> int:
        return self._thread.commits

    async def open(self) -> None:
        await self._thread.open(self._setup)

    async def close(self) -> None:
        await self._thread.close()

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        rows: list[tuple[object, ...]] = []
        for intent in intents:
            intent.generation = self._next_row
            self._next_row += intent.segments
            rows.append(
                (
                    intent.generation,
                    intent.message_id,
                    intent.app_id,
                    intent.link_id,
                    intent.transaction_id,
                    intent.task_id,
                    intent.client_sent_at,
                    intent.segments,
                    intent.receipts,
                    intent.created_at,
                )
            )
            self._open_rows[intent.generation] = intent.segments
        taken_over = [(intent.replaces, intent.message_id) for intent in intents if intent.replaces]
        created = await self._thread.run(lambda connection: _create(connection, rows, taken_over))
        for intent, ok in zip(intents, created, strict=True):
            if not ok:
                self._open_rows.pop(intent.generation, None)
        self.counters["intents_stored"] += sum(created)
        return created

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        await self._thread.run(lambda connection: self._settle(connection, results))
        self.counters["results_stored"] += len(results)
        for result in results:
            self._close_row(result.intent.generation)

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        rows = [(intent.generation, intent.generation + intent.segments - 1) for intent in intents]
        await self._thread.run(lambda connection: _delete(connection, rows))
        self.counters["intents_withdrawn"] += len(intents)
        for row, _ in rows:
            self._open_rows.pop(row, None)

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        await self._thread.run(lambda connection: self._receive(connection, receipts))
        self.counters["receipts_stored"] += len(receipts)

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        found = await self._thread.run(lambda connection: _find(connection, message_ids))
        return [found.get(message_id) for message_id in message_ids]

    async def sweep(self, now: float) -> int:
        low_water = next(iter(self._open_rows), self._next_row)
        swept = await self._thread.run(lambda connection: self._sweep(connection, now, low_water))
        self.counters["messages_swept"] += swept
        return swept

    # -- inside the store's thread --------------------------------------------------------------------------

    def _setup(self, connection: sqlite3.Connection) -> None:
        schema.prepare(connection)
        self._accounts = dict(connection.execute("SELECT name, id FROM accounts"))
        self._parked = {
            (account, key): (state, reason, at)
            for account, key, state, reason, at in connection.execute("SELECT * FROM parked")
        }
        (last_message,) = connection.execute("SELECT max(row + segments) FROM messages").fetchone()
        (last_segment,) = connection.execute("SELECT max(row) + 1 FROM segments").fetchone()
        self._next_row = max(last_message or 1, last_segment or 1)
        self.counters["intents_marked_unknown"] = _mark_unknown(connection)

    def _account(self, connection: sqlite3.Connection, name: str) -> int:
        number = self._accounts.get(name)
        if number is None:
            connection.execute("INSERT OR IGNORE INTO accounts (name) VALUES (?)", (name,))
            (number,) = connection.execute("SELECT id FROM accounts WHERE name = ?", (name,)).fetchone()
            self._accounts[name] = number
        return int(number)

    def _settle(self, connection: sqlite3.Connection, results: Sequence[SegmentResult]) -> None:
        rows = []
        for intent, segment_no, state, smsc_id, receipt_key, reason, at in results:
            account = self._account(connection, intent.account)
            if self._parked and receipt_key:
                parked = self._unpark(connection, account, receipt_key)
                if parked is not None and state is SegmentState.SUBMITTED:
                    state, reason, at = SegmentState(parked[0]), parked[1], parked[2]
            row = intent.generation + segment_no - 1
            rows.append((row, account, receipt_key or None, smsc_id or None, state, reason or None, at))
        connection.execute("SAVEPOINT results")
        try:
            connection.executemany(_INSERT_SEGMENT, rows)
        except sqlite3.IntegrityError:
            # Rare: a late answer for a segment that has its result already, or an SMSC id given again.
            connection.execute("ROLLBACK TO results")
            for one in rows:
                self.counters["smsc_ids_reused"] += _insert_segment(connection, one)
        connection.execute("RELEASE results")

    def _receive(self, connection: sqlite3.Connection, receipts: Sequence[Receipt]) -> None:
        rows = [
            (state, reason, at, self._account(connection, account), key)
            for account, key, state, reason, at in receipts
        ]
        if connection.executemany(_APPLY_RECEIPT, rows).rowcount == len(rows):
            return
        for state, reason, at, account, key in rows:
            known = connection.execute(
                "SELECT 1 FROM segments WHERE account = ? AND receipt_key = ?", (account, key)
            ).fetchone()
            if known is None:
                self._park(connection, account, key, state, reason, at)

    def _park(
        self,
        connection: sqlite3.Connection,
        account: int,
        key: str,
        state: SegmentState,
        reason: str,
        at: float,
    ) -> None:
        if len(self._parked) >= PARKING_MAX:
            self._unpark(connection, *next(iter(self._parked)))
            self.counters["receipts_parking_overflow"] += 1
        self._parked[account, key] = (state, reason, at)
        connection.execute(
            "INSERT OR REPLACE INTO parked VALUES (?,?,?,?,?)", (account, key, state, reason, at)
        )
        self.counters["receipts_parked"] += 1

    def _unpark(self, connection: sqlite3.Connection, account: int, key: str) -> _Parked | None:
        parked = self._parked.pop((account, key), None)
        if parked is not None:
            connection.execute("DELETE FROM parked WHERE account = ? AND receipt_key = ?", (account, key))
        return parked

    def _sweep(self, connection: sqlite3.Connection, now: float, low_water: int) -> int:
        lapsed = [key for key, (_, _, at) in self._parked.items() if at + PARKING_S < now]
        for key in lapsed:
            self._unpark(connection, *key)
        self.counters["receipts_lapsed"] += len(lapsed)
        schema.write_meta(connection, "low_water", low_water)
        return _drop_old(connection, now - self._retention_s)

    def _close_row(self, row: int) -> None:
        missing = self._open_rows.get(row, 0) - 1
        if missing > 0:
            self._open_rows[row] = missing
        else:
            self._open_rows.pop(row, None)


def _create(
    connection: sqlite3.Connection, rows: list[tuple[object, ...]], taken_over: list[tuple[int, bytes]]
) -> list[bool]:
    for row, message_id in taken_over:
        # Whoever deletes the refused record has taken it over; the loser's insert is then ignored.
        old = connection.execute(
            "DELETE FROM messages WHERE row = ? AND message_id = ? RETURNING segments", (row, message_id)
        ).fetchone()
        if old is not None:
            connection.execute("DELETE FROM segments WHERE row BETWEEN ? AND ?", (row, row + old[0] - 1))
    if connection.executemany(_INSERT_MESSAGE, rows).rowcount == len(rows):
        return [True] * len(rows)
    return [
        connection.execute("SELECT 1 FROM messages WHERE row = ? AND message_id = ?", one[:2]).fetchone()
        is not None
        for one in rows
    ]


def _delete(connection: sqlite3.Connection, rows: list[tuple[int, int]]) -> None:
    connection.executemany("DELETE FROM messages WHERE row = ?", [(first,) for first, _ in rows])
    connection.executemany("DELETE FROM segments WHERE row BETWEEN ? AND ?", rows)


def _insert_segment(connection: sqlite3.Connection, row: tuple[object, ...]) -> int:
    """One segment the careful way; 1 when its SMSC id was somebody else's (it belongs to the newest now)."""
    reused = connection.execute(
        "UPDATE segments SET receipt_key = NULL WHERE account = ? AND receipt_key = ? AND row <> ?",
        (row[1], row[2], row[0]),
    ).rowcount
    connection.execute(_UPSERT_SEGMENT, row)
    return reused


def _mark_unknown(connection: sqlite3.Connection) -> int:
    """Segments that an earlier life of the daemon left without a result are in doubt (spec §6).

    Looked for from the oldest open intent on, a mark that `sweep` keeps: never a scan of the whole table.
    """
    low_water = schema.read_meta(connection, "low_water")
    missing = [
        (row + offset, SegmentState.UNKNOWN, "no answer before the restart", created_at)
        for row, segments, created_at in connection.execute(
            "SELECT row, segments, created_at FROM messages WHERE row >= ?", (low_water,)
        ).fetchall()
        for offset in range(segments)
        if connection.execute("SELECT 1 FROM segments WHERE row = ?", (row + offset,)).fetchone() is None
    ]
    connection.executemany("INSERT INTO segments VALUES (?,0,NULL,NULL,?,?,?)", missing)
    return len(missing)


def _drop_old(connection: sqlite3.Connection, before: float) -> int:
    oldest = connection.execute(
        "SELECT row, segments, created_at FROM messages ORDER BY row LIMIT ?", (_SWEEP_STEP,)
    ).fetchall()
    old = [(row, segments) for row, segments, created_at in oldest if created_at < before]
    if old:
        last, segments = old[-1]
        connection.execute("DELETE FROM messages WHERE row <= ?", (last,))
        connection.execute("DELETE FROM segments WHERE row < ?", (last + segments,))
    return len(old)


def _find(connection: sqlite3.Connection, message_ids: Sequence[bytes]) -> dict[bytes, MessageRecord]:
    wanted = list(message_ids)
    # Padded to a power of two, so that a handful of prepared statements serves every size of batch.
    wanted += [wanted[-1]] * ((1 << (len(wanted) - 1).bit_length()) - len(wanted))
    query = _FIND_MESSAGES.replace("?", ",".join("?" * len(wanted)))
    rows = connection.execute(query, wanted)
    return {row[1]: _record(connection, row) for row in rows.fetchall()}


def _record(connection: sqlite3.Connection, message: tuple[Any, ...]) -> MessageRecord:
    row, message_id, app_id, link_id, transaction_id, task_id, _, count, receipts, created_at = message
    segments = [SegmentRecord(SegmentState.SUBMITTING, updated_at=created_at) for _ in range(count)]
    stored = connection.execute(
        "SELECT row, smsc_id, state, reason, updated_at FROM segments WHERE row BETWEEN ? AND ?",
        (row, row + count - 1),
    )
    for segment_row, smsc_id, state, reason, updated_at in stored:
        segments[segment_row - row] = SegmentRecord(
            SegmentState(state), smsc_id or "", reason or "", updated_at
        )
    record = MessageRecord(
        message_id,
        app_id,
        link_id,
        transaction_id,
        task_id,
        created_at,
        segments,
        receipts_expected=receipts != ReceiptMode.NONE,
        last_receipt_settles_all=receipts == ReceiptMode.LAST,
        generation=row,
    )
    record.spread_last_receipt()
    return record
