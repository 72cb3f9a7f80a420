"""Look-ups of single records: batched, bounded, and each asker gets its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from fake_time import in_fake_time

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.record import MessageRecord
from smsproxy.pipeline import lookups
from smsproxy.pipeline.lookups import LookUps
from smsproxy.stores.memory import MemoryStore


class SlowStore(MemoryStore):
    """A tenth of a second a look-up; knows even numbers."""

    def __init__(self) -> None:
        super().__init__(retention_s=60)
        self.asked: list[int] = []
        self.under_way = self.most = 0
        self.fault: Exception | None = None

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        self.asked.append(len(message_ids))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.1)
        self.under_way -= 1
        if self.fault is not None:
            raise self.fault
        return [
            MessageRecord(one, 1, 100, "t", 0, 0.0, []) if one[-1] % 2 == 0 else None for one in message_ids
        ]


def an_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


@in_fake_time
async def test_a_storm_of_polls_is_one_call_of_the_store_at_a_time_and_everybody_gets_an_answer() -> None:
    store = SlowStore()
    asked = LookUps(store)
    found = await asyncio.gather(*(asked.find(an_id(number)) for number in range(1200)))
    assert [None if one is None else one.message_id for one in found] == [
        None if number % 2 else an_id(number) for number in range(1200)
    ]
    assert (store.asked, store.most) == ([500, 500, 200], 1)


@in_fake_time
async def test_a_store_that_is_away_is_told_to_all_and_those_who_left_are_not_asked_for() -> None:
    store = SlowStore()
    store.fault = StoreUnavailableError("away")
    asked = LookUps(store)
    staying, leaving = asyncio.create_task(asked.find(an_id(1))), asyncio.create_task(asked.find(an_id(2)))
    await asyncio.sleep(0.05)
    late = asyncio.create_task(asked.find(an_id(3)))
    await asyncio.sleep(0)
    leaving.cancel()
    late.cancel()
    with pytest.raises(StoreUnavailableError, match="away"):
        await staying
    await asyncio.sleep(0.2)
    assert store.asked == [2]


@in_fake_time
async def test_look_ups_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "WAITING_MAX", 2)
    asked = LookUps(SlowStore())
    waiting = [asyncio.create_task(asked.find(an_id(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailableError, match="2 look-ups wait"):
        await asked.find(an_id(3))
    assert asked.refused == 1
    await asyncio.gather(*waiting)
