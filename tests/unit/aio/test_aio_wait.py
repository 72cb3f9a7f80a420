"""Waiting for a state, and the loop our processes run on."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import time

import pytest
from fake_time import in_fake_time

from smsproxy.aio.loop import loop_factory
from smsproxy.aio.wait import patience, settled


def clock() -> float:
    return asyncio.get_running_loop().time()


@in_fake_time
async def test_settled_tells_as_soon_as_the_condition_holds() -> None:
    ready_at = clock() + 1.0
    assert await settled(lambda: clock() >= ready_at, timeout_s=5.0, poll_s=0.01)
    assert clock() < ready_at + 0.02


@in_fake_time
async def test_settled_gives_up_after_its_time() -> None:
    began = clock()
    assert not await settled(lambda: False, timeout_s=2.0, poll_s=0.1)
    assert 1.9 <= clock() - began <= 2.1


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
@in_fake_time
async def test_without_time_settled_looks_and_does_not_wait_long(timeout_s: float) -> None:
    began = clock()
    assert await settled(lambda: True, timeout_s=timeout_s)
    assert clock() == began
    assert not await settled(lambda: False, timeout_s=timeout_s)
    assert clock() == began


def test_the_loop_is_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_factory()()
    assert type(loop).__module__.startswith("uvloop")
    loop.close()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert loop_factory() is asyncio.new_event_loop


async def test_patience_ends_a_wait_in_time() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with patience(0.02):
            await asyncio.sleep(10)
    assert 0.02 <= loop.time() - began < 1


async def test_patience_forgives_a_stall_of_the_loop_itself() -> None:
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[int] = loop.create_future()
    reader, writer = socket.socketpair()
    loop.add_reader(reader, lambda: reply.done() or reply.set_result(1))

    def stall() -> None:
        writer.send(b"x")
        time.sleep(0.05)

    try:
        async with patience(0.02):
            loop.call_soon(stall)
            assert await reply == 1
    finally:
        loop.remove_reader(reader)
        reader.close()
        writer.close()


async def test_patience_hands_on_a_cancellation() -> None:
    async def wait() -> None:
        async with patience(10):
            await asyncio.sleep(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
