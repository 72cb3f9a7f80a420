"""A link that drops while a long message is half sent: one end, no place leaked, no double."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from smsproxy.aio.wait import settled
from smsproxy.app import App
from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.pipeline.ports import Lane
from smsproxy.settings import load
from smsproxy.simulator.script import Script
from smsproxy.simulator.smsc import Smsc
from tests.flow.kit import Config

CALLER = Caller(1, time.time() + 3600)
LONG = "a long message " * 30  # three segments
SLOW = {"rate_per_s": 2, "burst": 1, "window": 2, "response_timeout_s": 2}


async def send(app: App, text: str, route_id: int = 100) -> Answer:
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    message = Message(1, route_id, "MYBRAND", "998901234567", text)
    app.core.submit(message, CALLER, Lane.STREAM, lambda _tag, answer: answered.set_result(answer))
    async with asyncio.timeout(20):
        return await answered


@pytest.mark.parametrize("route_id", [100, 1000])
async def test_a_link_that_drops_after_the_first_segment_leaves_the_message_in_doubt(
    tmp_path: Path, route_id: int
) -> None:
    smsc = Smsc(Script(cut_after_submits=1))
    port = await smsc.start()
    second = {"port": port, "system_id": "second", "password": "x", **SLOW}
    pool = {"members": [{"link": 100}, {"link": 101}]}
    config = Config(tmp_path, port, {"links.100": SLOW, "links.101": second, "pools.1000": pool})
    app = App(load(config.write()))
    await app.start()
    try:
        assert await settled(lambda: len(smsc.sessions) == 2, timeout_s=5)
        assert await settled(lambda: app.core.link_bound(100) is True, timeout_s=5)
        answer = await send(app, LONG, route_id)
        assert answer.status is Status.UNKNOWN, answer
        assert answer.message_id
        record = await app.core.message_info(CALLER, route_id, answer.message_id)
        assert record is not None
        assert [segment.reason for segment in record.segments[1:]] == [
            "the link was lost before it was written"
        ] * 2

        smsc.script = Script()
        assert await settled(lambda: app.core.link_bound(answer.route_id) is True, timeout_s=5)
        for text in ("one", "two", "three"):  # as many as the window and one: no place was leaked
            assert (await send(app, text, answer.route_id)).status is Status.SUBMITTED
    finally:
        assert await app.stop(drain_s=5)
        await smsc.aclose()
    assert not smsc.truth.duplicates()
