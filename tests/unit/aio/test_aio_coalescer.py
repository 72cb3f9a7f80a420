"""The coalescer: what arrives while a batch is in flight is the next batch."""

from __future__ import annotations

import asyncio

import pytest
from fake_time import FakeTimeLoop, in_fake_time, run, turns
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.aio.coalescer import Coalescer, CoalescerFullError


class Batches:
    """A round trip of `delay_s` that remembers what it was given."""

    def __init__(self, delay_s: float = 1.0) -> None:
        self.delay_s = delay_s
        self.seen: list[list[int]] = []
        self.running = 0

    async def run(self, batch: list[int]) -> None:
        assert not self.running, "one batch at a time"
        self.running = 1
        self.seen.append(batch)
        await asyncio.sleep(self.delay_s)
        self.running = 0


@in_fake_time
async def test_one_item_alone_pays_one_round_trip_and_the_rest_share_the_next() -> None:
    batches = Batches()
    coalescer = Coalescer(batches.run)
    coalescer.add(1)
    assert not coalescer.idle
    await asyncio.sleep(0.5)
    for item in (2, 3, 4):
        coalescer.add(item)
    assert (len(coalescer), repr(coalescer)) == (3, "<Coalescer waiting=3 busy=True 1/1>")
    await asyncio.sleep(2)
    assert batches.seen == [[1], [2, 3, 4]]
    assert (coalescer.idle, coalescer.items, coalescer.batches) == (True, 4, 2)


@in_fake_time
async def test_what_is_added_in_one_turn_of_the_loop_goes_together() -> None:
    batches = Batches()
    coalescer = Coalescer(batches.run)
    for item in range(100):
        coalescer.add(item)
    await turns()
    assert batches.seen == [list(range(100))]
    await asyncio.sleep(1)


@in_fake_time
async def test_a_batch_is_never_larger_than_max_batch() -> None:
    batches = Batches()
    coalescer = Coalescer(batches.run, max_batch=3)
    for item in range(8):
        coalescer.add(item)
    await asyncio.sleep(5)
    assert batches.seen == [[0, 1, 2], [3, 4, 5], [6, 7]]


@in_fake_time
async def test_beyond_max_waiting_nothing_is_taken() -> None:
    batches = Batches()
    coalescer = Coalescer(batches.run, max_waiting=2)
    coalescer.add(1)
    coalescer.add(2)
    with pytest.raises(CoalescerFullError):
        coalescer.add(3)
    await turns()
    coalescer.add(4)
    await asyncio.sleep(3)
    assert batches.seen == [[1, 2], [4]]


@in_fake_time
async def test_a_plain_function_runs_once_per_loop_turn() -> None:
    seen: list[list[int]] = []
    coalescer: Coalescer[int] = Coalescer(seen.append, max_batch=2)
    for item in range(3):
        coalescer.add(item)
    assert seen == []
    await turns()
    assert seen == [[0, 1], [2]]
    assert coalescer.idle


@in_fake_time
async def test_what_a_plain_function_adds_itself_is_a_later_batch() -> None:
    seen: list[list[int]] = []

    def take(batch: list[int]) -> None:
        seen.append(batch)
        if batch[0] < 3:
            coalescer.add(batch[0] + 1)

    coalescer: Coalescer[int] = Coalescer(take)
    coalescer.add(0)
    await turns()
    assert seen == [[0], [1], [2], [3]]


@pytest.mark.parametrize("is_coroutine", [True, False])
def test_a_batch_that_raises_is_reported_and_the_next_one_runs(is_coroutine: bool) -> None:
    seen: list[list[int]] = []

    def take(batch: list[int]) -> None:
        seen.append(batch)
        if batch == [1]:
            raise ZeroDivisionError

    async def take_later(batch: list[int]) -> None:
        await asyncio.sleep(1)
        take(batch)

    async def main() -> None:
        coalescer: Coalescer[int] = Coalescer(take_later if is_coroutine else take, max_batch=1)
        coalescer.add(1)
        coalescer.add(2)
        await asyncio.sleep(3)
        assert coalescer.idle

    loop = FakeTimeLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    assert seen == [[1], [2]]
    assert [type(fault["exception"]) for fault in loop.faults] == [ZeroDivisionError]


@in_fake_time
async def test_a_cancelled_batch_is_over_and_the_next_one_runs() -> None:
    batches = Batches()
    coalescer = Coalescer(batches.run)
    coalescer.add(1)
    await turns()
    coalescer.add(2)
    assert coalescer._task is not None
    coalescer._task.cancel()
    batches.running = 0
    await asyncio.sleep(2)
    assert batches.seen == [[1], [2]]
    assert coalescer.idle


@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.1, 1.0])), max_size=20),
    max_batch=st.integers(1, 6),
)
def test_everything_arrives_once_in_order_whatever_the_pace(
    steps: list[tuple[int, float]], max_batch: int
) -> None:
    async def main() -> None:
        batches = Batches(0.3)
        coalescer = Coalescer(batches.run, max_batch=max_batch)
        added = 0
        for count, pause_s in steps:
            for _ in range(count):
                coalescer.add(added)
                added += 1
            await asyncio.sleep(pause_s)
        await asyncio.sleep(0.3 * (added + 1))
        assert [item for batch in batches.seen for item in batch] == list(range(added))
        assert all(0 < len(batch) <= max_batch for batch in batches.seen)
        assert coalescer.idle
        assert (coalescer.items, coalescer.batches) == (added, len(batches.seen))

    run(main())
