"""The daemon in this process against the scripted SMSC: a message goes in, what became of it comes out.

`gateway` is both, bound to each other; `Gateway.send` goes through the core as a door does, and
`Gateway.settled` waits until the record of a message has a state that lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from smsproxy.aio.wait import settled
from smsproxy.app import App
from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.domain.record import FINAL, MessageRecord, SegmentState
from smsproxy.links.link import Link
from smsproxy.pipeline.ports import Lane
from smsproxy.settings import load
from smsproxy.simulator.script import Rule, Script
from smsproxy.simulator.smsc import Smsc
from tests.flow.kit import Config

BOUND_S = 10.0
CALLER = Caller(1, time.time() + 3600)
PHONE = "998901234567"


class Gateway:
    """A running daemon and the SMSC of its link 100."""

    def __init__(self, app: App, smsc: Smsc) -> None:
        self.app = app
        self.smsc = smsc

    @property
    def link(self) -> Link:
        return self.app.links.directory.links[100]

    async def send(
        self, text: str = "hello", *, daddr: str = PHONE, route: int = 100, **fields: Any
    ) -> Answer:
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        message = Message(1, route, fields.pop("saddr", "MYBRAND"), daddr, text, **fields)
        self.app.core.submit(message, CALLER, Lane.STREAM, lambda _tag, answer: answered.set_result(answer))
        async with asyncio.timeout(BOUND_S):
            return await answered

    async def taken(self, text: str = "hello", **fields: Any) -> Answer:
        """Send what the SMSC is to take."""
        answer = await self.send(text, **fields)
        assert answer.status is Status.SUBMITTED, answer
        return answer

    async def record(self, answer: Answer) -> MessageRecord:
        route = answer.route_id
        record = await self.app.core.message_info(CALLER, route, answer.message_id)
        assert record is not None
        return record

    async def settled(self, answer: Answer) -> MessageRecord:
        """Its record, once each of its segments has a final state."""
        async with asyncio.timeout(BOUND_S):
            while True:
                record = await self.record(answer)
                if all(segment.state in FINAL for segment in record.segments):
                    return record
                await asyncio.sleep(0.002)

    async def delivered(self, *answers: Answer) -> None:
        for answer in answers:
            record = await self.settled(answer)
            assert record.status is SegmentState.DELIVERED, record


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that has no event of its own."""
    assert await settled(lambda: bool(condition()), timeout_s=BOUND_S, poll_s=0.001)


@contextlib.asynccontextmanager
async def daemon(folder: Path, smsc: Smsc, **tables: dict[str, Any]) -> AsyncIterator[Gateway]:
    """A daemon with these tables (`links_100` for ``[links.100]``), bound to `smsc`; drained at the end."""
    named = {name.replace("_", ".", 1): table for name, table in tables.items()}
    app = App(load(Config(folder, smsc.port, {"store": {"url": "memory:"}, **named}).write()))
    await app.start()
    try:
        await until(lambda: all(link.bound for link in app.links.directory.links.values()))
        yield Gateway(app, smsc)
    finally:
        drained = await app.stop(drain_s=5)
    assert drained


@contextlib.asynccontextmanager
async def an_smsc(*rules: Rule, **script: Any) -> AsyncIterator[Smsc]:
    smsc = Smsc(Script(rules=rules, **script))
    await smsc.start()
    try:
        yield smsc
    finally:
        await smsc.aclose()


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, *rules: Rule, link: dict[str, Any] | None = None, **script: Any
) -> AsyncIterator[Gateway]:
    """A daemon with these settings of its link, and an SMSC with this script."""
    async with an_smsc(*rules, **script) as smsc, daemon(folder, smsc, links_100=link or {}) as gate:
        yield gate
