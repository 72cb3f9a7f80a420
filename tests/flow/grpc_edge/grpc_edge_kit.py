"""What the tests of the gRPC edge share: a scripted core and a raw HTTP/2 client.

The core (`FakeGateway`) implements `pipeline.ports.Gateway` in a few lines, and answers at once, on demand or
never. The raw client knows hyperframe and hpack only, so it can say what no gRPC library would.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.domain.record import MessageRecord
from smsproxy.pipeline.ports import Lane, TextMeasure
from smsproxy.rpc.descriptors import SmsRequest, SmsResponse
from tests.flow.ends import reason_in

TOKEN = "Bearer good"
METADATA = (("authorization", TOKEN), ("app_id", "1"))
BOUND_S = 10.0
"""The longest any test waits for an event."""


@dataclass
class FakeTicket:
    """One message in the fake core. `begun` makes it too late to withdraw."""

    message: Message
    lane: Lane
    deadline: float | None
    tag: int
    reply: Callable[[int, Answer], None]
    begun: bool = False
    cancelled: bool = False
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by `cancel`."""

    def cancel(self) -> bool:
        self.cancelled = True
        self.left.set()
        return not self.begun

    def end(self, status: Status = Status.SUBMITTED, **more: object) -> None:
        self.reply(self.tag, answer_to(self.message, status, **more))


def answer_to(message: Message, status: Status = Status.SUBMITTED, **more: object) -> Answer:
    return Answer(
        status,
        transaction_id=message.transaction_id,
        route_id=message.route_id,
        task_id=message.task_id,
        **more,
    )


@dataclass
class FakeGateway:
    """A core whose answers a test scripts. `respond` None keeps every message open for the test to end."""

    respond: Callable[[Message], Answer | None] | None = answer_to
    scopes: frozenset[str] = frozenset({"send", "read"})
    ready: bool = True
    bound: dict[int, bool] = field(default_factory=lambda: {100: True, 101: False})
    records: dict[str, MessageRecord] = field(default_factory=dict)
    tickets: list[FakeTicket] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    """Where the calls came from."""
    submit_error: Exception | None = None
    stream_room: int = 1_000_000
    most_open: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def authenticate(self, authorization: str | None, app_id: str | None, address: str) -> Caller:
        self.addresses.append(address)
        return self.authenticate_again(authorization, app_id)

    def authenticate_again(self, authorization: str | None, app_id: str | None) -> Caller:
        if authorization != TOKEN or app_id != "1":
            raise UnauthenticatedError
        return Caller(1, 2e9, self.scopes)

    def submit(
        self,
        message: Message,
        caller: Caller,
        lane: Lane,
        reply: Callable[[int, Answer], None],
        tag: int = 0,
        deadline: float | None = None,
    ) -> FakeTicket:
        if self.submit_error is not None:
            raise self.submit_error
        ticket = FakeTicket(message, lane, deadline, tag, reply)
        self.tickets.append(ticket)
        self._changed.set()
        answer = self.respond(message) if self.respond is not None else None
        if answer is not None:
            reply(tag, answer)
        return ticket

    def link_status(self, caller: Caller, route_id: int) -> tuple[bool, str]:
        if route_id == 403:
            raise ForbiddenError("esme 403 is not allowed to the app")
        if route_id not in self.bound:
            raise NotFoundError(f"no link or pool {route_id}")
        return self.bound[route_id], "SMSC1"

    def measure(self, caller: Caller, route_id: int, text: str) -> TextMeasure:
        if route_id not in (0, 100):
            raise NotFoundError(f"no link or pool {route_id}")
        return TextMeasure("GSM7", len(text), 1, len(text), "too long" if len(text) > 10 else "")

    async def message_info(self, caller: Caller, route_id: int, message_id: str) -> MessageRecord | None:
        return self.records.get(message_id)

    def link_bound(self, link_id: int) -> bool | None:
        return self.bound.get(link_id)

    async def submitted(self, count: int) -> list[FakeTicket]:
        """Wait until `count` messages came in all."""
        async with asyncio.timeout(BOUND_S):
            while len(self.tickets) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.tickets


def request_bytes(**fields: object) -> bytes:
    """An encoded SmsRequest that passes every check."""
    full: dict[str, object] = {
        "app_id": 1,
        "esme": 100,
        "saddr": "BRAND",
        "daddr": "998901234567",
        "message": "hi",
    }
    return SmsRequest(**(full | fields)).SerializeToString()


def framed_request(**fields: object) -> bytes:
    packed = request_bytes(**fields)
    return struct.pack(">BI", 0, len(packed)) + packed


def messages_in(data: bytes) -> list[bytes]:
    """The gRPC messages in joined DATA."""
    messages, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 1 : at + 5], "big")
        messages.append(data[at + 5 : at + 5 + size])
        at += 5 + size
    return messages


def responses_in(data: bytes) -> list[Any]:
    return [SmsResponse.FromString(message) for message in messages_in(data)]


async def dial(
    port: int, *, tls: ssl.SSLContext | None = None, before: bytes = b"", address: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the server, as "localhost"; from `address`, one of 127.0.0.0/8."""
    loop = asyncio.get_running_loop()
    opened = socket.socket(proto=socket.IPPROTO_TCP)  # by this asyncio knows to send small writes at once
    opened.setblocking(False)
    if address:
        opened.bind((address, 0))
    await loop.sock_connect(opened, ("127.0.0.1", port))
    await loop.sock_sendall(opened, before)
    return await asyncio.open_connection(
        sock=opened, ssl=tls, server_hostname="localhost" if tls is not None else None
    )


@dataclass
class RawStream:
    """What came back on one stream."""

    headers: list[dict[str, str]] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    frames: list[int] = field(default_factory=list)
    """Payload sizes of the DATA frames."""
    ended: bool = False
    reset: int | None = None

    @property
    def trailers(self) -> dict[str, str]:
        return self.headers[-1] if self.headers else {}

    @property
    def grpc_status(self) -> int:
        return int(self.trailers["grpc-status"])

    @property
    def reason(self) -> str:
        """Of the ErrorInfo beside an error."""
        packed = self.trailers["grpc-status-details-bin"]
        return reason_in(base64.b64decode(packed + "=" * (-len(packed) % 4)))


class RawClient:
    """An HTTP/2 client made of frames. It sends nothing it is not told to, but acks."""

    opened: ClassVar[list[RawClient]] = []
    """All of the running test; its fixture closes them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened.append(self)
        self._reader = reader
        self._writer = writer
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._next_id = 1
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read())
        self.streams: dict[int, RawStream] = {}
        self.goaway: int | None = None
        self.goaway_data = b""
        self.closed = False
        self.bound_s = BOUND_S
        self.ack_settings = True
        self.ack_pings = True
        self.settings: dict[int, int] = {}
        self.window_updates: dict[int, int] = {}
        self._sent: dict[int, int] = {}

    @classmethod
    async def connect(
        cls,
        port: int,
        settings: dict[int, int] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        before: bytes = b"",
        address: str = "",
    ) -> RawClient:
        """`before` goes in the clear before TLS: a balancer's header. `address`: where it comes from."""
        client = cls(*await dial(port, tls=tls, before=before, address=address))
        client._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        client.send(SettingsFrame(0, settings=settings or {}))
        return client

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def send(self, frame: Frame) -> None:
        self._writer.write(frame.serialize())

    def write(self, octets: bytes) -> None:
        self._writer.write(octets)

    def open(
        self,
        path: str = "/sms.v1.SmsService/SendMessage",
        *,
        headers: list[tuple[str, str]] | None = None,
        more: list[tuple[str | bytes, str | bytes]] | None = None,
        end: bool = False,
    ) -> int:
        """Send HEADERS. `headers` replaces the well-formed ones, `more` follows them."""
        stream_id, self._next_id = self._next_id, self._next_id + 2
        if headers is None:
            headers = good_headers(path)
        frame = HeadersFrame(stream_id, self._encoder.encode([*headers, *(more or [])]))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        self.streams[stream_id] = RawStream()
        self.send(frame)
        return stream_id

    def data(self, stream_id: int, payload: bytes, *, end: bool = False) -> None:
        frame = DataFrame(stream_id, payload)
        if end:
            frame.flags.add("END_STREAM")
        self.send(frame)

    async def data_within(self, stream_id: int, payload: bytes) -> None:
        """Send DATA once the windows of the stream and the connection allow it."""
        await self.window_for(stream_id, len(payload))
        self.data(stream_id, payload)

    async def window_for(self, stream_id: int, size: int) -> int:
        """Wait until the windows allow `size` more octets; all that were ever asked for on this stream."""
        self._sent[0] = self._sent.get(0, 0) + size
        self._sent[stream_id] = self._sent.get(stream_id, 0) + size

        def allowed() -> bool:
            stream_window = self.settings.get(4, 65_535) + self.window_updates.get(stream_id, 0)
            window = 65_535 + self.window_updates.get(0, 0)
            return self._sent[0] <= window and self._sent[stream_id] <= stream_window

        if not allowed():
            await self.until(allowed)
        return self._sent[stream_id]

    def reset(self, stream_id: int) -> None:
        self.send(RstStreamFrame(stream_id, error_code=8))

    def grow(self, size: int, *stream_ids: int) -> None:
        """Open the receive windows of the connection and of streams."""
        for stream_id in (0, *stream_ids):
            self.send(WindowUpdateFrame(stream_id, window_increment=size))

    async def end_of(self, stream_id: int) -> RawStream:
        """Wait until the stream ended or was reset."""
        stream = self.streams[stream_id]
        await self.until(lambda: stream.ended or stream.reset is not None or self.closed)
        return stream

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until `true` after a frame came."""
        async with asyncio.timeout(self.bound_s):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def ping(self) -> None:
        """A round trip: everything sent before was handled, as far as one loop turn of the server goes."""
        self._pong = False
        self.send(PingFrame(0, opaque_data=b"12345678"))
        await self.until(lambda: self._pong or self.closed)

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                frame, length = Frame.parse_frame_header(memoryview(head))
                frame.parse_body(memoryview(await self._reader.readexactly(length)))
                self._handle(frame)
                self._changed.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
            self._changed.set()

    def _handle(self, frame: Frame) -> None:
        stream = self.streams.get(frame.stream_id)
        match frame:
            case SettingsFrame() if "ACK" not in frame.flags:
                self.settings.update(frame.settings)
                if self.ack_settings:
                    self.send(SettingsFrame(0, flags=["ACK"]))
            case PingFrame() if "ACK" in frame.flags:
                self._pong = True
            case PingFrame() if self.ack_pings:
                self.send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))
            case GoAwayFrame():
                self.goaway, self.goaway_data = frame.error_code, frame.additional_data
            case WindowUpdateFrame():
                seen = self.window_updates.get(frame.stream_id, 0)
                self.window_updates[frame.stream_id] = seen + frame.window_increment
            case RstStreamFrame() if stream is not None:
                stream.reset = frame.error_code
            case HeadersFrame() if stream is not None:
                stream.headers.append(dict(self._decoder.decode(frame.data)))
            case DataFrame() if stream is not None:
                stream.data += frame.data
                stream.frames.append(len(frame.data))
        if stream is not None and "END_STREAM" in frame.flags:
            stream.ended = True


def good_headers(path: str = "/sms.v1.SmsService/SendMessage") -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "test"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *METADATA,
    ]
