"""Group commit, and what an error in a work, a commit or an opening means to whom."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores import sqlite_thread
from smsproxy.stores.sqlite_thread import SqliteThread


def make_table(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)")


def insert(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


class Bench:
    """A thread over a file, what it keeps in memory beside it, and a hold on its writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mirror: list[int] = []
        self.recovered = 0
        self.thread = SqliteThread(path, self.setup, self.recover)

    def setup(self, connection: sqlite3.Connection) -> None:
        make_table(connection)
        self.mirror = numbers(connection)

    def recover(self, connection: sqlite3.Connection) -> None:
        self.recovered += 1
        self.mirror = numbers(connection)

    def insert(self, number: int) -> Callable[[sqlite3.Connection], int]:
        def work(connection: sqlite3.Connection) -> int:
            self.mirror.append(number)
            return insert(number)(connection)

        return work

    async def together(self, *works: Callable[[sqlite3.Connection], object]) -> list[object]:
        """Run them in one group: the writer is held until all are queued."""
        held, go_on = threading.Event(), threading.Event()

        def hold(_: sqlite3.Connection) -> None:
            held.set()
            go_on.wait(10)

        holding = asyncio.create_task(self.thread.run(hold))
        await asyncio.sleep(0)
        await asyncio.to_thread(held.wait, 10)
        tasks = [asyncio.create_task(self.thread.run(work)) for work in works]
        await asyncio.sleep(0)
        go_on.set()
        await holding
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def stored(self) -> list[int]:
        return await self.thread.run(numbers)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path / "x.db")
    await made.thread.open()
    yield made
    await made.thread.close()


async def test_work_that_waits_together_is_committed_together(bench: Bench) -> None:
    before = bench.thread.commits
    answers = await bench.together(*(bench.insert(n) for n in range(200)))
    assert answers == list(range(200))
    assert bench.thread.commits == before + 2


async def test_a_hundred_callers_at_once_share_few_commits(bench: Bench) -> None:
    before = bench.thread.commits
    await asyncio.gather(*(bench.thread.run(bench.insert(n)) for n in range(100)))
    assert bench.thread.commits - before <= 20
    assert await bench.stored() == list(range(100))


async def test_a_work_that_raises_is_undone_alone_and_its_error_comes_out(bench: Bench) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        bench.insert(2)(connection)
        raise LookupError("on purpose")

    one, two, three = await bench.together(bench.insert(1), fail, bench.insert(3))
    assert (one, three) == (1, 3)
    assert isinstance(two, LookupError)
    assert str(two) == "on purpose"
    assert await bench.stored() == bench.mirror == [1, 3]
    assert bench.thread.works_failed == 1


async def test_an_error_of_sqlite_reaches_its_own_caller_as_one_clear_line(bench: Bench) -> None:
    good, bad, other = await bench.together(
        bench.insert(1), lambda file: file.execute("SELECT * FROM nowhere"), bench.insert(2)
    )
    assert (good, other) == (1, 2)
    assert isinstance(bad, StoreUnavailableError)
    assert str(bad) == f"{bench.path}: no such table: nowhere"
    assert isinstance(bad.__cause__, sqlite3.OperationalError)


async def test_a_stop_iteration_does_not_leave_anybody_waiting(bench: Bench) -> None:
    bad, good = await bench.together(lambda _: next(iter(())), bench.insert(1))
    assert isinstance(bad, RuntimeError)
    assert good == 1


async def test_a_commit_that_fails_fails_the_group_and_what_is_in_memory_is_right_again(bench: Bench) -> None:
    def check_at_commit(connection: sqlite3.Connection) -> None:
        for statement in (
            "COMMIT",
            "PRAGMA foreign_keys = ON",  # does nothing inside a transaction
            "BEGIN IMMEDIATE",
            "SAVEPOINT work",
            "CREATE TABLE child (n REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
        ):
            connection.execute(statement)

    await bench.thread.run(bench.insert(1))
    await bench.thread.run(check_at_commit)
    answers = await bench.together(
        bench.insert(2),
        lambda file: file.execute("INSERT INTO child VALUES (99)").rowcount,
        bench.insert(3),
    )
    assert [str(one) for one in answers] == [f"{bench.path}: FOREIGN KEY constraint failed"] * 3
    assert await bench.stored() == bench.mirror == [1]
    assert await bench.thread.run(bench.insert(4)) == 4


async def test_when_sqlite_gives_the_transaction_up_the_whole_group_hears_it(bench: Bench) -> None:
    def lose(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)")

    await bench.thread.run(bench.insert(1))
    answers = await bench.together(bench.insert(2), lose, bench.insert(3))
    assert [str(one) for one in answers] == [f"{bench.path}: UNIQUE constraint failed: t.n"] * 3
    assert await bench.stored() == bench.mirror == [1]
    assert bench.thread.commits_failed == 1


@pytest.mark.parametrize(("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
async def test_a_commit_is_on_the_platter(bench: Bench, pragma: str, value: object) -> None:
    assert await bench.thread.run(lambda file: file.execute(f"PRAGMA {pragma}").fetchone()) == (value,)


async def test_memory_is_read_again_only_when_work_was_undone(bench: Bench) -> None:
    await bench.together(bench.insert(1), bench.insert(2))
    assert bench.recovered == 0


async def test_a_caller_who_leaves_disturbs_nobody(bench: Bench) -> None:
    task = asyncio.create_task(bench.thread.run(bench.insert(1)))
    await asyncio.sleep(0)
    task.cancel()
    assert await bench.thread.run(bench.insert(2)) == 2
    assert await bench.stored() == [1, 2]


async def test_the_queue_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_thread, "MAX_WAITING", 3)
    answers = await asyncio.gather(
        *(bench.thread.run(bench.insert(n)) for n in range(5)), return_exceptions=True
    )
    assert answers[:3] == [0, 1, 2]
    assert [str(one) for one in answers[3:]] == [f"{bench.path}: too slow, 3 calls wait"] * 2
    assert bench.thread.works_refused == 2
    assert await bench.thread.run(bench.insert(9)) == 9


async def test_nothing_waits_for_ever_on_a_thread_that_is_not_open(tmp_path: Path) -> None:
    thread = SqliteThread(tmp_path / "x.db", make_table)
    with pytest.raises(StoreUnavailableError, match="not open"):
        await thread.run(insert(1))
    await thread.close()
    await thread.open()
    assert "open" in repr(thread)
    await thread.close()
    await thread.close()
    with pytest.raises(StoreUnavailableError, match="not open"):
        await thread.run(insert(1))


async def test_closing_finishes_what_is_queued_and_leaves_one_plain_file(tmp_path: Path) -> None:
    thread = SqliteThread(tmp_path / "x.db", make_table)
    await thread.open()
    tasks = [asyncio.create_task(thread.run(insert(n))) for n in range(50)]
    await asyncio.sleep(0)
    await thread.close()
    assert await asyncio.gather(*tasks) == list(range(50))
    assert sorted(os.listdir(tmp_path)) == ["x.db", "x.db.lock"]
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


HOLDER = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_file_belongs_to_one_process_and_is_free_when_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    pipe = asyncio.subprocess.PIPE
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, f"{path}.lock", stdin=pipe, stdout=pipe
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    thread = SqliteThread(path, make_table)
    with pytest.raises(StoreUnavailableError) as caught:
        await thread.open()
    assert str(caught.value) == f"{path}: in use by another smsproxy process"
    holder.kill()
    await holder.communicate()
    await thread.open()
    await thread.close()


async def test_two_of_one_process_cannot_share_a_file_either(bench: Bench) -> None:
    with pytest.raises(StoreUnavailableError, match="in use by another"):
        await SqliteThread(bench.path, make_table).open()
    assert await bench.thread.run(bench.insert(1)) == 1


async def test_an_opening_that_fails_keeps_neither_file_nor_lock(tmp_path: Path) -> None:
    def refuse(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        raise sqlite3.DatabaseError("not today")

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(StoreUnavailableError, match=r"x\.db: not today$"):
        await SqliteThread(tmp_path / "x.db", refuse).open()
    assert len(os.listdir("/proc/self/fd")) == before
    thread = SqliteThread(tmp_path / "x.db", make_table)
    await thread.open()
    assert await thread.run(lambda file: file.execute("SELECT name FROM sqlite_master").fetchall()) == [
        ("t",)
    ]
    await thread.close()


def test_a_process_that_ends_without_closing_does_end(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from smsproxy.stores.sqlite_thread import SqliteThread\n"
        "async def main():\n"
        "    thread = SqliteThread(sys.argv[1], lambda file: None)\n"
        "    await thread.open()\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.db")], check=True, timeout=20)
