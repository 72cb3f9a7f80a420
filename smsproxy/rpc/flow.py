"""A guarded connection and its streams: flow control both ways, and writes without waiting.

Receiving: a stream's window is refilled when its messages are taken, so a slowed stream slows its sender.
The connection's window is refilled on arrival, so that one slowed campaign does not stop the calls that share
its connection, until `max_held_bytes` of them all are held here. Refills go out a quarter of a window at a
time. Sending: `room` and `write` let a hot stream write what fits now, and `on_writable` calls it back when
more does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from grpclib import protocol
from grpclib.config import Configuration
from grpclib.utils import Wrapper
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from h2.stream import StreamInputs, StreamState

from smsproxy.rpc.buffer import MessageBuffer
from smsproxy.rpc.header_blocks import GuardedDecoder
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.whole import whole_answer

LARGE_FRAME = 256
"""Octets. A DATA frame counts once, and once more for each so many: a stream's answers share frames, and some
clients (grpcio's asyncio side) give window back answer by answer."""


_WHOLE_ANSWER = (
    StreamInputs.SEND_HEADERS,
    StreamInputs.SEND_DATA,
    StreamInputs.SEND_HEADERS,
    StreamInputs.SEND_END_STREAM,
)


class GuardedH2(H2Connection):
    """h2, but one stream too many is ours to refuse alone: h2 would end the whole connection."""

    inbound_open = 0
    """Streams the peer had open when its latest request came, that one not included. Below the limit
    closed ones may be among them."""

    def __init__(self, config: H2Configuration, options: RpcOptions) -> None:
        super().__init__(config)
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: options.max_streams_per_connection,
                SettingCodes.MAX_HEADER_LIST_SIZE: options.max_header_list_bytes,
                SettingCodes.INITIAL_WINDOW_SIZE: options.stream_window_bytes,
            },
        )
        self.decoder = GuardedDecoder()
        self.decoder.max_header_list_size = options.max_header_list_bytes

    @property
    def open_inbound_streams(self) -> int:
        """Read by h2 once per new request, right before `value + 1 > limit` drops the connection.

        The true value is kept for us; h2 sees one that never exceeds, not even a limit of 0. While all
        that h2 still knows, closed ones too, are below the limit, their number will do; h2 looks at each.
        """
        known = len(self.streams)
        few = known < self.local_settings.max_concurrent_streams
        self.inbound_open = known if few else super().open_inbound_streams
        return -1


class GuardedConnection(protocol.Connection):
    """grpclib's connection with the receive window of our own."""

    def __init__(
        self,
        connection: GuardedH2,
        transport: asyncio.Transport,
        *,
        config: Configuration,
        options: RpcOptions,
        counters: RpcCounters,
        address: str,
    ) -> None:
        super().__init__(connection, transport, config=config)
        self.address = address
        """Where the caller is; "" on a Unix socket."""
        self.h2 = connection
        self.options = options
        self.counters = counters
        self.certified = False
        """The peer showed a certificate of our client CA."""
        self.held = 0
        self.ended = False
        """The GOAWAY is written: nothing more may be said, though the socket stays a moment (`http2`)."""
        self.data_frames = 0
        """DATA frames sent, a large one as several, and calls ended: what a peer may answer with PINGs and
        WINDOW_UPDATEs (`budgets`)."""
        self._owed = 0
        self._refill = options.connection_window_bytes // 4

    def __repr__(self) -> str:
        return f"<GuardedConnection streams={len(self.h2.streams)} held={self.held} owed={self._owed}>"

    def create_stream(self, *, stream_id: int | None = None, wrapper: Wrapper | None = None) -> GuardedStream:
        return GuardedStream(self, self.h2, self._transport, stream_id=stream_id, wrapper=wrapper)

    def is_closing(self) -> bool:
        return self.ended or super().is_closing()

    def received(self, size: int) -> None:
        """`size` flow-controlled bytes came in and are held for a stream."""
        self.held += size
        self._owed += size
        self._settle()

    def taken(self, size: int) -> None:
        """`size` of the held bytes are done with."""
        self.held -= size
        self._settle()

    @property
    def starved(self) -> bool:
        """Our own window keeps the peer from sending: what is unfinished is not its fault."""
        return self.held > self.options.max_held_bytes

    def data_send_process(self) -> None:
        self.data_frames += 1
        super().data_send_process()

    def _settle(self) -> None:
        if self._owed >= self._refill and self.held <= self.options.max_held_bytes and not self.is_closing():
            owed, self._owed = self._owed, 0
            self.h2.increment_flow_control_window(owed)
            self.flush()


class GuardedStream(protocol.Stream):
    """grpclib's stream with a message buffer and synchronous writes."""

    buffer: MessageBuffer  # type: ignore[assignment]  # takes the place of grpclib's byte buffer
    connection: GuardedConnection
    on_writable: Callable[[], None] | None = None
    _owed = 0
    _refill = 0

    def init_stream(self, stream_id: int, connection: protocol.Connection) -> None:
        guarded = cast(GuardedConnection, connection)
        self.id = stream_id
        self._refill = guarded.options.stream_window_bytes // 4
        self.buffer = MessageBuffer(guarded.options.max_message_bytes, self._released)
        guarded.streams_started += 1
        self.created = guarded.last_stream_created = time.monotonic()

    def _released(self, size: int) -> None:
        self.connection.taken(size)
        self._owed += size
        if self._owed >= self._refill and self.closable:
            owed, self._owed = self._owed, 0
            self.connection.h2.increment_flow_control_window(owed, self.id)
            self.connection.flush()

    def padded(self, size: int) -> None:
        """Padding of a DATA frame: flow-controlled, but nothing to keep."""
        self._released(size)

    def writable(self) -> None:
        """The peer opened a window, or the socket drained."""
        self.window_updated.set()
        if self.on_writable is not None:
            self.on_writable()

    def room(self) -> int:
        """Octets one DATA frame may carry now; 0 while the socket or the peer is full, or the stream gone."""
        if not self.connection.write_ready.is_set() or not self.closable:
            return 0
        h2 = self.connection.h2
        return min(h2.local_flow_control_window(cast(int, self.id)), h2.max_outbound_frame_size)

    def answer_whole(self, data: bytes) -> bool:
        """Answer a unary call: headers, `data` and good trailers in one write. False: h2 has to do it.

        h2 would write the same; here it is only told. It has to write where the call's request is not over,
        or where its next header block must announce a new size of the HPACK table (RFC 7541 §4.2).
        """
        h2, stream_id = self.connection.h2, cast(int, self.id)
        if len(data) > self.room() or h2.encoder.table_size_changes:
            return False
        state = h2.streams[stream_id]
        machine = state.state_machine
        if machine.state is not StreamState.HALF_CLOSED_REMOTE or machine.headers_sent:
            return False
        for step in _WHOLE_ANSWER:
            machine.process_input(step)
        h2.outbound_flow_control_window -= len(data)
        state.outbound_flow_control_window -= len(data)
        self.connection.flush()  # what h2 has to say goes first
        self._transport.write(whole_answer(stream_id, data))
        self.connection.data_send_process()
        return True

    def write(self, data: bytes) -> None:
        """Send one DATA frame of at most `room` octets."""
        connection = self.connection
        connection.h2.send_data(cast(int, self.id), data)
        connection.data_frames += len(data) // LARGE_FRAME
        connection.flush()
        connection.data_send_process()
