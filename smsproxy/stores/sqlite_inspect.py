"""A look at the SQLite store's house: is the file whole, and does what is in it belong together?

Each question is one statement whose answer is a number; anything but 0 is a finding with its words. The
messages themselves are not read here. Used by sqlite_readout.py.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from smsproxy.domain.record import SegmentState
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.base import ReceiptMode
from smsproxy.stores.parking import PARKING_MAX
from smsproxy.stores.readout import Inspection

SHOWN_FAULTS = 10
"""Lines of SQLite's own check: damage comes in heaps."""

_MOST_SEGMENTS = 255
"""SMPP's total number of segments is one octet."""

_QUESTIONS = {
    "segments without their message": """
        SELECT count(*) FROM segments AS s WHERE NOT EXISTS (
            SELECT 1 FROM messages AS m
            WHERE m.row = (SELECT max(row) FROM messages WHERE row <= s.row)
            AND s.row < m.row + m.segments)""",
    "messages below the low-water mark without a result: a restart does not find them": """
        SELECT count(*) FROM messages AS m
        WHERE row < (SELECT value FROM meta WHERE key = 'low_water') AND segments >
            (SELECT count(*) FROM segments AS s WHERE s.row BETWEEN m.row AND m.row + m.segments - 1)""",
    "messages with a row number that is not given yet: it would be given twice": """
        SELECT count(*) FROM messages
        WHERE row >= ((SELECT value FROM meta WHERE key = 'life') + 1) * :rows_of_a_life""",
    "low-water marks beyond the last row number": """
        SELECT count(*) FROM meta WHERE key = 'low_water'
        AND value >= ((SELECT value FROM meta WHERE key = 'life') + 1) * :rows_of_a_life""",
    "messages with fields that no release wrote": """
        SELECT count(*) FROM messages WHERE length(message_id) <> 16
        OR segments NOT BETWEEN 1 AND :segments OR receipts NOT BETWEEN 0 AND :receipts""",
    "segments with a state that no release wrote": """
        SELECT count(*) FROM segments WHERE state NOT BETWEEN 0 AND :state""",
    "segments with an SMSC id of no account": """
        SELECT count(*) FROM segments
        WHERE receipt_key IS NOT NULL AND account NOT IN (SELECT id FROM accounts)""",
    "parked receipts of no account": """
        SELECT count(*) FROM parked WHERE account NOT IN (SELECT id FROM accounts)""",
}
_SINCE_2 = {
    "messages that their id does not lead to: a repeat would be sent again": schema.LOST_IDS,
}
"""Questions about tables that version 1 had not."""
_NUMBERS = {
    "rows_of_a_life": schema.ROWS_OF_A_LIFE,
    "segments": _MOST_SEGMENTS,
    "receipts": int(max(ReceiptMode)),
    "state": int(max(SegmentState)),
}


def inspect(connection: sqlite3.Connection, path: Path, *, full: bool) -> Inspection:
    """Raises sqlite3.Error, OSError where not even a look is possible."""
    found = Inspection()
    found.facts["file"] = str(path)
    found.facts["file_bytes"] = path.stat().st_size
    wal = Path(f"{path}-wal")
    found.facts["wal_bytes"] = wal.stat().st_size if wal.exists() else 0
    try:
        found.findings += _damage(connection, full=full)
        if not found.findings:  # in a damaged file every further answer would be a guess
            schema.verify(connection)
            _ask(connection, found)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        found.findings.append(str(error))
    return found


def _damage(connection: sqlite3.Connection, *, full: bool) -> list[str]:
    """What SQLite finds wrong with its pages; `full` also compares every index with its table."""
    pragma = "integrity_check" if full else "quick_check"
    said = [line for (line,) in connection.execute(f"PRAGMA {pragma}({SHOWN_FAULTS})")]
    return [] if said == ["ok"] else [" ".join(line.split()) for line in said]


def _ask(connection: sqlite3.Connection, found: Inspection) -> None:
    for key in ("schema_version", "life", "low_water"):
        found.facts[key] = schema.read_meta(connection, key)
    ((parked, oldest),) = connection.execute("SELECT count(*), min(at) FROM parked").fetchall()
    found.facts["parked_receipts"] = parked
    if parked:
        found.facts["oldest_parked_s"] = max(0, int(time.time() - oldest))
    if parked > PARKING_MAX:
        found.findings.append(f"{parked} parked receipts, {PARKING_MAX} is the most")
    questions = _QUESTIONS if found.facts["schema_version"] == 1 else _QUESTIONS | _SINCE_2
    for words, question in questions.items():
        ((count,),) = connection.execute(question, _NUMBERS).fetchall()
        if count:
            found.findings.append(f"{count} {words}")
