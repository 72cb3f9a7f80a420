"""Waiting for a state, and the loop our processes run on."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest
from fake_time import in_fake_time

from smsproxy.aio.loop import loop_factory
from smsproxy.aio.wait import settled


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
