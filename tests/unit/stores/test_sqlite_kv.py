"""The policy's file beyond the contract: it lasts, it shrinks, and it is its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from smsproxy.stores.sqlite_kv import SqliteKeyValue, SqliteTransaction

NOW = 1_795_000_000.0


class HandClock:
    """Unix seconds, turned by hand."""

    now = NOW

    def __call__(self) -> float:
        return self.now


def put_many(begin: int, end: int, expires_at: float) -> object:
    def work(transaction: SqliteTransaction) -> None:
        for number in range(begin, end):
            transaction.put(b"%d" % number, b"v", expires_at)

    return work


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM kv").fetchall()
    return count


async def test_what_was_put_is_there_after_a_restart_until_it_expires(tmp_path: Path) -> None:
    clock = HandClock()
    for expected in (None, b"v", b"v"):
        kv = SqliteKeyValue(tmp_path / "p.db", clock)
        await kv.open()
        assert await kv.transact(lambda transaction: transaction.get(b"0")) == expected
        await kv.transact(put_many(0, 1, NOW + 100))
        await kv.close()
        clock.now += 30
    clock.now = NOW + 100
    kv = SqliteKeyValue(tmp_path / "p.db", clock)
    await kv.open()
    assert await kv.transact(lambda transaction: transaction.get(b"0")) is None
    await kv.close()


async def test_expired_keys_leave_the_file_a_bounded_number_at_a_time(tmp_path: Path) -> None:
    clock = HandClock()
    kv = SqliteKeyValue(tmp_path / "p.db", clock)
    await kv.open()
    await kv.transact(put_many(0, 250, NOW + 10))
    await kv.transact(put_many(1000, 1010, NOW + 99))
    clock.now += 10
    assert await kv.transact(lambda transaction: transaction.get(b"249")) is None
    left = []
    for _ in range(3):
        await kv.transact(lambda transaction: transaction.get(b"x"))
        left.append(rows(tmp_path / "p.db"))
    assert left == [60, 10, 10]
    await kv.close()
