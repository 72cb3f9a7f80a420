"""The WAL is copied back beside the writer and begins anew, however busy the writer is."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from smsproxy.stores import sqlite_checkpoint
from smsproxy.stores.sqlite_thread import SqliteThread

KIB = 1024


def make_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, b)")


def write(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t (b) VALUES (zeroblob(16384))")


@pytest.fixture
def small_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "_POLL_S", 0.005)
    monkeypatch.setattr(sqlite_checkpoint, "_START_BYTES", 64 * KIB)
    monkeypatch.setattr(sqlite_checkpoint, "RESTART_BYTES", 256 * KIB)


async def write_while(thread: SqliteThread, condition: object, at_most: int = 20_000) -> int:
    """Commit after commit without a pause until the condition fails."""
    for number in range(at_most):
        if not condition():
            return number
        await thread.run(write)
    pytest.fail("the condition held on and on")


@pytest.mark.usefixtures("small_wal")
async def test_a_writer_without_a_pause_does_not_let_the_wal_grow_for_ever(tmp_path: Path) -> None:
    thread = SqliteThread(tmp_path / "x.db", make_table)
    await thread.open()
    checkpointer = thread.checkpointer
    commits = await write_while(thread, lambda: checkpointer.restarts < 20)
    written = commits * 16 * KIB
    size = (tmp_path / "x.db-wal").stat().st_size
    assert size < written / 2
    assert checkpointer.passes > 5
    assert 0 < checkpointer.longest_restart_s < 5
    assert checkpointer.restarts_held_back == checkpointer.failures == 0
    assert repr(checkpointer).endswith(f" restarts={checkpointer.restarts}>")
    assert await thread.run(lambda file: file.execute("SELECT count(*) FROM t").fetchone()) == (commits,)
    await thread.close()


@pytest.mark.usefixtures("small_wal")
async def test_a_foreign_reader_holds_the_wal_back_and_that_is_counted(tmp_path: Path) -> None:
    thread = SqliteThread(tmp_path / "x.db", make_table)
    await thread.open()
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as reader:
        await thread.run(write)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM t").fetchall()
        await write_while(thread, lambda: not thread.checkpointer.restarts_held_back)
        assert thread.checkpointer.restarts == 0
        reader.execute("COMMIT")
        await write_while(thread, lambda: not thread.checkpointer.restarts)
    await thread.close()


def test_a_small_wal_is_left_alone_and_a_checkpoint_that_fails_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "_POLL_S", 0.001)
    monkeypatch.setattr(sqlite_checkpoint, "_START_BYTES", 10)
    checkpointer = sqlite_checkpoint.Checkpointer(tmp_path / "x.db")
    wal = tmp_path / "x.db-wal"
    wal.write_bytes(b"x" * 9)
    thread = threading.Thread(target=checkpointer.run)
    thread.start()
    for change in (lambda: wal.write_bytes(b"x" * 10), lambda: wal.unlink(missing_ok=True)):
        failures = checkpointer.failures
        assert checkpointer.passes == 0
        change()
        (tmp_path / "x.db").write_bytes(b"no database" * 100)
        for _ in range(2000):
            if checkpointer.failures > failures:
                break
            threading.Event().wait(0.001)
        assert checkpointer.failures > failures
    checkpointer.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_restart_that_fails_is_counted_and_not_asked_for_again(tmp_path: Path) -> None:
    checkpointer = sqlite_checkpoint.Checkpointer(tmp_path / "x.db")
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    checkpointer.restart_due.set()
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        checkpointer.restart(connection)
    assert checkpointer.failures == 1
    assert not checkpointer.restart_due.is_set()


async def test_closing_does_not_wait_for_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "_POLL_S", 3600)
    thread = SqliteThread(tmp_path / "x.db", make_table)
    await thread.open()
    async with asyncio.timeout(10):
        await thread.close()
