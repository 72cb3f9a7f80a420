"""From octets to events: the frames of one HTTP/2 connection (RFC 9113 §4).

h2 decides all but one thing. DATA without padding, on an open stream, is nine bytes of header and the
payload; h2 and grpclib spend 15 µs on it, and a campaign is made of nothing else. Such frames go straight to
the stream's message buffer, with h2's windows and its stream's state kept true (END_STREAM). All others pass
the fence and then h2, one by one, so a frame that announces too much is refused at its header. `http2` gives
in what was read and gets back what is left over: half a frame, or what comes after a slice.
"""

from __future__ import annotations

from struct import Struct

from h2.exceptions import FrameTooLargeError
from h2.stream import StreamInputs, StreamState

from smsproxy.rpc.events import GuardedEvents
from smsproxy.rpc.fence import CONTINUATION, DATA, END_STREAM, HEADER_BYTES, HEADERS, Fence
from smsproxy.rpc.flow import GuardedConnection
from smsproxy.rpc.run import NONE, PlainRun

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


class Frames:
    """See the module. Raises what h2 raises (ProtocolError) and the fence's FloodError."""

    __slots__ = ("_connection", "_fence", "_preface_left", "_processor", "_run", "over", "slice_over")

    def __init__(self, connection: GuardedConnection, processor: GuardedEvents, fence: Fence) -> None:
        self._connection = connection
        self._processor = processor
        self._fence = fence
        self._preface_left = PREFACE_BYTES
        self._run = PlainRun()
        self.slice_over = False
        """The last `split` ended with its slice: what it gave back may hold whole frames."""
        self.over = False
        """The connection has ended: nothing more is handled."""

    def __repr__(self) -> str:
        return f"<Frames {self._run!r} slice_over={self.slice_over} over={self.over}>"

    def split(self, data: bytes) -> bytes:
        """Handle whole frames of `data`, at most a slice; give back the rest. Raises h2's ProtocolError."""
        self.slice_over, left, plain = False, SLICE_FRAMES, SLICE_DATA
        at, end = 0, len(data)
        if self._preface_left:
            at = min(self._preface_left, end)
            self._preface_left -= at
            self._through_h2(data[:at])
        limit = self._connection.h2.max_inbound_frame_size
        run = self._run
        while end - at >= HEADER_BYTES and left and plain and not self.over:
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
                    self._fence.empty_data()
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
        self.slice_over = not (left and plain) and not self.over
        return data[at:]

    def _other_frame(self, kind: int, flags: int, stream_id: int, frame: bytes) -> None:
        frame = self._fence.screen(kind, flags, stream_id, frame)
        if frame:
            self._through_h2(frame)
            if kind in (HEADERS, CONTINUATION):
                self._fence.fed(flags)

    def _begin_run(self, stream_id: int) -> bool:
        """Plain DATA of another stream than the frame before; False when h2 must see it."""
        self._end_run()
        stream = self._processor.streams.get(stream_id)
        state = self._connection.h2.streams.get(stream_id)
        if (
            stream is None
            or state is None
            or self._fence.in_headers
            or state.state_machine.state is not StreamState.OPEN
        ):
            return False
        self._run.begin(stream_id, stream.buffer, state._inbound_window_manager.window_consumed)
        return True

    def _end_run(self) -> None:
        """Charge plain DATA to the windows, once for a run of frames. Raises h2's FlowControlError."""
        if self._run.stream_id != NONE:
            octets = self._run.end()
            self._connection.h2._inbound_flow_control_window_manager.window_consumed(octets)
            self._connection.received(octets)
            crumbs = self._run.take_crumbs()
            if crumbs:
                self._fence.crumbs(crumbs)

    def _end_request(self, stream_id: int) -> None:
        """The run's last frame ended its stream's request."""
        self._end_run()
        for event in self._connection.h2.streams[stream_id].state_machine.process_input(_REQUEST_ENDED):
            self._processor.process(event)

    def _through_h2(self, frame: bytes) -> None:
        for event in self._connection.feed(frame):
            if self.over:
                return
            self._processor.process(event)
