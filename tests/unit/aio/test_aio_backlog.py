"""The backlog: done later, in order, bounded."""

from __future__ import annotations

import asyncio

from fake_time import in_fake_time

from smsproxy.aio.backlog import RETRY_S, Backlog


class Target:
    """Takes batches while it works."""

    def __init__(self) -> None:
        self.works = False
        self.done: list[int] = []
        self.tries = 0
        self.delay_s = 0.0

    async def run(self, batch: list[int]) -> bool:
        self.tries += 1
        await asyncio.sleep(self.delay_s)
        if self.works:
            self.done += batch
        return self.works


@in_fake_time
async def test_what_failed_is_tried_again_until_it_succeeds_in_order() -> None:
    target = Target()
    backlog = Backlog(target.run)
    assert backlog.idle
    backlog.add([1, 2])
    backlog.add([3])
    await asyncio.sleep(10 * RETRY_S + 0.01)
    assert (target.tries, backlog.idle) == (10, False)
    target.works = True
    await asyncio.sleep(RETRY_S)
    assert target.done == [1, 2, 3]
    assert backlog.idle
    assert repr(backlog) == "<Backlog waiting=0 taken=3 lost=0>"


@in_fake_time
async def test_once_it_works_batch_follows_batch_without_a_pause() -> None:
    target = Target()
    target.works = True
    backlog = Backlog(target.run, max_batch=2)
    backlog.add(range(5))
    await asyncio.sleep(RETRY_S + 0.01)
    assert (target.done, target.tries) == ([0, 1, 2, 3, 4], 3)


@in_fake_time
async def test_when_it_is_full_the_oldest_is_given_up_and_counted() -> None:
    target = Target()
    backlog = Backlog(target.run, max_items=3)
    backlog.add(range(5))
    target.delay_s = 1.0
    await asyncio.sleep(RETRY_S + 0.1)
    backlog.add([5])  # while a try is under way, which then fails
    target.works = False
    await asyncio.sleep(1.0)
    target.works = True
    await asyncio.sleep(3.0)
    assert target.done == [3, 4, 5]
    assert (backlog.lost, backlog.taken) == (3, 6)


@in_fake_time
async def test_nothing_to_do_starts_nothing() -> None:
    backlog = Backlog(Target().run)
    backlog.add([])
    assert backlog.idle


@in_fake_time
async def test_what_comes_after_the_end_starts_again() -> None:
    target = Target()
    target.works = True
    backlog = Backlog(target.run)
    for item in (1, 2):
        backlog.add([item])
        await asyncio.sleep(1)
        assert backlog.idle
    assert target.done == [1, 2]
