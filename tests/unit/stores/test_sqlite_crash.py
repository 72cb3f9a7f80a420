"""SIGKILL at any moment: what had been acknowledged is there afterwards (promise P3, reliability row 27)."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from contract.store.store_kit import DELIVERED, SUBMITTED, SUBMITTING, UNKNOWN, sqlite_store

WRITER = """
import asyncio, itertools, os, sys
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import SegmentState
from smsproxy.stores.base import Intent, ReceiptMode, SegmentResult
from smsproxy.stores.sqlite import SqliteStore

async def main(path, prefix):
    store = SqliteStore(path, retention_s=1e9)
    await store.open()
    async def send(lane):
        for n in itertools.count():
            word = f"{prefix}.{lane}.{n}"
            intent = Intent(word.encode().ljust(16), 1, 1, "acc", word, 0, 0, 1, ReceiptMode.ALL, 1e9)
            assert await store.create([intent]) == [True]
            os.write(1, f"created {word}\\n".encode())
            await store.settle([SegmentResult(intent, 1, SegmentState.SUBMITTED, word, word, "", 1e9)])
            os.write(1, f"settled {word}\\n".encode())
            await store.receive([Receipt("acc", word, SegmentState.DELIVERED, "", 1e9)])
            os.write(1, f"received {word}\\n".encode())
            if lane == 0:
                await store.sweep(1e9)
    await asyncio.gather(*map(send, range(8)))
asyncio.run(main(*sys.argv[1:]))
"""
LIVES = 4


def write_until_killed(path: Path, life: int, lines_at_least: int) -> list[str]:
    """The acknowledgements of a writer that was killed somewhere after so many."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(life)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(lines_at_least)]
        writer.kill()
        lines += writer.stdout.readlines()
    return [line for line in lines if line.endswith("\n")]


async def test_what_was_acknowledged_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: dict[str, str] = {}
    for life in range(LIVES):
        path = tmp_path / "store.db"
        lines = await asyncio.to_thread(write_until_killed, path, life, chance.randrange(20, 400))
        for line in lines:
            what, word = line.split()
            acknowledged[word] = what
        async with sqlite_store(tmp_path) as store:
            words = list(acknowledged)
            records = await store.find([word.encode().ljust(16) for word in words])
            for word, record in zip(words, records, strict=True):
                assert record is not None, word
                assert (
                    record.status
                    in {
                        "created": (UNKNOWN, SUBMITTED, DELIVERED),  # in doubt, or what came before its line
                        "settled": (SUBMITTED, DELIVERED),
                        "received": (DELIVERED,),
                    }[acknowledged[word]]
                ), word
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        everything = connection.execute("SELECT message_id FROM messages").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with sqlite_store(tmp_path) as store:
        records = await store.find([message_id for (message_id,) in everything])
        assert SUBMITTING not in {record and record.status for record in records}
    assert len(everything) - len(acknowledged) <= LIVES * 8  # one of each lane was on its way
