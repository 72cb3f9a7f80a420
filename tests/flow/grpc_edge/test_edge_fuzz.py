"""Any frames, in any order, in any cut: handled or refused, never an error of ours."""

from __future__ import annotations

import asyncio
import struct

import pytest
from grpc_edge_kit import FakeGateway, RawClient, framed_request, good_headers
from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from smsproxy.rpc import http2
from smsproxy.rpc.frames import Frames
from smsproxy.rpc.server import RpcServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
STREAM = "/sms.v1.SmsService/SendMessageStream"


class FakeTransport(asyncio.Transport):
    """Takes writes, remembers whether it was closed, and keeps what comes while reading is paused."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = bytearray()
        self.closing = False
        self.protocol = protocol
        self._paused = False
        self._unread = b""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        asyncio.get_running_loop().call_soon(self.arrive, b"")

    def arrive(self, octets: bytes) -> None:
        """The peer sent this."""
        self._unread += octets
        if self._unread and not self._paused:
            octets, self._unread = self._unread, b""
            self.protocol.data_received(octets)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return struct.pack(">HBBBI", 0, len(payload), kind, flags, stream_id) + payload


def request(stream_id: int) -> bytes:
    """HEADERS that open a stream; plain literals, so that any subset of them decodes."""
    block = b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in good_headers(STREAM)
    )
    return struct.pack(">HBBBI", 0, len(block), 1, 4, stream_id) + block


stream_ids = st.sampled_from([0, 1, 3, 5, 7, 2])
payloads = st.one_of(
    st.binary(max_size=40),
    st.just(framed_request()),
    st.just(framed_request()[:7]),
    st.just(framed_request()[7:]),
    st.just(b"\0\0\0\0"),
    st.just(b"\0\0\0\x08"),
)
frames = st.one_of(
    st.builds(
        frame, st.integers(0, 12), st.sampled_from([0, 0, 1, 4, 5, 8, 0x20, 0xFF]), stream_ids, payloads
    ),
    st.builds(frame, st.just(0), st.sampled_from([0, 0, 0, 1]), stream_ids, payloads),
    stream_ids.map(request),
)


async def feed(octets: bytes, cuts: list[int]) -> FakeTransport:
    gateway = FakeGateway()
    server = RpcServer(gateway)
    loop = asyncio.get_running_loop()
    seen: list[object] = []
    loop.set_exception_handler(lambda _, context: seen.append(context))
    transport = FakeTransport(server._server._protocol_factory())
    transport.protocol.connection_made(transport)
    with capture_logs() as logs:
        for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            transport.arrive(octets[start:stop])
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert server.counters.internal_errors_total == 0
    transport.protocol.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    assert seen == []
    assert server.counters.connections == 0
    if isinstance(transport.protocol, http2.GuardedProtocol):  # it said anything at all
        assert transport.protocol.connection.held == 0
    return transport


@settings(max_examples=300, deadline=None)
@given(st.lists(frames, max_size=25), st.data())
def test_any_frames_are_handled_or_refused(sequence: list[bytes], data: st.DataObject) -> None:
    octets = PREFACE + b"".join(sequence)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    asyncio.run(feed(octets, cuts))


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_octets_are_refused(octets: bytes) -> None:
    asyncio.run(feed(octets, []))


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_good_stream_is_answered_however_its_octets_are_cut(data: st.DataObject) -> None:
    octets = PREFACE + request(1) + b"".join(frame(0, 0, 1, framed_request(task_id=n)) for n in range(5))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
    transport = asyncio.run(feed(octets, cuts))
    assert transport.written.count(b"submitted") == 5
    assert not transport.written.count(b"GOAWAY")


async def test_an_error_of_ours_ends_one_connection_with_a_reason(
    raw: RawClient, server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await raw.ping()

    def broken(*_: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(Frames, "_through_h2", broken)
    raw.open()
    await raw.until(lambda: raw.closed)
    assert raw.goaway == 2  # INTERNAL_ERROR
    assert server.counters.internal_errors_total == 1


def test_the_requests_of_this_file_are_what_hpack_would_send() -> None:
    from hpack import Decoder

    assert [(str(n), str(v)) for n, v in Decoder().decode(request(1)[9:])] == good_headers(STREAM)
    assert Encoder().encode(good_headers(STREAM)) != request(1)[9:]  # the same, without Huffman or table
