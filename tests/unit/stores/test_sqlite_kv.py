"""The policy's file beyond the contract: it lasts, it shrinks, and it is its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from smsproxy.stores.sqlite_kv import SqliteKeyValue, SqliteTransaction, transact_once

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
    await kv.transact(put_many(1000, 1250, NOW + 10))
    await kv.transact(put_many(2000, 2010, NOW + 99))
    clock.now += 10
    left = []
    for _ in range(6):
        assert await kv.transact(lambda transaction: transaction.get(b"1249")) is None
        left.append(rows(tmp_path / "p.db"))
    assert all(before - after <= 100 for before, after in pairwise([260, *left]))
    assert left[-2:] == [10, 10]
    await kv.close()


async def test_the_file_shrinks_faster_than_it_grows(tmp_path: Path) -> None:
    clock = HandClock()
    kv = SqliteKeyValue(tmp_path / "p.db", clock)
    await kv.open()
    await kv.transact(put_many(10_000, 13_000, NOW + 10))
    clock.now += 10
    for begin in range(20_000, 21_500, 500):
        await kv.transact(put_many(begin, begin + 500, NOW + 99))
    assert rows(tmp_path / "p.db") < 3_000
    await kv.close()


async def test_a_file_with_an_index_by_expiry_loses_it_when_a_daemon_opens_it_and_not_before(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.db"
    with closing(sqlite3.connect(path)) as old:
        columns = "key BLOB PRIMARY KEY, value BLOB NOT NULL, expires_at REAL NOT NULL"
        old.execute(f"CREATE TABLE kv ({columns}) WITHOUT ROWID")
        old.execute("CREATE INDEX kv_by_expiry ON kv (expires_at)")
        old.execute("PRAGMA user_version = 1")
    transact_once(path, lambda transaction: transaction.put(b"k", b"v", NOW + 9), NOW)
    assert _names(path) == {"kv", "kv_by_expiry"}, "an older daemon may have it open"
    kv = SqliteKeyValue(path, HandClock())
    await kv.open()
    assert await kv.transact(lambda transaction: transaction.get(b"k")) == b"v"
    await kv.close()
    assert _names(path) == {"kv"}
    assert transact_once(path, lambda transaction: transaction.get(b"k"), NOW) == b"v"


def _names(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
