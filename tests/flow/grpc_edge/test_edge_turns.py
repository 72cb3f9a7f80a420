"""Who brings much in one read is served in slices: others are answered between, and nothing is lost of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from grpc_edge_kit import FakeGateway, RawClient, answer_to, framed_request, good_headers
from hyperframe.frame import HeadersFrame, PingFrame, RstStreamFrame

from smsproxy.rpc import turns
from smsproxy.rpc.server import RpcServer

SEND = "/sms.v1.SmsService/SendMessage"
MANY = 1000


def send(client: RawClient) -> int:
    stream_id = client.open(SEND)
    client.data(stream_id, framed_request(), end=True)
    return stream_id


async def until(true: Callable[[], object]) -> None:
    """The loop turns until it is."""
    for _ in range(100_000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was")


async def ends(client: RawClient, stream_ids: list[int]) -> set[int]:
    return {(await client.end_of(stream_id)).grpc_status for stream_id in stream_ids}


def resets(client: RawClient, count: int) -> bytes:
    """Calls opened and reset at once."""
    octets = b""
    for stream_id in range(client._next_id, client._next_id + 2 * count, 2):
        block = client._encoder.encode(good_headers(SEND))
        octets += HeadersFrame(stream_id, block, flags=["END_HEADERS"]).serialize()
        octets += RstStreamFrame(stream_id, 8).serialize()
    return octets


async def test_a_call_is_answered_while_a_thousand_resets_of_another_are_handled(
    start: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start(max_resets_per_10s=2 * MANY)
    flooder, honest = await RawClient.connect(server.port), await RawClient.connect(server.port)
    assert await ends(honest, [send(honest)]) == {0}
    await flooder.ping()
    handled = next(c for c in server._server._protocols if c.connection.streams_started == 0)
    flooder.write(resets(flooder, MANY))
    assert await ends(honest, [send(honest)]) == {0}
    assert handled.connection.streams_started < MANY / 2
    await flooder.ping()
    assert handled.connection.streams_started == MANY
    assert not flooder.closed


@pytest.mark.parametrize("most", [turns.MAX_OCTETS, 0], ids=["in turns", "all at once"])
async def test_a_burst_of_calls_is_answered_whole(
    start: Any, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(turns, "MAX_OCTETS", most)
    server: RpcServer = await start()
    client = await RawClient.connect(server.port)
    for _ in range(3):
        assert await ends(client, [send(client) for _ in range(100)]) == {0}
    assert bool(server.counters.turns_full_total) is not bool(most)
    assert len(gateway.tickets) == 300


async def test_calls_that_wait_for_their_turn_are_answered_in_a_drain(
    start: Any, gateway: FakeGateway
) -> None:
    server: RpcServer = await start()
    client = await RawClient.connect(server.port)
    gateway.respond = None
    calls = [send(client) for _ in range(90)]
    tickets = await gateway.submitted(1)
    assert len(tickets) < 90
    gateway.respond = answer_to
    for ticket in list(tickets):
        ticket.end()
    assert await server.drain(5)
    assert await ends(client, calls) == {0}


async def test_a_goodbye_reaches_those_who_wait_for_their_turn(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_age_s=3600)
    client = await RawClient.connect(server.port)
    await client.ping()
    for _ in range(MANY):
        client.send(PingFrame(0, opaque_data=b"12345678", flags=["ACK"]))
    await until(lambda: server.counters.turns_total == 2)
    for connection in list(server._server._protocols):
        connection.goodbye()
    await client.until(lambda: client.closed)
    assert client.goaway == 0


async def test_who_leaves_while_waiting_leaves_nothing(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start()
    client = await RawClient.connect(server.port)
    for _ in range(90):
        send(client)
    await gateway.submitted(1)
    client._writer.transport.abort()
    await until(lambda: not server.counters.connections)
    assert repr(server._server.turns) == "<Turns waiting=0 suspects=0 octets=0>"


async def test_a_server_that_stops_lets_nobody_stand_on_the_doorstep(start: Any) -> None:
    server: RpcServer = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: server.counters.connections)
    await server.close()
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    assert server.counters.connections == 0
