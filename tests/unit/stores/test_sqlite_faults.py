"""A fault of file or disk is one clear line; nothing acknowledged is lost; the store works again after it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import sqlite3
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from contract.store.store_kit import (
    DELIVERED,
    NOW,
    RETENTION_S,
    SUBMITTED,
    SUBMITTING,
    a_receipt,
    a_result,
    an_intent,
    created,
    sqlite_store,
    states,
)

from smsproxy.aio.wait import settled
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores import sqlite_gate, sqlite_thread
from smsproxy.stores.sqlite import SqliteStore
from smsproxy.stores.sqlite_kv import SqliteKeyValue

Make = Callable[[Path], "SqliteStore | SqliteKeyValue"]


def a_store(path: Path) -> SqliteStore:
    return SqliteStore(path, retention_s=RETENTION_S)


def a_key_value(path: Path) -> SqliteKeyValue:
    return SqliteKeyValue(path, time.time)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait half a second for every lock."""
    monkeypatch.setattr(sqlite_thread, "BUSY_TIMEOUT_S", 0.05)


@pytest.fixture(params=[a_store, a_key_value])
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


async def fault_at_open(make: Make, path: Path) -> str:
    """The line an operator gets, without the path it begins with."""
    with pytest.raises(StoreUnavailableError) as caught:
        await make(path).open()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


async def opens(make: Make, path: Path) -> bool:
    made = make(path)
    await made.open()
    await made.close()
    return True


# --- at open ----------------------------------------------------------------------------------------------


async def test_a_file_that_is_no_database(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"number,name\n" * 100)
    assert await fault_at_open(make, path) == "file is not a database"
    assert path.read_bytes() == b"number,name\n" * 100


async def test_a_corrupt_database(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    assert await opens(make, path)
    good = path.read_bytes()
    path.write_bytes(good[:100] + b"\xff" * 4000 + good[4100:])
    assert await fault_at_open(make, path) == "database disk image is malformed"
    path.write_bytes(good)
    assert await opens(make, path)


async def test_a_database_of_somebody_else(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE meta (a)")
        connection.commit()
    assert "(other tables are in it)" in await fault_at_open(make, path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("meta",)]


async def test_the_policy_file_and_the_store_are_not_taken_for_each_other(tmp_path: Path) -> None:
    assert await opens(a_store, tmp_path / "s.db")
    assert await opens(a_key_value, tmp_path / "p.db")
    assert "not a smsproxy policy file" in await fault_at_open(a_key_value, tmp_path / "s.db")
    assert "not a smsproxy store" in await fault_at_open(a_store, tmp_path / "p.db")


@pytest.mark.parametrize(
    ("make_one", "statement", "told"),
    [
        (
            a_store,
            "UPDATE meta SET value = 3 WHERE key = 'schema_version'",
            "schema version 3, this release knows 2",
        ),
        (a_key_value, "PRAGMA user_version = 3", "schema version 3, this release knows 2"),
    ],
)
async def test_a_schema_of_another_release(make_one: Make, statement: str, told: str, tmp_path: Path) -> None:
    assert await opens(make_one, tmp_path / "x.db")
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute(statement)
        connection.commit()
    assert await fault_at_open(make_one, tmp_path / "x.db") == told


async def test_a_path_that_leads_nowhere(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert await fault_at_open(make, tmp_path / "file" / "x.db") in ("not a directory", "file exists")
    assert await fault_at_open(make, Path("/proc/none/x.db")) == "no such file or directory"
    (tmp_path / "folder").mkdir()
    assert await fault_at_open(make, tmp_path / "folder") == "is a directory"


async def test_missing_folders_are_made(make: Make, tmp_path: Path) -> None:
    assert await opens(make, tmp_path / "a" / "b" / "x.db")


@pytest.fixture
def common_folder() -> Iterator[Path]:
    """A folder of which any user may reach the files; while it is used this process is no superuser."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        superuser = os.geteuid() == 0
        if superuser:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if superuser:
                os.seteuid(0)
            folder.chmod(0o777)


async def test_a_folder_that_may_not_be_written(make: Make, common_folder: Path) -> None:
    inner = common_folder / "inner"
    inner.mkdir(mode=stat.S_IRUSR | stat.S_IXUSR)
    assert await fault_at_open(make, inner / "x.db") == "permission denied"
    inner.chmod(0o700)
    assert await opens(make, inner / "x.db")


async def test_a_file_that_may_not_be_written(make: Make, common_folder: Path) -> None:
    path = common_folder / "x.db"
    assert await opens(make, path)
    path.chmod(0o400)
    assert await fault_at_open(make, path) == "permission denied"
    path.chmod(0o600)
    assert await opens(make, path)


async def test_a_file_that_a_foreign_writer_holds_at_open(make: Make, tmp_path: Path) -> None:
    assert await opens(make, tmp_path / "x.db")
    with foreign_writer(tmp_path / "x.db"):
        assert await fault_at_open(make, tmp_path / "x.db") == "database is locked"
    assert await opens(make, tmp_path / "x.db")


# --- while it runs ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def foreign_writer(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextlib.contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """Files of this process cannot grow past what the WAL is now (and SIGXFSZ is ignored by Python)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FAULTS = {"database is locked": foreign_writer, "disk I/O error": disk_full}


@pytest.mark.parametrize("words", sorted(FAULTS))
async def test_a_fault_while_it_runs_is_told_and_is_over_when_it_is_over(words: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with sqlite_store(tmp_path) as store:
        first, second = an_intent(1), an_intent(2, segments=2)
        await created(store, first, second)
        await store.settle([a_result(first, SUBMITTED, "a")])
        await store.receive([a_receipt("parked")])
        before = dict(store.counters)
        with FAULTS[words](path):
            calls = (
                store.create([an_intent(n, account="new") for n in range(10, 20)]),
                store.settle(
                    [a_result(second, SUBMITTED, "parked"), a_result(second, SUBMITTED, "b", segment_no=2)]
                ),
                store.receive([a_receipt("a"), a_receipt("c"), a_receipt("d", account="other")]),
                store.withdraw([first]),
            )
            for call in calls:
                with pytest.raises(StoreUnavailableError) as caught:
                    await call
                assert str(caught.value) == f"{path}: {words}"
            with pytest.raises(StoreUnavailableError):
                await store.sweep(NOW + RETENTION_S + 1)
            await asyncio.sleep(3 * sqlite_gate.PROBE_S)
            assert store.away == words, "a probe took it for writable"
        assert store.counters == before
        assert await settled(lambda: not store.away, timeout_s=5)
        assert (await states(store, first), await states(store, second)) == ([SUBMITTED], [SUBMITTING] * 2)
        assert repr(store).startswith("<SqliteStore open_intents=1 ")

        await store.settle([a_result(second, SUBMITTED, "parked")])
        await store.receive([a_receipt("a"), a_receipt("c"), a_receipt("d", account="other")])
        assert (await states(store, first), await states(store, second)) == (
            [DELIVERED],
            [DELIVERED, SUBMITTING],
        )
        assert store.counters["receipts_parked"] == before["receipts_parked"] + 2
        await created(store, an_intent(10, account="new"))
    async with sqlite_store(tmp_path) as store:
        assert await states(store, first) == [DELIVERED]


async def test_a_full_disk_leaves_what_can_be_read_readable(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        intent = await created(store, an_intent())
        with disk_full(tmp_path / "store.db"):
            assert await states(store, intent) == [SUBMITTING]
            assert await store.create([an_intent()]) == [False]


async def test_a_policy_file_on_a_full_disk_applies_nothing_and_recovers(tmp_path: Path) -> None:
    kv = a_key_value(tmp_path / "p.db")
    await kv.open()
    await kv.transact(lambda transaction: transaction.put(b"a", b"1", 9e9))
    with disk_full(tmp_path / "p.db"), pytest.raises(StoreUnavailableError, match="disk I/O error"):
        await kv.transact(lambda transaction: transaction.put(b"a", b"x" * 100_000, 9e9))
    assert await settled(lambda: not kv.thread.gate.away, timeout_s=5)
    assert await kv.transact(lambda transaction: transaction.get(b"a")) == b"1"
    await kv.transact(lambda transaction: transaction.put(b"a", b"2", 9e9))
    await kv.close()
