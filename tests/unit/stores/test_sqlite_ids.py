"""Derived ids in the SQLite store: in memory, then in parts; never lost, whatever is undone or cut off."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from contract.store.store_kit import (
    NOW,
    REJECTED,
    RETENTION_S,
    SUBMITTED,
    a_result,
    an_intent,
    created,
    sqlite_store,
    states,
)

from smsproxy.domain.ids import time_ordered_id
from smsproxy.stores import sqlite_ids, sqlite_lookup
from smsproxy.stores import sqlite_schema as schema
from smsproxy.stores.sqlite_file import connect
from smsproxy.stores.sqlite_inspect import inspect
from smsproxy.stores.sqlite_rows import Row
from smsproxy.stores.sqlite_tables import SqliteTables


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket moves with every message, a part has room for a hundred."""
    monkeypatch.setattr(sqlite_ids, "MOVE_EVERY", 1)
    monkeypatch.setattr(schema, "PART_MAX", 100)


def an_id(number: int) -> bytes:
    """As `derived_id` makes them."""
    octets = random.Random(number).randbytes(16)
    return octets[:6] + b"\x80" + octets[7:]


def ask(path: Path, question: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        ((answer,),) = connection.execute(question).fetchall()
    return int(answer)


class Bench:
    """The tables on a file, without the thread: a test commits, undoes and cuts off as it likes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self) -> None:
        """The next life; what was not committed is gone."""
        self.connection = connect(self.path, 0)
        self.tables = SqliteTables()
        self.connection.execute("BEGIN IMMEDIATE")
        self.tables.setup(self.connection)
        self.connection.execute("COMMIT")
        self.next_row = self.tables.first_row

    def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.connection.execute("COMMIT")
        self.tables.committed()

    def undo(self) -> None:
        self.connection.execute("ROLLBACK")
        self.tables.recover(self.connection)

    def create(self, ids: list[bytes], replaces: list[int] | None = None) -> list[int]:
        """The row each got, 0 where it was there already."""
        rows: list[Row] = []
        for message_id in ids:
            rows.append((self.next_row, message_id, 7, 100, "tx", 55, 1234, 1, 1, NOW))
            self.next_row += 1
        answers = self.tables.create(self.connection, rows, replaces or [0] * len(rows))
        return [row[0] if ok else 0 for row, ok in zip(rows, answers, strict=True)]

    def find(self, ids: list[bytes]) -> list[int]:
        records = sqlite_lookup.find(self.connection, self.tables.ids, ids)
        return [0 if record is None else record.generation for record in records]

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def bench(tmp_path: Path, quick: None) -> Iterator[Bench]:
    made = Bench(tmp_path / "store.db")
    yield made
    made.close()


def test_ids_are_found_and_refused_wherever_they_are_by_now(bench: Bench) -> None:
    ids = [an_id(number) for number in range(1000)]
    rows: list[int] = []
    for start in range(0, 1000, 50):
        bench.begin()
        rows += bench.create(ids[start : start + 50])
        bench.commit()
    assert all(rows)
    assert ask(bench.path, "SELECT count(*) FROM id_parts") > 5
    assert 0 < len(bench.tables.ids) < 300
    for _ in range(2):
        assert bench.find(ids) == rows
        assert bench.create(ids) == [0] * 1000
        bench.close()
        bench.open()
        assert len(bench.tables.ids) < 600  # of one rotation and a bit: not the whole store
    assert inspect(bench.connection, bench.path, full=True).findings == []


def test_our_own_ids_stay_out_of_memory_and_are_refused_twice(bench: Bench) -> None:
    ids = [time_ordered_id(1_700_000_000_000 + number, bytes(10)) for number in range(600)]
    rows = bench.create(ids)
    assert all(rows)
    assert len(bench.tables.ids) == 0
    assert bench.create([*ids[:3], an_id(1)])[:3] == [0, 0, 0]
    assert bench.find(ids) == rows
    assert (
        ask(bench.path, "SELECT value FROM meta WHERE key = 'ids_from'") > 0
    )  # nothing to read at the start


def test_one_id_twice_in_a_batch_is_created_once(bench: Bench) -> None:
    first, twice, again = bench.create([an_id(1), an_id(1), an_id(1)])
    assert (bool(first), twice, again) == (True, 0, 0)
    bench.find([an_id(2)])
    one, other = bench.create([an_id(2), an_id(2)])
    assert (bool(one), other) == (True, 0)


def test_more_look_ups_without_an_intent_than_are_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_ids, "ABSENT_MAX", 10)
    for number in range(100):
        assert bench.find([an_id(number)]) == [0]
    assert all(bench.create([an_id(number) for number in range(100)]))
    assert bench.create([an_id(number) for number in range(100)]) == [0] * 100


def test_a_take_over_that_is_undone_leaves_the_refused_record_findable(bench: Bench) -> None:
    bench.begin()
    (refused,) = bench.create([an_id(1)])
    bench.commit()
    bench.begin()
    (anew,) = bench.create([an_id(1)], [refused])
    assert anew
    bench.undo()
    assert bench.find([an_id(1)]) == [refused]
    for start in range(2, 1000, 50):  # until its bucket has moved, the entry without a message with it
        bench.begin()
        bench.create([an_id(number) for number in range(start, start + 50)])
        bench.commit()
    assert bench.find([an_id(1)]) == [refused]
    assert bench.create([an_id(1)]) == [0]


def test_filters_whose_saving_was_undone_are_saved_later(bench: Bench) -> None:
    ids = [an_id(number) for number in range(1200)]

    def committed(some: list[bytes], step: int) -> None:
        for start in range(0, len(some), step):
            bench.begin()
            bench.create(some[start : start + step])
            bench.commit()

    committed(ids[:255], 15)
    bench.begin()
    bench.create(ids[255:256])  # the rotation is through, some parts are full and never written again
    bench.undo()
    committed(ids[256:], 50)
    bench.close()
    bench.open()
    assert all(bench.find(ids[:255] + ids[256:]))


def numbers(first: int, count: int) -> list[bytes]:
    return [an_id(number) for number in range(first, first + count)]


def committed(bench: Bench, ids: list[bytes]) -> list[int]:
    bench.begin()
    made = bench.create(ids)
    bench.commit()
    return made


def test_a_rotation_that_fails_is_the_last_thing_that_fails(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in range(0, 255, 51):
        committed(bench, numbers(first, 51))

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(schema, "write_filter", full)
        bench.begin()
        with pytest.raises(sqlite3.OperationalError):
            bench.create(numbers(255, 1))
        bench.undo()
    for first in range(256, 2000, 50):
        assert all(committed(bench, numbers(first, 50)))
    assert len(bench.tables.ids) < 2 * 256


def test_a_part_that_was_dropped_before_its_filter_was_saved_is_passed_by(bench: Bench) -> None:
    for first in range(0, 250, 50):
        committed(bench, numbers(first, 50))
    bench.begin()
    bench.connection.execute("DELETE FROM messages")
    for _ in range(3):
        bench.tables.ids.drop_dead(bench.connection)
    bench.commit()
    assert bench.tables.ids._unsaved - bench.tables.ids._filters.keys()
    for first in range(300, 1500, 50):
        assert all(committed(bench, numbers(first, 50)))


def test_a_work_that_comes_after_one_with_later_rows_is_not_lost(bench: Bench) -> None:
    late = b"\0" + an_id(10_000)[1:]
    committed(bench, numbers(0, 250))
    held, bench.next_row = bench.next_row, bench.next_row + 1
    committed(bench, numbers(250, 10))  # the rotation is through, the first bucket of the next one moved
    bench.next_row, after = held, bench.next_row
    assert committed(bench, [late]) == [held]
    bench.next_row = after
    for first in range(300, 500, 50):
        committed(bench, numbers(first, 50))
    committed(bench, numbers(500, 51))  # and the next rotation, too
    bench.close()
    bench.open()
    assert committed(bench, [late]) == [0]


def test_short_lives_do_not_gather_ids_in_memory(bench: Bench) -> None:
    for life in range(8):
        committed(bench, numbers(life * 200, 200))
        bench.close()
        bench.open()
        assert len(bench.tables.ids) <= 256
    assert all(bench.find(numbers(0, 1600)))


IDS = 3000
"""Few enough to meet again, many enough that most are new."""


@pytest.mark.parametrize("seed", range(3))
def test_no_record_is_lost_or_doubled_whatever_is_undone_or_cut_off(bench: Bench, seed: int) -> None:
    """A random life against a dict: creates, withdrawals, take-overs, undone groups and works, kills."""
    chance = random.Random(seed)
    known: dict[bytes, int] = {}
    for _ in range(80):
        group = dict(known)
        bench.begin()
        for _ in range(chance.randrange(1, 4)):
            work = dict(group)
            bench.connection.execute("SAVEPOINT work")
            a_work(bench, chance, work)
            if chance.random() < 0.1:
                bench.connection.execute("ROLLBACK TO work")
                bench.tables.recover(bench.connection)
            else:
                group = work
            bench.connection.execute("RELEASE work")
        end = chance.random()
        if end < 0.85:
            bench.commit()
            known = group
        elif end < 0.93:
            bench.undo()
        else:
            bench.close()
            bench.open()
        asked = [an_id(chance.randrange(IDS)) for _ in range(20)]
        assert bench.find(asked) == [known.get(one, 0) for one in asked]
    every = [an_id(number) for number in range(IDS)]
    assert bench.find(every) == [known.get(one, 0) for one in every]
    assert inspect(bench.connection, bench.path, full=True).findings == []


def a_work(bench: Bench, chance: random.Random, known: dict[bytes, int]) -> None:
    """Some creates or a withdrawal; `known` is changed to what should be there then."""
    ids = [an_id(chance.randrange(IDS)) for _ in range(chance.randrange(1, 25))]
    if chance.random() < 0.5:
        bench.find(ids)
    if chance.random() < 0.2 and ids[0] in known:
        bench.tables.withdraw(bench.connection, [(known.pop(ids[0]), 1)])
        return
    replaces = [known.get(one, 0) if chance.random() < 0.1 else 0 for one in ids]
    rows = bench.create(ids, replaces)
    for one, row, replaced in zip(ids, rows, replaces, strict=True):
        may = one not in known or (replaced and replaced == known[one])
        assert bool(row) == bool(may), "created although it is there, or refused although it is not"
        if row:
            known[one] = row


async def test_a_part_goes_when_the_last_of_its_messages_is_swept(tmp_path: Path, quick: None) -> None:
    async with sqlite_store(tmp_path) as store:
        for start in range(0, 2000, 100):
            intents = [an_intent(1 << 100 | number) for number in range(start, start + 100)]
            for number, intent in enumerate(intents):
                intent.message_id = an_id(start + number)
                intent.created_at = NOW + start
            await created(store, *intents)
        parts = ask(tmp_path / "store.db", "SELECT count(*) FROM id_parts")
        assert parts > 10
        for _ in range(40):
            await store.sweep(NOW + RETENTION_S + 5000)
        assert ask(tmp_path / "store.db", "SELECT count(*) FROM id_parts") == 1
        assert ask(tmp_path / "store.db", "SELECT count(*) FROM id_filters") <= 1
        assert ask(tmp_path / "store.db", "SELECT count(*) FROM ids") <= 256
        again = an_intent(1)
        again.message_id = an_id(5)
        assert await store.create([again]) == [True]


VERSION_1 = (
    "DROP TABLE ids",
    "DROP TABLE id_parts",
    "DROP TABLE id_filters",
    "DROP INDEX messages_by_own_id",
    "CREATE UNIQUE INDEX messages_by_id ON messages (message_id)",
    "DELETE FROM meta WHERE key = 'ids_from'",
    "UPDATE meta SET value = 1 WHERE key = 'schema_version'",
)


async def test_a_store_of_version_1_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "PART_MAX", 100)
    intents = [an_intent(number) for number in range(1, 251)]
    for number, intent in enumerate(intents[:240]):
        intent.message_id = an_id(number) if number % 6 else time_ordered_id(number, bytes(10))
    async with sqlite_store(tmp_path) as store:
        await created(store, *intents)
        await store.settle([a_result(intent, SUBMITTED, str(intent.generation)) for intent in intents[1:]])
        await store.settle([a_result(intents[0], REJECTED)])
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        for statement in VERSION_1:
            connection.execute(statement)
        connection.commit()
        schema.verify(connection)  # what reads from outside takes both
        assert inspect(connection, tmp_path / "store.db", full=True).findings == []
    for _ in range(2):
        async with sqlite_store(tmp_path) as store:
            records = await store.find([intent.message_id for intent in intents])
            assert [record and record.generation for record in records] == [one.generation for one in intents]
            assert await store.create(intents) == [False] * 250
            assert await states(store, intents[0]) == [REJECTED]
    assert ask(tmp_path / "store.db", "SELECT value FROM meta WHERE key = 'schema_version'") == 2
    assert ask(tmp_path / "store.db", "SELECT count(*) FROM id_parts") == 3
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert inspect(connection, tmp_path / "store.db", full=True).findings == []
