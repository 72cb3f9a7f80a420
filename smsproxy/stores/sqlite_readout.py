"""The SQLite store read from outside, while a daemon writes it or not (readout.Readout).

Messages and segments both lie in arrival order, so two cursors walk side by side. A read transaction lasts
one page: one that lasted the whole export would keep the daemon's WAL from beginning anew. The connection is
read-only; `sqlite_inspect.py` has the look at the file itself.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.readout import Inspection, StoredMessage, Wanted
from smsproxy.stores.sqlite_inspect import inspect
from smsproxy.stores.sqlite_lookup import record_of
from smsproxy.stores.sqlite_rows import Row

PAGE = 1000
"""Messages in one read transaction: some milliseconds, and about a megabyte."""
_BUSY_TIMEOUT_S = 5.0
"""Readers wait for nobody in WAL mode, but for the recovery after a crash."""

_COUNT = """
    SELECT count(*) FROM messages
    WHERE (:since IS NULL OR created_at >= :since) AND (:app IS NULL OR app_id = :app)
        AND (:link IS NULL OR link_id = :link)
"""
_MESSAGES = """
    SELECT message_id, row, app_id, link_id, transaction_id, task_id, segments, receipts, created_at,
        client_sent_at
    FROM messages
    WHERE (:since IS NULL OR created_at >= :since) AND (:app IS NULL OR app_id = :app)
        AND (:link IS NULL OR link_id = :link)
        AND row > :after AND row <= :last ORDER BY row LIMIT :most
"""
_SEGMENTS = """
    SELECT row, state, smsc_id, reason, updated_at, account FROM segments
    WHERE row BETWEEN ? AND ? ORDER BY row
"""


class SqliteReadout:
    """See readout.Readout for the contract of every method."""

    def __init__(self, path: Path) -> None:
        """Raises StoreUnavailableError, with the path, when there is nothing to read there."""
        self._path = path
        with self._told():
            path.stat()
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None
            )

    def __repr__(self) -> str:
        return f"<SqliteReadout {self._path}>"

    def close(self) -> None:
        self._connection.close()

    def count(self, wanted: Wanted) -> int:
        with self._told():
            schema.verify(self._connection)
            ((count,),) = self._connection.execute(_COUNT, _values(wanted)).fetchall()
        return int(count)

    def records(self, wanted: Wanted) -> Iterator[StoredMessage]:
        with self._told():
            schema.verify(self._connection)
            ((row, last),) = self._connection.execute(
                "SELECT ifnull(min(row), 1) - 1, ifnull(max(row), 0) FROM messages"
            ).fetchall()
            # What is created from here on is not told; so a message that is tried anew is not told twice.
            while row < last:
                page = self._page(wanted, row, last)
                yield from (stored for _, stored in page)
                if len(page) < PAGE:
                    return
                row = page[-1][0]

    def inspect(self, *, full: bool) -> Inspection:
        with self._told():
            return inspect(self._connection, self._path, full=full)

    def _page(self, wanted: Wanted, after: int, last: int) -> list[tuple[int, StoredMessage]]:
        """The next messages and their row numbers, all as of one moment."""
        self._connection.execute("BEGIN")
        try:
            accounts = dict(self._connection.execute("SELECT id, name FROM accounts"))
            place = {"after": after, "last": last, "most": PAGE}
            messages = self._connection.execute(_MESSAGES, _values(wanted) | place).fetchall()
            return list(self._join(messages, accounts))
        finally:
            self._connection.execute("COMMIT")

    def _join(self, messages: list[Row], accounts: dict[int, str]) -> Iterator[tuple[int, StoredMessage]]:
        if not messages:
            return
        until = messages[-1][1] + messages[-1][6] - 1
        segments = self._connection.execute(_SEGMENTS, (messages[0][1], until))
        segment = segments.fetchone()
        for message in messages:
            row, count = message[1], message[6]
            stored = []
            account = ""
            while segment is not None and segment[0] < row + count:
                if segment[0] >= row:  # else of a message that was filtered out
                    stored.append(segment[:5])
                    account = account or accounts.get(segment[5], "")
                segment = segments.fetchone()
            yield row, StoredMessage(record_of(message[:9], stored), account, message[9])

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, ValueError) as error:  # ValueError: a state that no release wrote
            words = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
            raise StoreUnavailableError(f"{self._path}: {words}") from error


def _values(wanted: Wanted) -> dict[str, float | int | None]:
    return {"since": wanted.since, "app": wanted.app_id, "link": wanted.link_id}
