"""The HTTP/2 side of the guarded server: frames in, events out, one object per connection.

h2 decides all but one thing. DATA without padding, on an open stream, is nine bytes of header and the
payload; h2 and grpclib spend 15 µs on it, and a campaign is made of nothing else. Such frames go straight to
the stream's message buffer, with h2's windows and its stream's state kept true (END_STREAM). All others pass
the fence and then h2, one by one, so a frame that announces too much is refused at its header; and after
SLICE_FRAMES of those, or SLICE_DATA of DATA, the rest of a read waits its turn (`turns`), unread octets in
the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from struct import Struct
from typing import TYPE_CHECKING

import structlog
from grpclib import protocol
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.stream import StreamInputs, StreamState

from smsproxy.rpc.budgets import FloodError
from smsproxy.rpc.events import GuardedEvents
from smsproxy.rpc.farewell import Farewell
from smsproxy.rpc.fence import CONTINUATION, DATA, END_STREAM, HEADER_BYTES, HEADERS, Fence
from smsproxy.rpc.flow import GuardedConnection, GuardedH2
from smsproxy.rpc.run import NONE, PlainRun
from smsproxy.rpc.status import internal_error
from smsproxy.rpc.watch import ConnectionWatch, Verdict

if TYPE_CHECKING:
    from smsproxy.rpc.guard import GuardedHandler, GuardedServer

log = structlog.get_logger("smsproxy.rpc")

PREFACE_BYTES = 24
_header = Struct(">HBBBI").unpack_from
_STREAM_ID = 0x7FFFFFFF
_REQUEST_ENDED = StreamInputs.RECV_END_STREAM

SLICE_FRAMES = 32
"""Frames other than DATA of open streams handled at once: sixteen unary calls, a millisecond or two. Busy
callers bring less."""
SLICE_DATA = 2048
"""Plain DATA frames handled at once, some two milliseconds: as many as a full read of usual messages has, and
a twelfth of what a read can hold of frames of one octet."""

GOAWAY_S = 0.25
"""How long a connection that we end stays open, unheard, so that the peer reads why."""


class GuardedProtocol(protocol.H2Protocol):
    """One connection from its first octets to close. `server` counts it and drains it."""

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
        self._run = PlainRun()
        self._reads = 0
        self._half_frame = 0
        self._slice_over = False
        self._waits = False
        """Whole frames in the tail wait for their turn; nothing is read."""
        self._farewell: Farewell | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def come_in(
        self,
        transport: asyncio.Transport,
        address: str,
        *,
        certified: bool = False,
        born: float | None = None,
    ) -> None:
        """From the doorstep or through the gate, with a place already; waited for since `born`."""
        self._transport = transport
        self.address = address
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.closed = False
        options, counters = self.server.options, self.server.counters
        h2 = GuardedH2(self.h2_config, options)
        h2.initiate_connection()
        h2.increment_flow_control_window(options.connection_window_bytes - h2.inbound_flow_control_window)
        self.connection = GuardedConnection(
            h2, transport, config=self.config, options=options, counters=counters, address=self.address
        )
        self.connection.certified = certified
        self.processor = GuardedEvents(
            self.handler,
            self.connection,
            idle=self._check_farewell,
            ponged=self._ponged,
            gone=lambda: self._close("caller said GOAWAY"),
        )
        self.fence = Fence(options, self.processor.streams, self._reset, lambda: self.connection.data_frames)
        now = asyncio.get_running_loop().time() if born is None else born
        self.watch = ConnectionWatch(options, now, random.random())  # noqa: S311 - spreads, hides nothing
        self.connection.flush()
        self.connection.initialize()

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        self._reads += 1
        if self._waits:  # of a read that was under way when reading was paused
            self._tail += data
            return
        self._handle(self._tail + data if self._tail else data, new=not self._tail)
        if self._slice_over and self._tail:
            self._wait_turn()

    def _handle(self, data: bytes, *, new: bool) -> None:
        """A slice of the frames of `data`; `new`: it begins with no half frame of an earlier read."""
        try:
            self._tail = self._split(data)
            if self._tail and (new or len(self._tail) < len(data)):
                self._half_frame += 1
        except FloodError as error:
            self.server.flooded(self, error.flood)
            self._end(error.error_code, error.debug_data)
            self._stop_listening()
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

    # -- turns -----------------------------------------------------------------------------------------------

    def _wait_turn(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing() and self.server.turns.ask(self):
            self._waits = True
            transport.pause_reading()
            return
        while self._slice_over and self._tail:
            self._handle(self._tail, new=True)

    @property
    def octets(self) -> int:
        """See turns.Waiter."""
        return len(self._tail)

    @property
    def suspect(self) -> bool:
        """See turns.Waiter."""
        return self.fence.suspect

    def take_turn(self) -> bool:
        """See turns.Waiter."""
        if not self._waits or self.closed:
            return False
        self._handle(self._tail, new=True)
        if self._slice_over and self._tail:
            return True
        self._go_on_reading()
        return False

    def _go_on_reading(self) -> None:
        if self._waits:
            self._waits = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    # -- frames ----------------------------------------------------------------------------------------------

    def _split(self, data: bytes) -> bytes:
        """Handle whole frames of `data`, at most a slice; give back the rest. Raises h2's ProtocolError."""
        self._slice_over, left, plain = False, SLICE_FRAMES, SLICE_DATA
        at, end = 0, len(data)
        if self._preface_left:
            at = min(self._preface_left, end)
            self._preface_left -= at
            self._through_h2(data[:at])
        limit = self.connection.h2.max_inbound_frame_size
        run = self._run
        while end - at >= HEADER_BYTES and left and plain and not self.closed:
            high, low, kind, flags, stream_id = _header(data, at)
            stop = at + HEADER_BYTES + (high << 8 | low)
            if stop - at > limit + HEADER_BYTES:
                raise FrameTooLargeError(f"frame of {stop - at - HEADER_BYTES} bytes")
            if stop > end:
                break
            stream_id &= _STREAM_ID
            if (
                kind == DATA
                and flags <= END_STREAM
                and (stream_id == run.stream_id or self._begin_run(stream_id))
            ):
                plain -= 1
                start = at + HEADER_BYTES
                if start == stop and not flags:
                    self.fence.empty_data()
                run.octets += stop - start
                run.add_frame(data, start, stop)
                if flags:
                    self._end_request(stream_id)
                    left -= 1
            else:
                self._end_run()
                self._other_frame(kind, flags, stream_id, data[at:stop])
                left -= 1
            at = stop
        self._end_run()
        self._slice_over = not (left and plain) and not self.closed
        return data[at:]

    def _other_frame(self, kind: int, flags: int, stream_id: int, frame: bytes) -> None:
        frame = self.fence.screen(kind, flags, stream_id, frame)
        if frame:
            self._through_h2(frame)
            if kind in (HEADERS, CONTINUATION):
                self.fence.fed(flags)

    def _begin_run(self, stream_id: int) -> bool:
        """Plain DATA of another stream than the frame before; False when h2 must see it."""
        self._end_run()
        stream = self.processor.streams.get(stream_id)
        state = self.connection.h2.streams.get(stream_id)
        if (
            stream is None
            or state is None
            or self.fence.in_headers
            or state.state_machine.state is not StreamState.OPEN
        ):
            return False
        self._run.begin(stream_id, stream.buffer, state._inbound_window_manager.window_consumed)
        return True

    def _end_run(self) -> None:
        """Charge plain DATA to the windows, once for a run of frames. Raises h2's FlowControlError."""
        if self._run.stream_id != NONE:
            octets = self._run.end()
            self.connection.h2._inbound_flow_control_window_manager.window_consumed(octets)
            self.connection.received(octets)
            crumbs = self._run.take_crumbs()
            if crumbs:
                self.fence.crumbs(crumbs)

    def _end_request(self, stream_id: int) -> None:
        """The run's last frame ended its stream's request."""
        self._end_run()
        for event in self.connection.h2.streams[stream_id].state_machine.process_input(_REQUEST_ENDED):
            self.processor.process(event)

    def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End one stream for a fault of its peer; nobody else notices."""
        self.server.counters.stream_faults_total += 1
        with contextlib.suppress(ProtocolError):  # closed, or never open
            self.connection.h2.reset_stream(stream_id, code)
        self.processor.terminate(stream_id)

    def _through_h2(self, frame: bytes) -> None:
        for event in self.connection.feed(frame):
            if self.closed:
                return
            self.processor.process(event)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.processor.writable()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None
        if self.server.left(self):
            self._close("connection lost")

    @property
    def _half_frame_number(self) -> int:
        """0, or what stays the same while the same frame or header block is half here."""
        if self.fence.in_headers:
            return -self.fence.blocks
        return self._half_frame if self._tail else 0

    def verdict(self, now: float) -> Verdict:
        """Whether the connection tries our patience."""
        return self.watch.look(
            now,
            reads=self._reads,
            frame=0 if self._waits else self._half_frame_number,
            begun=self.processor.begun,
            opened=self.connection.streams_started,
            open_calls=len(self.processor.streams),
            long_calls=any(call.long for call in self.handler.calls),
        )

    def drain(self) -> None:
        """No new streams; goodbye when the last one is over (`farewell`)."""
        self.handler.drain()
        self.say_farewell()

    def say_farewell(self) -> bool:
        """Take no new streams, say goodbye when the last one is over. False when it is ending already."""
        if self.closed or self._farewell is not None:
            return False
        self._farewell = Farewell(self.connection, lambda: not self.processor.streams, self.goodbye)
        self._farewell.begin()
        return True

    def cut(self) -> None:
        """Close now. What the peer does not read at once it never gets."""
        self.goodbye()
        self._close("connection cut")

    def _check_farewell(self) -> None:
        if self._farewell is not None and not self.closed:
            self._farewell.check()

    def _ponged(self) -> None:
        if self._farewell is not None and not self.closed:
            self._farewell.ponged()

    def goodbye(self) -> None:
        """GOAWAY and close, now."""
        self._end(ErrorCodes.NO_ERROR)

    def _end(self, error: ErrorCodes, debug_data: bytes | None = None) -> None:
        """Send GOAWAY, end all calls, and close when the peer had time to read it.

        A socket closed over unread octets is reset by the kernel, and the reset overtakes the GOAWAY.
        """
        if self.closed:
            return
        self.closed = True
        self._tail = b""
        if self.connection.h2.state_machine.state is not ConnectionState.CLOSED:  # else h2 said it
            self.connection.h2.close_connection(error, additional_data=debug_data)
        self.connection.flush()
        self.connection.ended = True
        self.handler.close()
        self._go_on_reading()
        self._closing = asyncio.get_running_loop().call_later(GOAWAY_S, self._close, "connection ended")

    def _stop_listening(self) -> None:
        """Not one read more of a flood: it stays in the kernel, and the flooder's socket fills."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _close(self, reason: str) -> None:
        self.closed = True
        for timer in (self._farewell, self._closing):
            if timer is not None:
                timer.cancel()
        transport, self._transport = self._transport, None
        # Asked before it is closed: TLS cannot tell afterwards.
        unread = 0 if transport is None else transport.get_write_buffer_size()
        self.processor.close(reason)
        if transport is not None and unread:
            transport.abort()  # a peer that does not read would keep the socket for ever
