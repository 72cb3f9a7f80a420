"""Where the record of a derived message_id lies: the index that stays cheap however many are stored.

Ids that we make ourselves are time-ordered and have an ordinary index. Derived ones (a transaction_id gives
them) are random: in one index each would change a page of its own, which goes to the disk twice, and the more
are stored the colder that page is. So new ones wait in memory, in 256 buckets by their first octet, and a
bucket at a time moves to the table `ids`: neighbours there, a few pages for hundreds of ids. The table is cut
into parts of two million by age, each with a filter in memory that knows most ids it has not (id_filter.py);
retention drops whole parts.

An entry is a hint, `messages` is the truth. What must stay true: every message of a derived id has an entry
in memory, or one in `ids` that the part's filter knows. Entries without a message (withdrawn, rolled back) do
no harm, since no row number is ever given twice; they go with their part. After a crash what was in memory,
and what the stored filters lack, is read again from the mark `ids_from` on. In the store's thread; called by
sqlite_tables.py and sqlite_lookup.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.id_filter import OCTETS, add, holders
from smsproxy.stores.sqlite_rows import Row, change, select

_BUCKETS = 256
MOVE_EVERY = 256
"""Messages for each bucket moved: a rotation is 65,536 of them, about half of which are in memory."""
ABSENT_MAX = 65_536
"""Ids known to be in no part, between their look-up and their intent."""
_DROP_STEP = 1000
"""Entries of a dead part dropped in one sweep: twice the messages."""

_MOVE = "INSERT OR IGNORE INTO ids VALUES {rows}"
_CANDIDATES = """
    SELECT column2, row FROM (VALUES {rows}) CROSS JOIN ids ON ids.part = column1 AND id = column2
"""
_DEAD_PART = """
    SELECT part FROM id_parts WHERE part < (SELECT max(part) FROM id_parts)
    AND last_row < (SELECT ifnull(min(row), 1 << 62) FROM messages) ORDER BY part LIMIT 1
"""
_DROP = """
    DELETE FROM ids WHERE part = ?1 AND id <= (
        SELECT max(id) FROM (SELECT id FROM ids WHERE part = ?1 ORDER BY id LIMIT ?2))
"""

_Entries = dict[bytes, tuple[int, ...]]


def is_derived(message_id: bytes) -> bool:
    """Not one of our time-ordered ids (UUIDv7), which `messages` has an index for."""
    return message_id[6] >> 4 != 7


class DerivedIds:
    """See the module. `recover` after anything was undone, `committed` after every commit."""

    def __init__(self) -> None:
        self._buckets: list[_Entries] = [{} for _ in range(_BUCKETS)]
        self._moved: list[_Entries] = []
        """Written to `ids` by a transaction that is not committed yet."""
        self._filters: dict[int, bytearray] = {}
        """By part. They may know too much, never too little."""
        self._unsaved: set[int] = set()
        """Parts whose filter has learnt something since it was stored."""
        self._saved: set[int] = set()
        """Parts whose filter was stored by a transaction that is not committed yet."""
        self._absent: set[bytes] = set()
        self._turn = 0
        self._due = 0
        self._began_at = 0
        """Whatever has a smaller row is in `ids` once this rotation is through."""
        self._whole = True
        """Nothing of this rotation was undone."""

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def load(self, connection: sqlite3.Connection, first_row: int) -> None:
        """At open: what an earlier life had in memory. `first_row` is the first that this one gives."""
        self._began_at = first_row
        self._filters = {
            part: bytearray(bits) for part, bits in connection.execute(schema.FILTERS, (OCTETS,))
        }
        for message_id, row in connection.execute(
            schema.DERIVED_FROM, (schema.read_meta(connection, "ids_from"),)
        ):
            self._enter(message_id, row)
        if len(self) > _BUCKETS * MOVE_EVERY:  # lives too short for a rotation left more and more
            self.move(connection, first_row, _BUCKETS * MOVE_EVERY)
            self.committed()  # an open that fails makes a new object

    # -- look-ups -------------------------------------------------------------------------------------------

    def candidates(self, connection: sqlite3.Connection, message_ids: Iterable[bytes]) -> list[int]:
        """The rows that these derived ids may have: at most one of an id is a message's."""
        rows: list[int] = []
        asked: set[bytes] = set()
        looks: list[Row] = []
        for one in message_ids:
            rows += self._buckets[one[0]].get(one, ())
            if one not in self._absent and one not in asked:
                asked.add(one)
                looks += [(part, one) for part in holders(self._filters, one)]
        found = select(connection, _CANDIDATES, looks)
        rows += [row for _, row in found]
        self._note_absent(asked.difference([one for one, _ in found]))
        return rows

    def _note_absent(self, message_ids: Iterable[bytes]) -> None:
        if len(self._absent) >= ABSENT_MAX:
            self._absent.clear()  # no more than a hint, either
        self._absent.update([one for one in message_ids if one not in self._buckets[one[0]]])

    def is_live(self, connection: sqlite3.Connection, message_id: bytes) -> bool:
        """Whether a message has this derived id."""
        rows = self.candidates(connection, [message_id])
        return bool(rows) and bool(
            select(
                connection, "SELECT 1 FROM messages WHERE row IN (VALUES {rows})", [(row,) for row in rows]
            )
        )

    # -- entries --------------------------------------------------------------------------------------------

    def enter_new(self, connection: sqlite3.Connection, rows: Sequence[Row]) -> list[Row]:
        """Enter the rows of `messages` whose derived id is surely new. The others are returned: an entry has
        their id already, perhaps one of these rows."""
        derived = [row for row in rows if is_derived(row[1])]
        absent = self._absent
        unknown = [row[1] for row in derived if row[1] not in absent]
        if unknown:
            self.candidates(connection, unknown)
        doubtful = []
        for row in derived:
            if row[1] in absent:
                self.enter(row)
            else:
                doubtful.append(row)
        return doubtful

    def enter(self, row: Row) -> None:
        """A row of `messages` is inserted, before or after this."""
        self._began_at = min(self._began_at, row[0])  # works may come out of the order of their rows
        self._enter(row[1], row[0])

    def _enter(self, message_id: bytes, row: int) -> None:
        self._absent.discard(message_id)
        bucket = self._buckets[message_id[0]]
        bucket[message_id] = (*bucket.get(message_id, ()), row)

    # -- from memory to the table ---------------------------------------------------------------------------

    def move(self, connection: sqlite3.Connection, next_row: int, count: int) -> None:
        """`count` messages are about to come, the first of them as `next_row`: keep pace with them."""
        self._due += count
        while self._due >= MOVE_EVERY:
            self._due -= MOVE_EVERY
            self._move_bucket(connection)
            self._turn += 1
            if self._turn == _BUCKETS:
                self._rotated(connection, next_row)

    def _move_bucket(self, connection: sqlite3.Connection) -> None:
        bucket = self._buckets[self._turn]
        if not bucket:
            return
        self._buckets[self._turn] = {}
        self._moved.append(bucket)
        part = schema.part_to_fill(connection)
        entries = [(part, one, row) for one in sorted(bucket) for row in bucket[one]]
        change(connection, _MOVE, entries)
        schema.count_into_part(connection, part, len(entries), max(row for _, _, row in entries))
        add(self._filters.setdefault(part, bytearray(OCTETS)), bucket)
        self._unsaved.add(part)

    def _rotated(self, connection: sqlite3.Connection, next_row: int) -> None:
        whole, began_at = self._whole, self._began_at
        self._turn, self._began_at, self._whole = 0, next_row, True  # also when what follows fails
        if whole:
            schema.write_meta(connection, "ids_from", began_at)
            for part in self._unsaved & self._filters.keys():  # the others were dropped meanwhile
                schema.write_filter(connection, part, self._filters[part])
            self._saved |= self._unsaved
            self._unsaved.clear()

    def committed(self) -> None:
        """What was moved is there."""
        self._moved.clear()
        self._saved.clear()

    def recover(self) -> None:
        """Something was undone, perhaps a move: it is done again, which changes nothing where it was not."""
        self._unsaved |= self._saved
        self._saved.clear()
        for entries in self._moved:
            self._whole = False
            for message_id, rows in entries.items():
                for row in rows:
                    self._enter(message_id, row)
        self._moved.clear()

    def drop_dead(self, connection: sqlite3.Connection) -> None:
        """One bounded step: entries of the oldest part, when none of its messages is there any more."""
        dead = connection.execute(_DEAD_PART).fetchone()
        if dead is not None and not connection.execute(_DROP, (dead[0], _DROP_STEP)).rowcount:
            connection.execute("DELETE FROM id_parts WHERE part = ?", dead)
            connection.execute("DELETE FROM id_filters WHERE part = ?", dead)
            self._filters.pop(dead[0], None)
