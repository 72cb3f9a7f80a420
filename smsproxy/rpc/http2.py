"""The HTTP/2 side of the guarded server: frames in, events out, one object per connection.

h2 decides everything but one thing. DATA without padding or flags, on an open stream, is nine bytes of header
and the payload; h2 and grpclib spend 15 µs on it, and a campaign is made of nothing else. Such frames go
straight to the stream's message buffer, with h2's windows kept true. All others pass through h2 one by one,
so a frame that announces too much is refused at its header.
"""

from __future__ import annotations

import asyncio
import socket
from struct import Struct
from typing import TYPE_CHECKING, cast

import structlog
from grpclib import protocol
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.stream import StreamState

from smsproxy.rpc.events import GuardedEvents
from smsproxy.rpc.farewell import Farewell
from smsproxy.rpc.flow import GuardedConnection, GuardedH2
from smsproxy.rpc.status import internal_error

if TYPE_CHECKING:
    from smsproxy.rpc.guard import GuardedHandler, GuardedServer

log = structlog.get_logger("smsproxy.rpc")

PREFACE_BYTES = 24
HEADER_BYTES = 9
_header = Struct(">HBBBI").unpack_from
_DATA, _HEADERS, _CONTINUATION = 0x0, 0x1, 0x9
_END_HEADERS = 0x4
_STREAM_ID = 0x7FFFFFFF

GOAWAY_S = 0.25
"""How long a connection that we end stays open, unheard, so that the peer reads why."""


class GuardedProtocol(protocol.H2Protocol):
    """One connection from accept to close. `server` admits it, counts it and drains it."""

    connection: GuardedConnection
    processor: GuardedEvents
    handler: GuardedHandler

    def __init__(self, server: GuardedServer, handler: GuardedHandler) -> None:
        super().__init__(handler, server.grpclib_config, server.h2_config)
        self.server = server
        self.closed = True
        self.address = ""
        self._preface_left = PREFACE_BYTES
        self._tail = b""
        self._in_headers = False
        self._farewell: Farewell | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else ""
        if not self.server.admit(self):
            self._transport.abort()
            return
        self._open(self._transport)

    def _open(self, transport: asyncio.Transport) -> None:
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False
        options, counters = self.server.options, self.server.counters
        h2 = GuardedH2(self.h2_config, options)
        h2.initiate_connection()
        h2.increment_flow_control_window(options.connection_window_bytes - h2.inbound_flow_control_window)
        self.connection = GuardedConnection(
            h2, transport, config=self.config, options=options, counters=counters
        )
        self.processor = GuardedEvents(
            self.handler,
            self.connection,
            idle=self._check_farewell,
            ponged=self._ponged,
            gone=lambda: self._close("caller said GOAWAY"),
        )
        self.connection.flush()
        self.connection.initialize()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        try:
            self._tail = self._split(self._tail + data if self._tail else data)
        except ProtocolError as error:
            self.server.counters.protocol_errors_total += 1
            log.debug("rpc_protocol_error", error=str(error))
            self._end(error.error_code)
        except Exception as error:  # the peer's bytes must never reach the event loop's handler
            internal_error(error)
            self.server.counters.internal_errors_total += 1
            self._end(ErrorCodes.INTERNAL_ERROR)
        if not self.closed:
            self.connection.flush()

    def _split(self, data: bytes) -> bytes:
        """Handle all whole frames of `data`; give back the rest. Raises h2's ProtocolError."""
        at, end = 0, len(data)
        if self._preface_left:
            at = min(self._preface_left, end)
            self._preface_left -= at
            self._through_h2(data[:at])
        limit = self.connection.h2.max_inbound_frame_size
        plain = 0
        while end - at >= HEADER_BYTES and not self.closed:
            high, low, kind, flags, stream_id = _header(data, at)
            stop = at + HEADER_BYTES + (high << 8 | low)
            if stop - at > limit + HEADER_BYTES:
                raise FrameTooLargeError(f"frame of {stop - at - HEADER_BYTES} bytes")
            if stop > end:
                break
            if kind == _DATA and not flags and self._plain_data(stream_id, data[at + HEADER_BYTES : stop]):
                plain += stop - at - HEADER_BYTES
            else:
                plain = self._count_plain(plain)
                self._through_h2(data[at:stop])
                self._follow_headers(kind, flags)
            at = stop
        self._count_plain(plain)
        return data[at:]

    def _plain_data(self, stream_id: int, payload: bytes) -> bool:
        """Hand the payload of a plain DATA frame to its stream; False when h2 must see the frame."""
        stream_id &= _STREAM_ID
        stream = self.processor.streams.get(stream_id)
        state = self.connection.h2.streams.get(stream_id)
        if (
            stream is None
            or state is None
            or self._in_headers
            or state.state_machine.state is not StreamState.OPEN
            or state._expected_content_length is not None
        ):
            return False
        state._inbound_window_manager.window_consumed(len(payload))
        stream.buffer.add(payload)
        return True

    def _count_plain(self, size: int) -> int:
        """Charge plain DATA to the connection's window, once for a run of frames."""
        if size:
            self.connection.h2._inbound_flow_control_window_manager.window_consumed(size)
            self.connection.received(size)
        return 0

    def _follow_headers(self, kind: int, flags: int) -> None:
        """While a header block is open, h2 must see every frame (RFC 9113 §6.10)."""
        if kind in (_HEADERS, _CONTINUATION):
            self._in_headers = not flags & _END_HEADERS

    def _through_h2(self, frame: bytes) -> None:
        for event in self.connection.feed(frame):
            if self.closed:
                return
            self.processor.process(event)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.processor.writable()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.server.left(self):
            self._close("connection lost")

    def drain(self) -> None:
        """No new streams; goodbye when the last one is over (`farewell`)."""
        self._farewell = Farewell(self.connection, lambda: not self.processor.streams, self._goodbye)
        self.handler.drain()
        self._farewell.begin()

    def cut(self) -> None:
        """Close now. What the peer does not read at once it never gets."""
        self._goodbye()
        self._close("connection cut")

    def _check_farewell(self) -> None:
        if self._farewell is not None and not self.closed:
            self._farewell.check()

    def _ponged(self) -> None:
        if self._farewell is not None and not self.closed:
            self._farewell.ponged()

    def _goodbye(self) -> None:
        self._end(ErrorCodes.NO_ERROR)

    def _end(self, error: ErrorCodes) -> None:
        """Send GOAWAY, end all calls, and close when the peer had time to read it.

        A socket closed over unread octets is reset by the kernel, and the reset overtakes the GOAWAY.
        """
        if self.closed:
            return
        self.closed = True
        self._tail = b""
        if self.connection.h2.state_machine.state is not ConnectionState.CLOSED:  # else h2 said it
            self.connection.h2.close_connection(error)
        self.connection.flush()
        self.connection.ended = True
        self.handler.close()
        self._closing = asyncio.get_running_loop().call_later(GOAWAY_S, self._close, "connection ended")

    def _close(self, reason: str) -> None:
        self.closed = True
        for timer in (self._farewell, self._closing):
            if timer is not None:
                timer.cancel()
        self.processor.close(reason)
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()  # a peer that does not read would keep the socket for ever
