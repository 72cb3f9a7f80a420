"""The whole daemon in this process against smpp34: what is submitted reads DELIVERED, part by part."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from foreign_smsc import ForeignSmsc, until

from smsproxy.app import App
from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.domain.record import MessageRecord, SegmentState
from smsproxy.pipeline.ports import Lane
from smsproxy.settings import load
from tests.flow.kit import Config

CALLER = Caller(1, time.time() + 3600)
LONG = "Ўзбекча матн 🙂 " * 12


async def send(app: App, text: str, daddr: str = "998901234567") -> Answer:
    """Through the core, as a door does."""
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    message = Message(1, 1000, "MYBRAND", daddr, text)
    app.core.submit(message, CALLER, Lane.UNARY, lambda _tag, answer: answered.set_result(answer))
    async with asyncio.timeout(10):
        return await answered


async def settled_record(app: App, answer: Answer) -> MessageRecord:
    """Its record, once every part of it has its final state."""
    for _ in range(2000):
        record = await app.core.message_info(CALLER, 1000, answer.message_id)
        assert record is not None
        if all(segment.state is not SegmentState.SUBMITTED for segment in record.segments):
            return record
        await asyncio.sleep(0.005)
    raise AssertionError(record)


@pytest.mark.parametrize("store", ["memory:", "sqlite:./store.db"])
async def test_every_part_of_a_long_message_is_delivered(tmp_path: Path, store: str) -> None:
    async with ForeignSmsc() as foreign:
        app = App(load(Config(tmp_path, foreign.port, {"store": {"url": store}}).write()))
        await app.start()
        try:
            await until(lambda: app.core.link_bound(100))
            answers = await asyncio.gather(*(send(app, LONG, f"99890{n:07d}") for n in range(20)))
            for answer in answers:
                assert answer.status is Status.SUBMITTED, answer
                record = await settled_record(app, answer)
                assert len(record.segments) == len(answer.smsc_ids) == 3
                assert {segment.state for segment in record.segments} == {SegmentState.DELIVERED}
                assert record.status is SegmentState.DELIVERED
            await until(lambda: len(foreign.receipt_answers) == 60)
            assert set(foreign.receipt_answers) == {0}
        finally:
            assert await app.stop(drain_s=10)
        await until(foreign.unbound.is_set)


async def test_a_part_that_the_smsc_could_not_deliver_says_why(tmp_path: Path) -> None:
    async with ForeignSmsc() as foreign:
        foreign.state = "UNDELIV"
        app = App(load(Config(tmp_path, foreign.port, {"store": {"url": "memory:"}}).write()))
        await app.start()
        try:
            await until(lambda: app.core.link_bound(100))
            record = await settled_record(app, await send(app, "hello"))
            (segment,) = record.segments
            assert (segment.state, segment.reason) == (SegmentState.UNDELIVERABLE, "UNDELIV err:000")
        finally:
            assert await app.stop(drain_s=10)
