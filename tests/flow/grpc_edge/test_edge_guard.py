"""What an unkind network sends, in raw frames: answered at once, or closed with a reason."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_edge_kit import (
    METADATA,
    FakeGateway,
    RawClient,
    answer_to,
    framed_request,
    good_headers,
    responses_in,
)
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame, WindowUpdateFrame

from smsproxy.domain.outcome import Status
from smsproxy.rpc.server import RpcServer

SEND = "/sms.v1.SmsService/SendMessage"
STREAM = "/sms.v1.SmsService/SendMessageStream"


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return struct.pack(">HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, stream_id) + payload


def without(name: str) -> list[tuple[str, str]]:
    return [pair for pair in good_headers(SEND) if pair[0] != name]


def with_value(name: str, value: str) -> list[tuple[str, str]]:
    return [(key, value if key == name else old) for key, old in good_headers(SEND)]


async def send_one(client: RawClient) -> int:
    stream_id = client.open(SEND)
    client.data(stream_id, framed_request(), end=True)
    return (await client.end_of(stream_id)).grpc_status


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (without(":method"), 3),
        (without(":path"), 3),
        (without(":scheme"), 3),
        (without("te"), 3),
        (without("content-type"), 3),
        (with_value(":method", "GET"), 3),
        (with_value("content-type", "application/json"), 3),
        (with_value(":path", "/nope"), 12),
        ([*good_headers(SEND), ("grpc-timeout", "0S")], 4),
        ([*good_headers(SEND), ("grpc-timeout", "9" * 400 + "S")], 3),
        ([*good_headers(SEND), ("grpc-timeout", "soon")], 3),
        ([*good_headers(SEND), ("x-bin", "AAAAA")], 3),
        ([*good_headers(SEND), (b"x", b"caf\xc3\xa9")], 3),
        ([*good_headers(SEND), ("Upper", "x")], 3),
        ([*good_headers(SEND), ("connection", "close")], 3),
        ([*good_headers(SEND), (":late", "x")], 3),
        ([*good_headers(SEND), ("authorization", "Bearer good")], 16),
        ([*good_headers(SEND), ("app_id", "1")], 16),
        (without("authorization"), 16),
    ],
)
async def test_odd_headers_are_answered_at_once_and_siblings_live(
    raw: RawClient, gateway: FakeGateway, headers: list[Any], code: int
) -> None:
    gateway.respond = lambda message: None if message.task_id else answer_to(message)
    sibling = raw.open(STREAM)
    raw.data(sibling, framed_request(task_id=1))
    await gateway.submitted(1)
    odd = raw.open(headers=headers)
    if code == 16:
        raw.data(odd, framed_request())
    stream = await raw.end_of(odd)
    assert stream.grpc_status == code
    assert stream.trailers["grpc-message"]
    gateway.tickets[0].end()
    await raw.until(lambda: raw.streams[sibling].data)
    assert await send_one(raw) == 0
    assert len(gateway.tickets) == 2


async def test_plain_http_gets_plain_http_statuses(raw: RawClient) -> None:
    get = raw.open(headers=with_value(":method", "GET"), end=True)
    assert (await raw.end_of(get)).headers[0][":status"] == "405"
    json = raw.open(headers=with_value("content-type", "application/json"), end=True)
    assert (await raw.end_of(json)).headers[0][":status"] == "415"


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"", 3),
        (framed_request()[:-1], 3),
        (framed_request()[:3], 3),
        (framed_request() * 2, 3),
        (b"\1" + framed_request()[1:], 12),
        (b"\0\0\1\0\1", 8),
    ],
    ids=["no message", "cut message", "cut prefix", "two messages", "compressed", "64 KiB + 1"],
)
async def test_a_unary_call_without_exactly_one_good_message_is_refused(
    raw: RawClient, gateway: FakeGateway, octets: bytes, code: int
) -> None:
    for path in (SEND, "/sms.v1.SmsService/CheckESME"):
        stream_id = raw.open(path)
        raw.data(stream_id, octets, end=True)
        assert (await raw.end_of(stream_id)).grpc_status == code
    assert gateway.tickets == []


async def test_half_close_in_the_headers_is_no_message(raw: RawClient) -> None:
    stream_id = raw.open(SEND, end=True)
    stream = await raw.end_of(stream_id)
    assert (stream.grpc_status, stream.trailers["grpc-message"]) == (3, "no message")


async def test_an_oversized_message_is_refused_at_its_prefix(raw: RawClient, server: RpcServer) -> None:
    stream_id = raw.open(SEND)
    raw.data(stream_id, b"\0\x40\0\0\0")  # announces 1 GiB, sends nothing of it
    stream = await raw.end_of(stream_id)
    assert stream.grpc_status == 8
    for _ in range(10):  # and whatever still comes is dropped, and its window given back
        await raw.data_within(stream_id, b"x" * 16_000)
    assert await send_one(raw) == 0
    assert server.counters.connections_total == 1


async def test_empty_padded_and_dribbled_data_make_whole_messages(
    raw: RawClient, gateway: FakeGateway
) -> None:
    stream_id = raw.open(SEND)
    octets = framed_request(task_id=5)
    raw.data(stream_id, b"")
    for octet in octets[:20]:
        raw.data(stream_id, bytes([octet]))
        raw.data(stream_id, b"")
    raw.send(DataFrame(stream_id, octets[20:30], pad_length=200, flags=["PADDED"]))
    raw.data(stream_id, octets[30:])
    raw.data(stream_id, b"", end=True)
    assert (await raw.end_of(stream_id)).grpc_status == 0
    assert gateway.tickets[0].message.task_id == 5


async def test_padding_is_given_back(raw: RawClient) -> None:
    stream_id = raw.open(STREAM)
    for _ in range(4000):  # one octet of message, 256 of padding: a megabyte in all
        sent = await raw.window_for(stream_id, 257)
        raw.send(DataFrame(stream_id, b"\0", pad_length=255, flags=["PADDED"]))
        if sent > 900_000:
            break
    assert raw.window_updates[stream_id] > 600_000


async def test_unknown_frame_types_are_ignored(raw: RawClient, server: RpcServer) -> None:
    raw.write(frame(0x42, 0xFF, 0, b"anything") + frame(0x42, 0, 7, b""))
    assert await send_one(raw) == 0
    assert server.counters.unknown_frames_total == 2


async def test_request_trailers_end_the_request(raw: RawClient) -> None:
    stream_id = raw.open(SEND)
    raw.data(stream_id, framed_request())
    trailers = HeadersFrame(stream_id, raw._encoder.encode([("x", "y")]), flags=["END_HEADERS", "END_STREAM"])
    raw.send(trailers)
    assert (await raw.end_of(stream_id)).grpc_status == 0


async def test_the_stream_past_the_limit_is_refused_alone(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(max_streams_per_connection=5)
    gateway.respond = None
    client = await RawClient.connect(server.port)
    first = [client.open(SEND) for _ in range(5)]
    for stream_id in first:
        client.data(stream_id, framed_request(), end=True)
    tickets = await gateway.submitted(5)
    await client.until(lambda: client.settings)
    assert client.settings[3] == 5
    sixth = client.open(SEND)
    assert (await client.end_of(sixth)).reset == 7  # REFUSED_STREAM: safe to try again
    for ticket in tickets:
        ticket.end()
    for stream_id in first:
        assert (await client.end_of(stream_id)).grpc_status == 0
    gateway.respond = answer_to
    assert await send_one(client) == 0
    assert server.counters.streams_refused_total == 1


HEADERS_OPEN = frame(1, 0, 1, b"\x82")
"""A header block without END_HEADERS."""


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"\xff\xff\xff\x00\x00\x00\x00\x00\x01", 6),
        (frame(0, 0, 1, b"x"), 1),
        (HEADERS_OPEN + frame(0, 0, 1, b"x"), 1),
        (frame(9, 4, 1, b""), 1),
        (frame(1, 4, 1, b"\x80"), 9),
        (frame(1, 4, 2, b"\x82"), 1),
        (frame(8, 0, 0, b"\0\0\0\0"), 1),
        (frame(6, 0, 0, b"short"), 6),
    ],
    ids=["16 MiB header", "DATA on an idle stream", "DATA in a header block", "naked CONTINUATION",
         "bad HPACK", "even stream", "window of 0", "short PING"],
)  # fmt: skip
async def test_protocol_errors_close_with_a_reason(
    raw: RawClient, server: RpcServer, octets: bytes, error: int
) -> None:
    raw.write(octets)
    await raw.until(lambda: raw.closed)
    assert raw.goaway == error
    assert server.counters.protocol_errors_total == 1
    assert server.counters.internal_errors_total == 0
    assert server.counters.connections == 0


async def test_what_is_not_http2_is_closed(server: RpcServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(reader.read(), 10)
    assert reader.at_eof()
    writer.close()


async def test_headers_past_the_limit_close_with_a_reason(raw: RawClient) -> None:
    raw.open(SEND, more=[("x", "y" * 15_000), ("z", "y" * 1_200)])
    await raw.until(lambda: raw.closed)
    assert raw.goaway is not None


@pytest.mark.parametrize("streams", [1, 5], ids=["stream window", "connection window"])
async def test_more_than_the_window_is_a_flow_control_error(
    start: Any, gateway: FakeGateway, streams: int
) -> None:
    server: RpcServer = await start(stream_window=1, max_held_bytes=0)
    gateway.respond = None
    client = await RawClient.connect(server.port)
    message = framed_request(message="x" * 1000)
    opened = [client.open(STREAM) for _ in range(streams)]
    per_stream = 256 * 1024 // len(message) + (1 if streams == 1 else 0)
    for stream_id in opened:
        for _ in range(per_stream):
            client.data(stream_id, message)
    await client.until(lambda: client.closed)
    assert client.goaway == 3


async def test_held_bytes_past_the_bound_stop_the_connection_window(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(stream_window=1, max_held_bytes=100_000)
    gateway.respond = None
    client = await RawClient.connect(server.port)
    first, second = client.open(STREAM), client.open(STREAM)
    message = framed_request(message="x" * 1000)
    for stream_id in (first, second):
        for _ in range(256 * 1024 // len(message)):
            await client.data_within(stream_id, message)
    await client.ping()
    granted_at_start = 1024 * 1024 - 65_535
    assert client.window_updates[0] == granted_at_start  # over 512 KiB came, none was given back
    gateway.respond = answer_to
    for ticket in list(gateway.tickets):
        ticket.end()
    await client.until(lambda: client.window_updates[0] > granted_at_start)


@pytest.mark.parametrize("length", ["1", "99999", "many", "-1"])
async def test_a_content_length_means_nothing_here(raw: RawClient, length: str) -> None:
    stream_id = raw.open(SEND, more=[("content-length", length)])
    raw.data(stream_id, framed_request(), end=True)
    assert (await raw.end_of(stream_id)).grpc_status == 0


async def test_an_answer_larger_than_the_window_comes_in_pieces(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start()
    gateway.respond = lambda message: answer_to(message, Status.REJECTED, error="e" * 500)
    client = await RawClient.connect(server.port, {4: 100})
    stream_id = client.open(SEND)
    client.data(stream_id, framed_request(), end=True)
    await client.until(lambda: len(client.streams[stream_id].data) == 100)
    client.send(SettingsFrame(0, settings={4: 200}))
    await client.until(lambda: len(client.streams[stream_id].data) == 200)
    client.send(WindowUpdateFrame(stream_id, window_increment=10_000))
    stream = await client.end_of(stream_id)
    assert responses_in(bytes(stream.data))[0].error == "e" * 500


async def test_a_client_that_leaves_its_socket_full_is_waited_for(start: Any, gateway: FakeGateway) -> None:
    server: RpcServer = await start(stream_window=100)
    gateway.respond = lambda message: answer_to(message, Status.REJECTED, error="e" * 200_000)
    client = await RawClient.connect(server.port, {4: 2**30})
    client.grow(2**30)
    await client.ping()
    client._writer.transport.pause_reading()
    stream_id = client.open(STREAM)
    for number in range(300):
        client.data(stream_id, framed_request(task_id=number))
    await gateway.submitted(100)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(gateway.tickets) < 300
    client._writer.transport.resume_reading()
    client.data(stream_id, b"", end=True)
    stream = await client.end_of(stream_id)
    assert len(responses_in(bytes(stream.data))) == 300


async def test_connections_past_the_bounds_are_closed(start: Any) -> None:
    server: RpcServer = await start(max_connections=2)
    crowded: RpcServer = await start(max_connections_per_address=2)
    for each in (server, crowded):
        first, second = [await RawClient.connect(each.port) for _ in range(2)]
        await first.ping()
        await second.ping()
        third = await RawClient.connect(each.port)
        await third.until(lambda third=third: third.closed)
        assert each.counters.connections_refused_total == 1
        await first.aclose()
        async with asyncio.timeout(10):
            while each.counters.connections == 2:
                await second.ping()
        fourth = await RawClient.connect(each.port)
        assert await send_one(fourth) == 0
        for client in (second, third, fourth):
            await client.aclose()


async def test_a_taken_port_is_the_callers_error(start: Any, server: RpcServer) -> None:
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        await start(f"127.0.0.1:{server.port}")


async def test_a_unix_socket_serves_and_leaves_no_file(start: Any, api: Any, tmp_path: Path) -> None:
    path = tmp_path / "sms.sock"
    server: RpcServer = await start(f"unix:{path}", max_connections_per_address=1)
    assert server.port == 0
    for _ in range(2):
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            stub = api.stubs.SmsServiceStub(channel)
            assert (await stub.SendMessage(api.request(), metadata=METADATA, timeout=10)).success
    with pytest.raises(OSError, match="another process listens"):
        await start(f"unix:{path}")
    await server.close()
    assert not path.exists()


async def test_the_servers_repr_is_its_dashboard(raw: RawClient, server: RpcServer) -> None:
    await raw.ping()
    assert repr(server) == "<RpcServer <GuardedServer open connections=1/512>>"
