"""Row 25 of the reliability matrix: twenty idle and twenty busy connections, with all clocks run faster.

An hour is a minute in a soak. Among the idle ones are those that ping too fast, and those whose peer is gone
without a word; the busy ones, half on grpcio and half on grpclib, must not lose a call to their age.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import grpc
import pytest
from grpc_edge_kit import METADATA, FakeGateway, RawClient, answer_to, framed_request
from grpclib.client import Channel

from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsServiceStub
from smsproxy.rpc.options import RpcOptions
from smsproxy.rpc.server import RpcServer

SOAK = bool(os.environ.get("SMSPROXY_SOAK"))
FASTER = 60
SLACK = 1 if SOAK else 5
STREAM = "/sms.v1.SmsService/SendMessageStream"
CALM = 11
REAL = RpcOptions()
SHORT = {
    name: getattr(REAL, name) / FASTER
    for name in ("idle_s", "max_age_s", "ping_interval_s", "keepalive_s", "keepalive_timeout_s")
}
if not SOAK:
    SHORT["max_age_s"] /= 5
LASTS_S = 1.3 * SHORT["max_age_s"]
"""Every connection of the beginning is over age by then: 1 h +/- 10 %."""
SWEEP_S = 0.25
"""The sweep looks five times a second."""
ANSWER_S = 0.02
EACH = 5


class Busy:
    """Twenty callers, each on a connection of its own, one call after the other."""

    def __init__(self, port: int, api: Any) -> None:
        self._port = port
        self._api = api
        self.calls = 0
        self.errors: list[BaseException] = []

    async def run(self, seconds: float) -> None:
        ends = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*[each(ends) for each in [self._grpcio, self._grpclib] for _ in range(10)])

    async def _grpcio(self, ends: float) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options) as channel:
            send = self._api.stubs.SmsServiceStub(channel).SendMessage
            await self._call(lambda: send(self._api.request(), metadata=METADATA, timeout=10), ends)

    async def _grpclib(self, ends: float) -> None:
        request = SmsRequest(app_id=1, esme=100, saddr="BRAND", daddr="998901234567", message="hi")
        async with Channel("127.0.0.1", self._port) as channel:
            send = SmsServiceStub(channel).send_message
            await self._call(lambda: send(request, metadata=dict(METADATA), timeout=10), ends)

    async def _call(self, call: Any, ends: float) -> None:
        while asyncio.get_running_loop().time() < ends:
            try:
                assert (await call()).success
            except Exception as error:  # all of them are counted, whatever the library calls them
                self.errors.append(error)
            self.calls += 1
            await asyncio.sleep(ANSWER_S)


async def lasted(client: RawClient, since: float) -> float:
    """Seconds from `since` until the daemon ended the connection."""
    async with asyncio.timeout(LASTS_S):
        while not client.closed:
            client._changed.clear()
            await client._changed.wait()
    return asyncio.get_running_loop().time() - since


async def hasty(port: int) -> tuple[int, RawClient]:
    """PINGs one after the other; how many were answered before the end."""
    client = await RawClient.connect(port, address="127.0.2.1")
    for answered in range(10):
        await client.ping()
        if client.closed:
            return answered, client
    return 10, client


async def black_hole(port: int) -> float:
    """A call open, and then not a word more."""
    client = await RawClient.connect(port)
    client.open(STREAM)
    await client.ping()
    client.ack_pings = False
    return await lasted(client, asyncio.get_running_loop().time())


async def idle(port: int) -> float:
    client = await RawClient.connect(port)
    await client.ping()
    seconds = await lasted(client, asyncio.get_running_loop().time())
    assert client.goaway == 0
    return seconds


async def quiet_stream(port: int, seconds: float) -> RawClient:
    """A call open for longer than a connection's age; it answers PINGs, and that is all."""
    client = await RawClient.connect(port)
    stream_id = client.open(STREAM)
    await asyncio.sleep(seconds)
    client.data(stream_id, framed_request(), end=True)
    assert (await client.end_of(stream_id)).grpc_status == 0
    return client


def answering_soon(gateway: FakeGateway) -> None:
    loop = asyncio.get_running_loop()

    def answer(message: Any) -> None:
        ticket = gateway.tickets.pop()
        loop.call_later(ANSWER_S, lambda: ticket.reply(ticket.tag, answer_to(ticket.message)))

    gateway.respond = answer


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_row_25_keepalive_and_age_end_who_is_gone_and_no_call(
    start: Any, gateway: FakeGateway, api: Any
) -> None:
    server: RpcServer = await start(**SHORT)
    answering_soon(gateway)
    busy = Busy(server.port, api)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(busy.run(LASTS_S))
        pingers = [tasks.create_task(hasty(server.port)) for _ in range(1)]
        holes = [tasks.create_task(black_hole(server.port)) for _ in range(EACH)]
        idlers = [tasks.create_task(idle(server.port)) for _ in range(2 * EACH - 1)]
        streams = [tasks.create_task(quiet_stream(server.port, LASTS_S)) for _ in range(EACH)]
    ended = server.counters.connections_ended_by
    gone_s = [task.result() for task in holes]
    idle_s = [task.result() for task in idlers]
    print(f"{busy.calls} calls, {len(busy.errors)} errors; connections ended by {ended}")
    print(f"black holes {max(gone_s):.2f} s, idle ones {max(idle_s):.2f} s; clocks x {FASTER}")
    assert busy.errors == []
    assert busy.calls > 20 * LASTS_S
    for answered, client in [task.result() for task in pingers]:
        assert (answered, client.goaway, client.goaway_data) == (3, CALM, b"too_many_pings")
    late_s = SWEEP_S * SLACK
    assert SHORT["keepalive_s"] < max(gone_s) <= SHORT["keepalive_s"] + SHORT["keepalive_timeout_s"] + late_s
    assert SHORT["idle_s"] <= min(idle_s)
    assert max(idle_s) <= SHORT["idle_s"] + late_s
    assert len(streams) == EACH
    assert (ended["dead"], ended["idle"], ended["pings"]) == (EACH, 2 * EACH - 1, len(pingers))
    assert ended["old"] >= 10  # those of grpcio; grpclib's wait for a quiet moment
