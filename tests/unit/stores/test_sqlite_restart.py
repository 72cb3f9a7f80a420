"""The next life of a store: what was acknowledged is there, what was left open is in doubt (spec §6)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from contract.store.store_kit import (
    DELIVERED,
    NOW,
    REJECTED,
    RETENTION_S,
    SUBMITTED,
    SUBMITTING,
    UNKNOWN,
    a_receipt,
    a_result,
    an_intent,
    created,
    record_of,
    sqlite_store,
    states,
)

from smsproxy.stores import parking
from smsproxy.stores.parking import PARKING_S
from smsproxy.stores.sqlite_tables import UNFINISHED


def low_water(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        ((mark,),) = connection.execute("SELECT value FROM meta WHERE key = 'low_water'").fetchall()
    return mark


async def test_everything_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    intents = [an_intent(n, segments=n) for n in (1, 2, 3)]
    async with sqlite_store(tmp_path) as store:
        await created(store, *intents)
        await store.settle([a_result(intents[1], SUBMITTED, f"i{n}", segment_no=n) for n in (1, 2)])
        await store.settle([a_result(intents[0], REJECTED, reason="ESME_RINVDSTADR")])
        await store.receive([a_receipt("i1"), a_receipt("parked")])
        before = await store.find([one.message_id for one in intents[:2]])
    async with sqlite_store(tmp_path) as store:
        assert await store.find([one.message_id for one in intents[:2]]) == before
        await store.settle([a_result(intents[2], SUBMITTED, "parked", segment_no=3)])
        await store.receive([a_receipt("i2")])
        assert await states(store, intents[1]) == [DELIVERED, DELIVERED]
        assert await states(store, intents[2]) == [UNKNOWN, UNKNOWN, DELIVERED]


async def test_segments_without_a_result_become_unknown_and_their_message_is_counted(tmp_path: Path) -> None:
    whole, half, none = intents = [an_intent(1), an_intent(2, segments=3), an_intent(3)]
    async with sqlite_store(tmp_path) as store:
        await created(store, *intents)
        await store.settle([a_result(whole, SUBMITTED, "a"), a_result(half, SUBMITTED, "b", segment_no=2)])
        assert await states(store, none) == [SUBMITTING]
    async with sqlite_store(tmp_path) as store:
        assert store.counters["intents_marked_unknown"] == 2
        assert [await states(store, one) for one in intents] == [
            [SUBMITTED],
            [UNKNOWN, SUBMITTED, UNKNOWN],
            [UNKNOWN],
        ]
        assert (await record_of(store, none)).segments[0].reason == "no answer before the restart"
        assert (await record_of(store, none)).updated_at == NOW
    async with sqlite_store(tmp_path) as store:
        assert store.counters["intents_marked_unknown"] == 0


async def test_a_late_answer_and_its_receipt_still_settle_what_a_restart_left_in_doubt(
    tmp_path: Path,
) -> None:
    intent = an_intent(account="elsewhere")
    async with sqlite_store(tmp_path) as store:
        await created(store, intent)
    async with sqlite_store(tmp_path) as store:
        await store.settle([a_result(intent, SUBMITTED, "a")])
        await store.receive([a_receipt("a", account="elsewhere")])
        assert await states(store, intent) == [DELIVERED]


async def test_row_numbers_are_never_given_twice(tmp_path: Path) -> None:
    seen: list[int] = []
    for life in range(3):
        async with sqlite_store(tmp_path) as store:
            intents = [an_intent(10 * life + n, segments=2) for n in range(1, 4)]
            await created(store, *intents)
            seen += [intent.generation for intent in intents]
            if life == 1:
                await store.withdraw(intents)
                while await store.sweep(NOW + RETENTION_S + 1):
                    pass
    assert seen == sorted(set(seen))
    assert len(seen) == 9


async def test_an_intent_is_in_doubt_after_a_crash_though_the_file_was_empty_before(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        await created(store, *[an_intent(n) for n in range(1, 100)])
        await store.withdraw([await created(store, an_intent(500))])
        while await store.sweep(NOW + RETENTION_S + 1):
            pass
    intent = an_intent(501)
    async with sqlite_store(tmp_path) as store:
        await created(store, intent)  # and no sweep moves the mark again
    async with sqlite_store(tmp_path) as store:
        assert await states(store, intent) == [UNKNOWN]


async def test_a_restart_looks_only_above_the_mark(tmp_path: Path) -> None:
    settled = [an_intent(n) for n in range(1, 301)]
    left = an_intent(1000)
    async with sqlite_store(tmp_path) as store:
        await created(store, *settled)
        await created(store, left)
        await store.settle([a_result(one) for one in settled])
        await store.sweep(NOW)
    mark = low_water(tmp_path)
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {UNFINISHED}", (0,)).fetchall()
        # A life that lost a result below the mark would have to be found by a scan: it is not looked for.
        connection.execute("DELETE FROM segments WHERE row = ?", (settled[0].generation,))
        connection.commit()
    assert mark == left.generation
    assert [line[-1] for line in plan if "messages" in line[-1] or " m " in line[-1]] == [
        "SEARCH m USING INTEGER PRIMARY KEY (rowid>?)"
    ]
    assert "SCAN" not in str(plan)
    async with sqlite_store(tmp_path) as store:
        assert store.counters["intents_marked_unknown"] == 1
        assert (await states(store, settled[0]), await states(store, left)) == ([SUBMITTING], [UNKNOWN])


async def test_the_mark_waits_for_every_segment_of_the_oldest_intent(tmp_path: Path) -> None:
    two = an_intent(1, segments=2)
    async with sqlite_store(tmp_path) as store:
        await created(store, two, an_intent(2))
        await store.settle([a_result(two, UNKNOWN)])
        await store.settle([a_result(two, SUBMITTED, "late")])
        await store.sweep(NOW)
    async with sqlite_store(tmp_path) as store:
        assert await states(store, two) == [SUBMITTED, UNKNOWN]


async def test_the_mark_does_not_wait_for_what_was_never_stored_or_is_gone(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        first = await created(store, an_intent(1))
        assert await store.create([an_intent(1), an_intent(1)]) == [False, False]
        await store.settle([a_result(first)])
        await store.withdraw([await created(store, an_intent(2))])
        await created(store, an_intent(3))
        await store.sweep(NOW + RETENTION_S + 1)  # drops number 3, which never got an answer
        last = await created(store, an_intent(4, at=NOW + RETENTION_S))
        await store.sweep(NOW + RETENTION_S + 1)
        assert repr(store).startswith("<SqliteStore open_intents=1 ")
    assert low_water(tmp_path) == last.generation
    async with sqlite_store(tmp_path):
        assert low_water(tmp_path) > last.generation


async def test_parked_receipts_outlive_a_restart_oldest_first_and_lapse_on_time(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        await store.receive([a_receipt("z", at=NOW), a_receipt("a", at=NOW + 30)])
    async with sqlite_store(tmp_path) as store:
        await store.sweep(NOW + PARKING_S + 1)
        assert store.counters["receipts_lapsed"] == 1
        intents = [an_intent(1), an_intent(2)]
        await created(store, *intents)
        await store.settle([a_result(intents[0], SUBMITTED, "z"), a_result(intents[1], SUBMITTED, "a")])
        assert [await states(store, one) for one in intents] == [[SUBMITTED], [DELIVERED]]
    async with sqlite_store(tmp_path) as store:
        await store.sweep(NOW + 10 * PARKING_S)
        assert store.counters["receipts_lapsed"] == 0


async def test_the_oldest_parked_receipt_makes_room_after_a_restart_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "PARKING_MAX", 2)
    intents = [an_intent(1), an_intent(2), an_intent(3)]
    async with sqlite_store(tmp_path) as store:
        await store.receive([a_receipt("z", at=NOW), a_receipt("a", at=NOW + 1)])
    async with sqlite_store(tmp_path) as store:
        await store.receive([a_receipt("b", at=NOW + 2)])
        await created(store, *intents)
        await store.settle([a_result(*pair) for pair in zip(intents, [SUBMITTED] * 3, "zab", strict=True)])
        assert [await states(store, one) for one in intents] == [[SUBMITTED], [DELIVERED], [DELIVERED]]


async def test_a_sweep_with_nothing_to_do_writes_nothing(tmp_path: Path) -> None:
    async with sqlite_store(tmp_path) as store:
        await store.sweep(NOW)
        size = (tmp_path / "store.db-wal").stat().st_size
        for _ in range(5):
            await store.sweep(NOW)
        assert (tmp_path / "store.db-wal").stat().st_size == size
