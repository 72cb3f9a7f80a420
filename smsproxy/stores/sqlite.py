"""The embedded store: records in one SQLite file (spec §6). The default; one process owns the file.

This is the loop's side: row numbers, the low-water mark and the counters. What happens to the tables is in
`sqlite_tables.py` and `sqlite_receipts.py`, the thread and its group commit in `sqlite_thread.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import MessageRecord
from smsproxy.stores import sqlite_lookup
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import Intent, SegmentResult, new_counters
from smsproxy.stores.open_intents import OpenIntents
from smsproxy.stores.sqlite_rows import Row
from smsproxy.stores.sqlite_tables import SqliteTables
from smsproxy.stores.sqlite_thread import SqliteThread


class SqliteStore:
    """See base.Store for the contract of every method."""

    def __init__(self, path: str | Path, *, retention_s: float) -> None:
        self._tables = SqliteTables()
        self.thread = SqliteThread(path, self._tables.setup, self._tables.recover, self._tables.committed)
        """For its counters: commits, works, checkpoints."""
        self._retention_s = retention_s
        self._next_row = 0
        self._open = OpenIntents()
        self._low_water = 0
        """As the file has it."""
        self.counters = new_counters()

    def __repr__(self) -> str:
        return f"<SqliteStore open_intents={len(self._open)} {self.thread!r}>"

    @property
    def away(self) -> str:
        """See base.Health."""
        return self.thread.gate.away

    @property
    def outages(self) -> int:
        """See base.Health."""
        return self.thread.gate.outages

    @property
    def refused(self) -> int:
        """See base.Health."""
        return self.thread.gate.refused

    async def open(self) -> None:
        await self.thread.open()
        self._next_row = self._low_water = self._tables.first_row
        self.counters["intents_marked_unknown"] = self._tables.marked_unknown

    async def close(self) -> None:
        await self.thread.close()

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        if not intents:
            return []
        self.thread.gate.check()
        rows = [self._row(intent) for intent in intents]
        replaces = [intent.replaces for intent in intents]
        try:
            created = await self.thread.run(
                lambda file: self._tables.create(file, rows, replaces), urgent=True
            )
        except StoreUnavailableError:
            for row in rows:
                self._open.drop(row[0])
            raise
        for intent, row, ok in zip(intents, rows, created, strict=True):
            if ok:
                intent.generation = row[0]
            else:
                self._open.drop(row[0])
        self.counters["intents_stored"] += sum(created)
        return created

    def _row(self, intent: Intent) -> Row:
        """The intent's row of `messages`, under the next row number."""
        row = self._next_row
        self._next_row += intent.segments
        self._open.add(row, intent.segments)
        return (
            row,
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

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        self._count(await self.thread.run(lambda file: self._tables.settle(file, results)))
        for result in results:
            self._open.settled(result.intent.generation, result.segment_no)

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        rows = [(intent.generation, intent.segments) for intent in intents]
        self._count(await self.thread.run(lambda file: self._tables.withdraw(file, rows)))
        for row, _ in rows:
            self._open.drop(row)

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        self._count(await self.thread.run(lambda file: self._tables.receipts.receive(file, receipts)))

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        self.thread.gate.check(reading=True)
        return await self.thread.run(
            lambda file: sqlite_lookup.find(file, self._tables.ids, message_ids), urgent=True
        )

    async def sweep(self, now: float) -> int:
        await self._mark()
        dropped, lapsed = await self.thread.run(lambda file: self._tables.sweep(file, now, self._retention_s))
        for row in dropped:
            self._open.drop(row)
        self._count({"messages_swept": len(dropped), "receipts_lapsed": lapsed})
        return len(dropped)

    async def _mark(self) -> None:
        """Keep the low-water mark, from which the next life looks for what this one left unanswered."""
        low_water = self._open.low_water(self._next_row)
        if low_water != self._low_water:
            await self.thread.run(lambda file: schema.write_meta(file, "low_water", low_water))
            self._low_water = low_water

    def _count(self, counts: Mapping[str, int]) -> None:
        for name, number in counts.items():
            self.counters[name] += number
