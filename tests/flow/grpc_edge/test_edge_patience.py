"""Slow, silent, idle, old and dead peers: each is ended when its time is up, and its neighbours are not."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_edge_kit import METADATA, FakeGateway, RawClient, answer_to, framed_request
from grpclib.client import Channel
from hyperframe.frame import HeadersFrame

from smsproxy.rpc.gen.sms.v1 import SmsRequest, SmsServiceStub
from smsproxy.rpc.server import RpcServer

SEND = "/sms.v1.SmsService/SendMessage"
STREAM = "/sms.v1.SmsService/SendMessageStream"
WATCH = "/grpc.health.v1.Health/Watch"
DEADLINE_EXCEEDED = 4
SHORT = 0.2


async def closed(reader: asyncio.StreamReader) -> None:
    async with asyncio.timeout(5):
        while await reader.read(4096):
            pass


@pytest.mark.parametrize("first", [b"", b"PRI * HTTP", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
async def test_a_connection_that_never_says_hello_is_closed(start: Any, first: bytes) -> None:
    server: RpcServer = await start(first_byte_s=SHORT)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(first)
    await closed(reader)
    writer.close()
    assert server.counters.connections_ended_by == {"silent": 1}


async def test_a_frame_that_never_ends_closes_its_connection(start: Any) -> None:
    server: RpcServer = await start(message_s=SHORT)
    client = await RawClient.connect(server.port)
    await client.ping()
    client.write(b"\0\0\5")
    await client.until(lambda: client.closed)
    assert server.counters.connections_ended_by == {"unfinished": 1}


async def test_a_header_block_that_never_ends_closes_its_connection(start: Any) -> None:
    server: RpcServer = await start(message_s=SHORT)
    client = await RawClient.connect(server.port)
    await client.ping()
    client.send(HeadersFrame(1, client._encoder.encode([("x", "y")])))
    await client.until(lambda: client.closed)
    assert server.counters.connections_ended_by == {"unfinished": 1}


@pytest.mark.parametrize(
    ("path", "octets"),
    [(SEND, b""), (SEND, framed_request()[:-1]), (STREAM, framed_request()[:-1]), (WATCH, b"")],
    ids=["unary without message", "unary cut", "stream cut", "watch without message"],
)
async def test_a_message_that_does_not_come_ends_its_call_alone(
    start: Any, gateway: FakeGateway, path: str, octets: bytes
) -> None:
    server: RpcServer = await start(message_s=SHORT)
    client = await RawClient.connect(server.port)
    quiet = client.open(STREAM)
    client.data(quiet, framed_request())
    slow = client.open(path)
    client.data(slow, octets)
    stream = await client.end_of(slow)
    assert stream.grpc_status == DEADLINE_EXCEEDED
    assert stream.trailers["grpc-message"] == "the message did not arrive within 0.2 s"
    assert server.counters.messages_unfinished_total == 1
    client.data(quiet, framed_request(), end=True)
    assert (await client.end_of(quiet)).grpc_status == 0
    assert not client.closed


async def test_messages_that_come_slowly_but_in_time_are_fine(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(message_s=0.5)
    client = await RawClient.connect(server.port)
    stream_id = client.open(STREAM)
    octets = framed_request()
    for number in range(6):  # each message is half here for a fifth of a second: a second and more in all
        client.data(stream_id, octets[:5])
        await asyncio.sleep(0.2)
        client.data(stream_id, octets[5:])
        await gateway.submitted(number + 1)
    client.data(stream_id, b"", end=True)
    assert (await client.end_of(stream_id)).grpc_status == 0


async def test_an_idle_connection_gets_goaway_and_a_stream_keeps_one_alive(start: Any) -> None:
    server: RpcServer = await start(idle_s=SHORT)
    idle, busy = await RawClient.connect(server.port), await RawClient.connect(server.port)
    stream_id = busy.open(STREAM)
    await idle.until(lambda: idle.closed)
    assert idle.goaway == 0
    busy.data(stream_id, framed_request(), end=True)
    assert (await busy.end_of(stream_id)).grpc_status == 0
    assert server.counters.connections_ended_by == {"idle": 1}


async def test_a_peer_that_died_under_an_open_call_is_noticed(start: Any) -> None:
    server: RpcServer = await start(keepalive_s=SHORT, keepalive_timeout_s=SHORT)
    dead, alive = await RawClient.connect(server.port), await RawClient.connect(server.port)
    dead.ack_pings = False
    dead.open(STREAM)
    stream_id = alive.open(STREAM)
    await dead.until(lambda: dead.closed)
    alive.data(stream_id, framed_request(), end=True)
    assert (await alive.end_of(stream_id)).grpc_status == 0
    assert server.counters.connections_ended_by == {"dead": 1}


async def test_age_ends_connections_and_no_call_of_grpcio(start: Any, gateway: FakeGateway, api: Any) -> None:
    server: RpcServer = await start(max_age_s=0.15)
    loop = asyncio.get_running_loop()

    def answer_soon(message: Any) -> None:
        ticket = gateway.tickets[-1]
        loop.call_later(0.02, lambda: ticket.reply(0, answer_to(ticket.message)))

    gateway.respond = answer_soon
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = api.stubs.SmsServiceStub(channel)

        async def caller() -> None:
            for _ in range(20):
                assert (await stub.SendMessage(api.request(), metadata=METADATA, timeout=10)).success

        await asyncio.gather(*[caller() for _ in range(5)])
    assert server.counters.connections_ended_by["old"] >= 1
    assert len(gateway.tickets) == 100


async def test_a_call_that_comes_to_a_retiring_connection_all_the_same_is_served(
    start: Any, gateway: FakeGateway
) -> None:
    """grpcio may open one right behind its acknowledgement of the limit of no streams."""
    server: RpcServer = await start(max_age_s=SHORT)
    gateway.respond = None
    client = await RawClient.connect(server.port)
    calls = [client.open(SEND)]
    client.data(calls[0], framed_request(), end=True)
    await client.until(lambda: client.settings.get(3) == 0)
    await client.ping()  # the limit is acknowledged
    calls.append(client.open(SEND))
    client.data(calls[1], framed_request(), end=True)
    for ticket in await gateway.submitted(2):
        ticket.end()
    for stream_id in calls:
        assert (await client.end_of(stream_id)).grpc_status == 0
    await client.until(lambda: client.closed)
    assert client.goaway == 0
    assert server.counters.streams_refused_total == 0


async def test_age_ends_connections_and_no_call_of_grpclib(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_age_s=0.3)
    async with Channel("127.0.0.1", server.port) as channel:
        stub = SmsServiceStub(channel)
        request = SmsRequest(app_id=1, esme=100, saddr="BRAND", daddr="998901234567", message="hi")
        for _ in range(30):
            assert (await stub.send_message(request, metadata=dict(METADATA), timeout=10)).success
            await asyncio.sleep(0.02)
        assert "old" not in server.counters.connections_ended_by  # there was no quiet moment


async def test_a_long_stream_outlives_the_age_of_its_connection(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_age_s=SHORT)
    client = await RawClient.connect(server.port)
    stream_id = client.open(STREAM)
    await asyncio.sleep(3 * SHORT)
    assert client.settings[3] == 100  # still as many streams as ever
    client.data(stream_id, framed_request(), end=True)
    assert (await client.end_of(stream_id)).grpc_status == 0
    await client.until(lambda: client.closed)
    assert client.goaway == 0
    assert server.counters.connections_ended_by == {"old": 1}
