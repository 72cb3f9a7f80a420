"""How a drain ends that the SMSC does not end, and what its exit code says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from smsproxy.aio.wait import settled
from smsproxy.app import App
from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.pipeline.ports import Lane
from smsproxy.settings import load
from smsproxy.simulator.script import Rule, Script
from smsproxy.simulator.smsc import Smsc
from smsproxy.stores.base import SegmentResult
from tests.flow.kit import Config

CALLER = Caller(1, time.time() + 3600)


async def test_a_drain_is_clean_when_the_store_takes_its_last_results_while_callers_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smsc = Smsc(Script(rules=(Rule(do="silent"),)))
    app = App(load(Config(tmp_path, await smsc.start()).write()))
    await app.start()
    assert await settled(lambda: app.core.link_bound(100) is True, timeout_s=5)
    answers: list[Answer] = []
    message = Message(1, 100, "MYBRAND", "998901234567", "hello")
    app.core.submit(message, CALLER, Lane.STREAM, lambda _tag, answer: answers.append(answer))
    await smsc.wait_for(lambda counters: counters.submits == 1)
    settle, drain = app.store.settle, app.rpc.drain
    drains, callers_wait = 0, asyncio.Event()

    async def slow_settle(results: Sequence[SegmentResult]) -> None:
        await callers_wait.wait()
        await settle(results)

    async def second_drain_waits(timeout_s: float) -> bool:
        nonlocal drains
        drains += 1
        if drains == 2:
            assert not answers
            callers_wait.set()
            assert await settled(lambda: bool(answers), timeout_s=5)
        return await drain(timeout_s)

    monkeypatch.setattr(app.store, "settle", slow_settle)
    monkeypatch.setattr(app.rpc, "drain", second_drain_waits)
    try:
        assert await app.stop(drain_s=0.5)
    finally:
        await smsc.aclose()
    assert [answer.status for answer in answers] == [Status.UNKNOWN]


async def test_a_reload_while_the_daemon_stops_changes_nothing_and_binds_nothing(tmp_path: Path) -> None:
    smsc = Smsc(Script(rules=(Rule(do="silent"),)))
    config = Config(tmp_path, await smsc.start())
    app = App(load(config.write()))
    await app.start()
    assert await settled(lambda: app.core.link_bound(100) is True, timeout_s=5)
    message = Message(1, 100, "MYBRAND", "998901234567", "hello")
    app.core.submit(message, CALLER, Lane.STREAM, lambda _tag, _answer: None)
    await smsc.wait_for(lambda counters: counters.submits == 1)
    stop = asyncio.create_task(app.stop(drain_s=0.5))
    assert await settled(lambda: app.stopping, timeout_s=5)
    config.tables["links.100"] = {"window": 7}
    app.reload(load(config.write()))
    try:
        assert await stop
        assert smsc.counters.binds == 1
    finally:
        await smsc.aclose()
