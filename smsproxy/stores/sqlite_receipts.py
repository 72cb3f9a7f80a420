"""Receipts in the SQLite store: to their segment's row, or parked until its message is known (spec §6).

A batch is one statement; only when its count tells of a receipt without its segment, or of a repeated one,
they are looked at one by one. In the store's thread, as `sqlite_tables`, which asks for what waits when it
settles. Changes are returned as counts by counter name: the caller adds them once durable.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.stores.parking import PARKING_S, Parked, Parking
from smsproxy.stores.sqlite_accounts import Accounts
from smsproxy.stores.sqlite_rows import Row, change, select

# States by number (domain/record.py never renumbers): 1 and 7 are AWAITS_RECEIPT.
_APPLY_RECEIPTS = """
    UPDATE segments SET state = column3, reason = nullif(column4, ''), updated_at = column5
    FROM (VALUES {rows}) WHERE account = column1 AND receipt_key = column2 AND state IN (1, 7)
"""
_KNOWN_KEYS = """
    SELECT column1, column2 FROM (VALUES {rows})
    CROSS JOIN segments ON account = column1 AND receipt_key = column2
"""

_Key = tuple[int, str]
Counts = Counter[str]


class SqliteReceipts:
    """The parked ones are in their table and, to be asked without a query, in memory."""

    __slots__ = ("_accounts", "_parking")

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._parking: Parking[_Key] = Parking()

    def recover(self, connection: sqlite3.Connection) -> None:
        """Read again what is kept in memory: at open, and after work that was undone."""
        parked = connection.execute("SELECT account, receipt_key, state, reason, at FROM parked ORDER BY at")
        self._parking = Parking(
            ((account, key), Parked(SegmentState(state), reason, at))
            for account, key, state, reason, at in parked
        )

    def receive(self, connection: sqlite3.Connection, receipts: Sequence[Receipt]) -> Counts:
        """Give each to its segment, or keep it until its message is known."""
        if len({receipt[:2] for receipt in receipts}) < len(receipts):  # two of one segment: order counts
            counts: Counts = Counter()
            for receipt in receipts:
                counts += self._apply(connection, [receipt])
            return counts
        return self._apply(connection, receipts)

    def _apply(self, connection: sqlite3.Connection, receipts: Sequence[Receipt]) -> Counts:
        """Receipts of different segments."""
        number = self._accounts.number
        rows = [
            (number(connection, account), key, state, reason, at)
            for account, key, state, reason, at in receipts
        ]
        counts = Counter(receipts_stored=len(rows))
        applied = change(connection, _APPLY_RECEIPTS, rows)
        if applied == len(rows):
            return counts
        known = set(select(connection, _KNOWN_KEYS, [row[:2] for row in rows]))
        counts["receipts_repeated"] = len(known) - applied
        for account, key, state, reason, at in rows:
            if (account, key) not in known:
                counts += self._park(connection, (account, key), Parked(state, reason, at))
        return counts

    def _park(self, connection: sqlite3.Connection, key: _Key, receipt: Parked) -> Counts:
        counts: Counts = Counter()
        leaves = self._parking.full_for(key)
        if leaves is not None:
            self._take(connection, leaves)
            counts["receipts_parking_overflow"] = 1
        if not self._parking.park(key, receipt):
            return Counter(receipts_repeated=1)
        connection.execute("INSERT OR REPLACE INTO parked VALUES (?,?,?,?,?)", (*key, *receipt))
        counts["receipts_parked"] = 1
        return counts

    def _take(self, connection: sqlite3.Connection, key: _Key) -> None:
        self._parking.take(key)
        connection.execute("DELETE FROM parked WHERE account = ? AND receipt_key = ?", key)

    def unpark(self, connection: sqlite3.Connection, settled: list[Row]) -> None:
        """The segments of these rows may have just become known: what waits for them is theirs."""
        if not self._parking:
            return
        for key in [(row[2], row[3]) for row in settled]:
            receipt = self._parking.get(key)
            if receipt is not None and change(connection, _APPLY_RECEIPTS, [(*key, *receipt)]):
                self._take(connection, key)

    def lapse(self, connection: sqlite3.Connection, now: float) -> int:
        """Drop the parked ones that no message asked for in time; how many."""
        lapsed = self._parking.lapse(now)
        if lapsed:
            connection.execute("DELETE FROM parked WHERE at < ?", (now - PARKING_S,))
        return lapsed
