"""The HTTP/2 side of the guarded server: one object per connection, from its first octets to its close.

What was read is given to `frames`, a slice at a time; while a slice is left over, the connection waits its
turn among the others (`turns`), its unread octets in the kernel. A fault of the peer, or of ours, ends the
connection with a GOAWAY that the peer has time to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import TYPE_CHECKING

import structlog
from grpclib import protocol
from h2.connection import ConnectionState
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from smsproxy.rpc.budgets import FloodError
from smsproxy.rpc.events import GuardedEvents
from smsproxy.rpc.farewell import Farewell
from smsproxy.rpc.fence import Fence
from smsproxy.rpc.flow import GuardedConnection, GuardedH2
from smsproxy.rpc.frames import Frames
from smsproxy.rpc.status import internal_error
from smsproxy.rpc.watch import ConnectionWatch, Verdict

if TYPE_CHECKING:
    from smsproxy.rpc.guard import GuardedHandler, GuardedServer

log = structlog.get_logger("smsproxy.rpc")

GOAWAY_S = 0.25
"""How long a connection that we end stays open, unheard, so that the peer reads why."""


class GuardedProtocol(protocol.H2Protocol):
    """One connection from its first octets to close. `server` counts it and drains it."""

    connection: GuardedConnection
    processor: GuardedEvents
    handler: GuardedHandler
    fence: Fence
    frames: Frames

    def __init__(self, server: GuardedServer, handler: GuardedHandler) -> None:
        super().__init__(handler, server.grpclib_config, server.h2_config)
        self.server = server
        self.closed = True
        self.address = ""
        self._tail = b""
        self._reads = 0
        self._half_frame = 0
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
        self.frames = Frames(self.connection, self.processor, self.fence)
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
        if self.frames.slice_over and self._tail:
            self._wait_turn()

    def _handle(self, data: bytes, *, new: bool) -> None:
        """A slice of the frames of `data`; `new`: it begins with no half frame of an earlier read."""
        try:
            self._tail = self.frames.split(data)
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
        while self.frames.slice_over and self._tail:
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
        if self.frames.slice_over and self._tail:
            return True
        self._go_on_reading()
        return False

    def _go_on_reading(self) -> None:
        if self._waits:
            self._waits = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    # -- ends -----------------------------------------------------------------------------------------------

    def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        """End one stream for a fault of its peer; nobody else notices."""
        self.server.counters.stream_faults_total += 1
        with contextlib.suppress(ProtocolError):  # closed, or never open
            self.connection.h2.reset_stream(stream_id, code)
        self.processor.terminate(stream_id)

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
        self.closed = self.frames.over = True
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
        self.closed = self.frames.over = True
        for timer in (self._farewell, self._closing):
            if timer is not None:
                timer.cancel()
        transport, self._transport = self._transport, None
        # Asked before it is closed: TLS cannot tell afterwards.
        unread = 0 if transport is None else transport.get_write_buffer_size()
        self.processor.close(reason)
        if transport is not None and unread:
            transport.abort()  # a peer that does not read would keep the socket for ever
