"""Control frames by the thousand end their connection, and faults of one stream end that stream alone."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from grpc_edge_kit import FakeGateway, RawClient, answer_to, framed_request, good_headers, messages_in
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from smsproxy.rpc import fence
from smsproxy.rpc.server import RpcServer

SEND = "/sms.v1.SmsService/SendMessage"
STREAM = "/sms.v1.SmsService/SendMessageStream"
CALM = 11
PROTOCOL_ERROR = 1


async def send_one(client: RawClient) -> int:
    stream_id = client.open(SEND)
    client.data(stream_id, framed_request(), end=True)
    return (await client.end_of(stream_id)).grpc_status


def pings(client: RawClient, _: int) -> None:
    client.send(PingFrame(0, opaque_data=b"12345678"))


def settings(client: RawClient, _: int) -> None:
    client.send(SettingsFrame(0, settings={}))


def empty_data(client: RawClient, stream_id: int) -> None:
    client.send(DataFrame(stream_id, b""))


def crumbs(client: RawClient, stream_id: int) -> None:
    """A message of 7,936 octets, four at a time."""
    client.send(DataFrame(stream_id, b"\0\0\0\x1f"))


def priorities(client: RawClient, stream_id: int) -> None:
    client.send(PriorityFrame(stream_id, depends_on=0, stream_weight=1))


def windows(client: RawClient, stream_id: int) -> None:
    client.send(WindowUpdateFrame(stream_id, window_increment=1))


def unknown(client: RawClient, _: int) -> None:
    client.write(struct.pack(">HBBBI", 0, 0, 0x42, 0, 0))


@pytest.mark.parametrize(
    ("frame", "allowed", "cause"),
    [
        (pings, 1000, "pings"),
        (settings, 98, "settings"),  # the client's first one counts, and its ACK
        (empty_data, 1000, "empty_data"),
        (crumbs, 1000, "crumbs"),
        (priorities, 1000, "priority"),
        (windows, 1000, "window_updates"),
        (unknown, 1000, "unknown_frames"),
    ],
)
async def test_a_flood_ends_its_connection_with_a_reason_and_no_other(
    server: RpcServer,
    gateway: FakeGateway,
    frame: Callable[[RawClient, int], None],
    allowed: int,
    cause: str,
) -> None:
    flooder, honest = await RawClient.connect(server.port), await RawClient.connect(server.port)
    stream_id = flooder.open(STREAM)
    await flooder.until(lambda: flooder.streams[stream_id].headers)
    for _ in range(allowed):
        frame(flooder, stream_id)
    assert await send_one(flooder) == 0
    frame(flooder, stream_id)
    frame(flooder, stream_id)  # a DATA frame and a WINDOW_UPDATE went out for the call above: room for more
    for _ in range(20):
        frame(flooder, stream_id)
    await flooder.until(lambda: flooder.closed)
    assert flooder.goaway == CALM
    assert server.counters.connections_ended_by == {cause: 1}
    assert await send_one(honest) == 0


async def test_window_updates_for_what_was_read_are_no_flood(server: RpcServer, gateway: FakeGateway) -> None:
    client = await RawClient.connect(server.port)
    for _ in range(400):
        for _ in range(4):
            client.grow(1)
        assert await send_one(client) == 0
    assert server.counters.connections_ended_by == {}


async def test_window_updates_of_calls_that_are_refused_are_no_flood(
    server: RpcServer, gateway: FakeGateway
) -> None:
    """grpcio sends some for every call; a thousand in ten seconds are allowed to who gets nothing from us."""
    client = await RawClient.connect(server.port)
    refused = [pair for pair in good_headers(SEND) if pair[0] != "authorization"]
    for _ in range(40):
        calls = [client.open(headers=refused) for _ in range(15)]
        for stream_id in calls:
            client.data(stream_id, framed_request(), end=True)
            client.grow(1, stream_id)
        for stream_id in calls:
            assert (await client.end_of(stream_id)).grpc_status == 16
    await client.ping()
    assert not client.closed
    assert server.counters.connections_ended_by == {}


async def answered_and_given_back(client: RawClient, gateway: FakeGateway, step: int) -> None:
    """Twenty times a hundred messages on one stream; each answer's window is given back, `step` at a time.

    Stops when the connection ends.
    """
    gateway.respond = lambda message: answer_to(message, message_id=str(uuid4()))
    stream_id = client.open(STREAM)
    data = client.streams[stream_id].data
    for _ in range(20):
        whole = len(data)
        hundred = framed_request(transaction_id=str(uuid4())) * 100
        await client.data_within(stream_id, hundred[:16_000])
        await client.data_within(stream_id, hundred[16_000:])
        await client.until(lambda whole=whole: len(messages_in(data[whole:])) == 100 or client.closed)
        for answer in messages_in(data[whole:]):
            size = len(answer) + 5
            for given in range(0, size, step):
                client.grow(min(step, size - given), stream_id)
        if client.closed:
            return
    client.data(stream_id, b"", end=True)
    assert (await client.end_of(stream_id)).grpc_status == 0


async def test_window_given_back_answer_by_answer_is_no_flood(
    server: RpcServer, gateway: FakeGateway
) -> None:
    """Four thousand WINDOW_UPDATEs for 2,000 answers that came in some forty DATA frames."""
    client = await RawClient.connect(server.port)
    await answered_and_given_back(client, gateway, step=10_000)
    assert len(gateway.tickets) == 2000
    assert server.counters.connections_ended_by == {}


async def test_window_given_back_octet_by_octet_is_a_flood(server: RpcServer, gateway: FakeGateway) -> None:
    client = await RawClient.connect(server.port)
    await answered_and_given_back(client, gateway, step=1)
    await client.until(lambda: client.closed)
    assert client.goaway == CALM
    assert server.counters.connections_ended_by == {"window_updates": 1}
    assert len(gateway.tickets) < 1000


async def test_pings_too_soon_are_struck_out(start: Any) -> None:
    server: RpcServer = await start(ping_interval_s=10.0)
    client = await RawClient.connect(server.port)
    for _ in range(3):
        await client.ping()
    assert await send_one(client) == 0  # something was sent: the strikes are forgotten
    for _ in range(3):
        await client.ping()
    assert not client.closed
    await client.ping()
    await client.until(lambda: client.closed)
    assert (client.goaway, client.goaway_data) == (CALM, b"too_many_pings")
    assert server.counters.connections_ended_by == {"pings": 1}


async def test_rapid_reset_is_ended_after_its_budget(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_resets_per_10s=20)
    client = await RawClient.connect(server.port)
    for _ in range(21):
        client.reset(client.open(SEND))
    await client.until(lambda: client.closed)
    assert client.goaway == CALM
    assert server.counters.connections_ended_by == {"resets": 1}
    assert gateway.tickets == []


async def test_who_flooded_does_not_come_back_at_once(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_resets_per_10s=20)
    flooder, honest = await RawClient.connect(server.port), await RawClient.connect(server.port)
    for _ in range(21):
        flooder.reset(flooder.open(SEND))
    await flooder.until(lambda: flooder.closed)
    again = await RawClient.connect(server.port)
    await again.until(lambda: again.closed)
    assert server.counters.connections_refused_total == 1
    assert await send_one(honest) == 0


async def test_a_drain_passes_those_by_who_are_being_ended(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_resets_per_10s=20)
    client = await RawClient.connect(server.port)
    for _ in range(21):
        client.reset(client.open(SEND))
    await client.until(lambda: client.goaway)
    assert await server.drain(5)
    await client.until(lambda: client.closed)


async def test_who_cancels_less_than_half_of_its_calls_is_never_cut(start: Any) -> None:
    server: RpcServer = await start(max_resets_per_10s=20)
    client = await RawClient.connect(server.port)
    for _ in range(60):
        assert await send_one(client) == 0
        assert await send_one(client) == 0
        client.reset(client.open(SEND))
    await client.ping()
    assert not client.closed


async def test_calls_given_up_after_a_while_are_no_rapid_reset(
    start: Any, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fence, "RAPID_S", 0.05)
    server: RpcServer = await start(max_resets_per_10s=20)
    gateway.respond = None
    client = await RawClient.connect(server.port)
    calls = [client.open(SEND) for _ in range(50)]
    for call in calls:
        client.data(call, framed_request(), end=True)
    await gateway.submitted(50)
    await asyncio.sleep(0.06)  # a server that is slow makes every deadline pass
    for call in calls:
        client.reset(call)
    await client.ping()
    assert not client.closed


async def test_continuation_without_end_is_stopped_at_a_few_header_lists(start: Any) -> None:
    server: RpcServer = await start()
    client = await RawClient.connect(server.port)
    client.send(HeadersFrame(1, b""))
    for _ in range(5):
        client.send(ContinuationFrame(1, b"\0" * 16_000))
    await client.until(lambda: client.closed)
    assert client.goaway == CALM
    assert server.counters.connections_ended_by == {"continuation": 1}


def zero_window(client: RawClient, stream_id: int) -> None:
    client.write(struct.pack(">HBBBII", 0, 4, 0x8, 0, stream_id, 0))


def trailers_that_end_nothing(client: RawClient, stream_id: int) -> None:
    client.send(HeadersFrame(stream_id, client._encoder.encode([("x", "y")]), flags=["END_HEADERS"]))


def trailers_in_pieces(client: RawClient, stream_id: int) -> None:
    block = client._encoder.encode([("x", "y"), ("z", "long" * 10)])
    client.send(HeadersFrame(stream_id, block[:3]))
    client.send(ContinuationFrame(stream_id, block[3:], flags=["END_HEADERS"]))


@pytest.mark.parametrize("fault", [zero_window, trailers_that_end_nothing, trailers_in_pieces])
async def test_a_fault_of_one_stream_ends_that_stream_alone(
    raw: RawClient, server: RpcServer, gateway: FakeGateway, fault: Callable[[RawClient, int], None]
) -> None:
    gateway.respond = None
    sibling, faulty = raw.open(SEND), raw.open(STREAM)
    raw.data(sibling, framed_request(), end=True)
    await gateway.submitted(1)
    raw.data(faulty, framed_request())
    await gateway.submitted(2)
    fault(raw, faulty)
    stream = await raw.end_of(faulty)
    assert stream.reset == PROTOCOL_ERROR
    assert server.counters.stream_faults_total == 1
    gateway.tickets[0].end()
    assert (await raw.end_of(sibling)).grpc_status == 0
    later = raw.open(SEND, more=[("x", "y")])  # HPACK's state is whole
    raw.data(later, framed_request(), end=True)
    tickets = await gateway.submitted(3)
    assert tickets[1].cancelled
    tickets[2].end()
    assert (await raw.end_of(later)).grpc_status == 0


async def test_a_priority_on_itself_is_ignored(raw: RawClient) -> None:
    stream_id = raw.open(SEND)
    raw.send(PriorityFrame(stream_id, depends_on=stream_id, stream_weight=1))
    raw.data(stream_id, framed_request(), end=True)
    assert (await raw.end_of(stream_id)).grpc_status == 0


async def test_faults_of_streams_are_not_free(start: Any) -> None:
    server: RpcServer = await start(max_resets_per_10s=20)
    client = await RawClient.connect(server.port)
    for _ in range(21):  # "made you reset": the peer's fault, our reset (CVE-2025-8671)
        zero_window(client, client.open(SEND))
    await client.until(lambda: client.closed)
    assert client.goaway == CALM
    assert server.counters.connections_ended_by == {"resets": 1}
