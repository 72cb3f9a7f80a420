"""Reading records back out of the SQLite store, for SmsInfo and for repeats. In the store's thread.

`record_of` makes the record of its rows; `sqlite_readout.py` uses it, too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import ReceiptMode
from smsproxy.stores.sqlite_ids import DerivedIds, is_derived
from smsproxy.stores.sqlite_rows import Row, select

_FIND = """
    SELECT message_id, row, app_id, link_id, transaction_id, task_id, segments, receipts, created_at
    FROM messages WHERE """
_FIND_OWN = _FIND + schema.OWN_IDS
_FIND_ROWS = _FIND + "row IN (VALUES {rows})"
_FIND_SEGMENTS = "SELECT row, state, smsc_id, reason, updated_at FROM segments WHERE row BETWEEN ? AND ?"


def find(
    connection: sqlite3.Connection, ids: DerivedIds, message_ids: Sequence[bytes]
) -> list[MessageRecord | None]:
    """A record for each id, in order; one of its own for an id that is asked twice."""
    whole = [one for one in message_ids if len(one) == 16]
    own = [(one,) for one in whole if not is_derived(one)]
    derived = ids.candidates(connection, filter(is_derived, whole))
    found = select(connection, _FIND_OWN, own) + select(connection, _FIND_ROWS, [(row,) for row in derived])
    rows = {row[0]: row for row in found}
    return [_find(connection, rows[one]) if one in rows else None for one in message_ids]


def _find(connection: sqlite3.Connection, message: Row) -> MessageRecord:
    row, count = message[1], message[6]
    return record_of(message, connection.execute(_FIND_SEGMENTS, (row, row + count - 1)).fetchall())


def record_of(message: Row, stored: Iterable[Row]) -> MessageRecord:
    """The record of a row of `messages` (the columns of _FIND) and its rows of `segments` (those of
    _FIND_SEGMENTS). A segment without a row has no result yet."""
    message_id, row, app_id, link_id, transaction_id, task_id, count, receipts, created_at = message
    segments = [SegmentRecord(SegmentState.SUBMITTING, updated_at=created_at) for _ in range(count)]
    for segment_row, state, smsc_id, reason, updated_at in stored:
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
