"""`--stored N`: a record store with N delivered messages in it, so that its weight can be measured.

Filled in one transaction through the product's own schema, in seconds: rows of an earlier life, ids as the
row's own messages have them, every segment with its receipt. Called by sides.py before the daemon starts.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from smsproxy.domain.ids import time_ordered_id
from smsproxy.domain.record import SegmentState
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import ReceiptMode
from tests.bench.daemon import LINK_ID

_OVER_S = 3600.0
"""They were sent during the last hour: nothing of them is due to be swept."""
_FIRST_SMSC_ID = 2_000_000_000
"""Ids of the bench's SMSC count from 1."""


def fill(path: Path, messages: int, account: str, *, derived_ids: bool) -> None:
    """Make the store. `derived_ids`: message ids all over the index, as transaction_ids give them."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("BEGIN")
        schema.prepare(file)
        first = schema.begin_life(file)
        file.execute("INSERT INTO accounts VALUES (1, ?)", (account,))
        file.executemany(
            "INSERT INTO messages VALUES (?,?,1,?,?,0,0,1,?,?)",
            _messages(first, messages, derived_ids),
        )
        file.executemany("INSERT INTO segments VALUES (?,1,?,?,?,NULL,?)", _segments(first, messages))
        schema.write_meta(file, "low_water", first + messages)
        file.execute("COMMIT")
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _times(count: int) -> Iterator[float]:
    began = time.time() - _OVER_S
    return (began + _OVER_S * number / count for number in range(count))


def _messages(first: int, count: int, derived_ids: bool) -> Iterator[tuple[Any, ...]]:
    chance = random.Random(1)
    for number, at in enumerate(_times(count)):
        octets = chance.randbytes(16)
        message_id = octets if derived_ids else time_ordered_id(int(at * 1000), octets[:10])
        yield first + number, message_id, LINK_ID, f"stored-{number}", ReceiptMode.ALL, at


def _segments(first: int, count: int) -> Iterator[tuple[Any, ...]]:
    for number, at in enumerate(_times(count)):
        smsc_id = str(_FIRST_SMSC_ID + number)
        yield first + number, smsc_id, smsc_id, SegmentState.DELIVERED, at + 1
