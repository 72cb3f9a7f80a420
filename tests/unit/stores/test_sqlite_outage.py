"""A store that is away: who waits, who is told at once, and that it is noticed when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from contract.store.store_kit import SUBMITTED, UNKNOWN, a_result, an_intent, created, sqlite_store, states

from smsproxy.aio.wait import settled
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores import sqlite_gate
from smsproxy.stores.base import Health
from smsproxy.stores.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite_store(tmp_path) as opened:
        yield opened


@contextlib.contextmanager
def foreign_writer(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "store.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def refused(store: SqliteStore, number: int = 50) -> str:
    """The line a new message is refused with, without the path it begins with."""
    with pytest.raises(StoreUnavailableError) as caught:
        await store.create([an_intent(number)])
    return str(caught.value).partition("store.db: ")[2]


async def back(store: SqliteStore) -> bool:
    return await settled(lambda: not store.away, timeout_s=5)


async def test_a_new_message_does_not_wait_for_a_foreign_writer_and_the_next_not_at_all(
    store: SqliteStore, tmp_path: Path
) -> None:
    assert isinstance(store, Health)
    with foreign_writer(tmp_path):
        began_at = time.monotonic()
        assert await refused(store) == "database is locked"
        assert time.monotonic() - began_at < 0.4  # half a second would be the busy time-out
        waiting = store.thread.gate.waiting
        assert await refused(store, 51) == "database is locked"
        assert store.thread.gate.waiting <= waiting + 1, "a probe at most, not the message"
        with pytest.raises(StoreUnavailableError, match="database is locked"):
            await store.find([b"x" * 16])
        assert (store.away, store.outages, store.refused) == ("database is locked", 1, 3)
    assert await back(store)
    await created(store, an_intent(50), an_intent(51))


async def test_a_result_waits_for_a_short_lock_where_a_new_message_does_not(
    store: SqliteStore, tmp_path: Path
) -> None:
    intent = await created(store, an_intent())
    with foreign_writer(tmp_path):
        result = asyncio.create_task(store.settle([a_result(intent, SUBMITTED, "a")]))
        await refused(store)
        assert not result.done()
    await result
    assert await states(store, intent) == [SUBMITTED]


async def test_a_disk_that_does_not_answer_is_told_to_those_behind_it_and_what_is_under_way_is_done(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_gate, "STALL_S", 0.1)
    intent = await created(store, an_intent())
    held, go_on = threading.Event(), threading.Event()

    def hang(_: sqlite3.Connection) -> None:
        held.set()
        go_on.wait(10)

    hanging = asyncio.create_task(store.thread.run(hang))
    await asyncio.to_thread(held.wait, 10)
    result = asyncio.create_task(store.settle([a_result(intent, SUBMITTED, "a")]))
    assert await refused(store) == "the disk does not answer"
    assert await refused(store, 51) == "the disk does not answer"
    go_on.set()
    await asyncio.gather(hanging, result)
    assert await states(store, intent) == [SUBMITTED]
    assert await back(store)
    await created(store, an_intent(50), an_intent(51))


async def test_a_file_that_was_taken_away_acknowledges_nothing_until_it_is_back(
    store: SqliteStore, tmp_path: Path
) -> None:
    intent = await created(store, an_intent())
    (tmp_path / "store.db").rename(tmp_path / "elsewhere")
    words = "the file was removed or replaced under the daemon"
    assert await refused(store) == words
    with pytest.raises(StoreUnavailableError, match=words):
        await store.settle([a_result(intent, SUBMITTED, "a")])
    (tmp_path / "store.db").write_bytes(b"another file")
    await asyncio.sleep(2 * sqlite_gate.PROBE_S)  # several looks at it
    assert await refused(store) == words
    (tmp_path / "elsewhere").replace(tmp_path / "store.db")
    assert await back(store)
    await store.settle([a_result(intent, SUBMITTED, "a")])
    assert await states(store, intent) == [SUBMITTED]


async def test_a_file_that_may_not_grow_is_full_and_takes_messages_again_when_it_may(
    store: SqliteStore,
) -> None:
    first = await created(store, an_intent(1))
    await store.thread.run(lambda file: file.execute("PRAGMA max_page_count = 1"))
    number = 1
    words = ""
    while not words and number < 1000:  # what is free in its pages can still be used
        number += 1
        try:
            await store.create([an_intent(number)])
        except StoreUnavailableError as error:
            words = str(error).partition("store.db: ")[2]
    assert words == "database or disk is full"
    assert store.outages == 1
    await store.thread.run(lambda file: file.execute("PRAGMA max_page_count = 1000000"))
    assert await back(store)
    await created(store, an_intent(number))
    await store.settle([a_result(first, SUBMITTED, "a")])


async def test_a_file_that_turns_read_only_is_away_until_it_may_be_written(store: SqliteStore) -> None:
    await created(store, an_intent(1))
    connections: list[sqlite3.Connection] = []
    await store.thread.run(connections.append)
    connections[0].execute("PRAGMA query_only = 1")
    assert await refused(store) == "attempt to write a readonly database"
    assert store.outages == 1
    connections[0].execute("PRAGMA query_only = 0")
    assert await back(store)
    await created(store, an_intent(50))


async def test_pages_that_are_damaged_while_it_runs_are_one_clear_line(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        await created(store, *(an_intent(number) for number in range(2000)))
    path = tmp_path / "store.db"
    good = path.read_bytes()
    async with sqlite_store(tmp_path) as store:
        with path.open("r+b") as file:  # in place: SQLite looks at the same file
            file.seek(4 * 4096)
            file.write(b"\xff" * (len(good) - 4 * 4096))
        with pytest.raises(StoreUnavailableError) as caught:
            await store.create([an_intent(number) for number in range(5000, 5200)])
        assert str(caught.value) == f"{path}: database disk image is malformed"
    path.write_bytes(good)  # from the backup
    async with sqlite_store(tmp_path) as store:
        assert await states(store, an_intent(7)) == [UNKNOWN]
