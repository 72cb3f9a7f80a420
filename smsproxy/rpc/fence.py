"""What stands before h2: frames that would flood us, and frames whose fault is their stream's alone.

h2 ends the whole connection for a stream's WINDOW_UPDATE of 0, a PRIORITY on itself or trailers that do not
end their stream, though RFC 9113 makes these errors of one stream. So `screen` sees every frame but plain
DATA first, charges it to the connection's budget, and says what h2 shall see of it. Used by `http2`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from h2.errors import ErrorCodes
from h2.exceptions import FrameTooLargeError

from smsproxy.rpc.budgets import Flood, FloodError, FrameBudget
from smsproxy.rpc.flow import GuardedStream
from smsproxy.rpc.options import RpcOptions

HEADER_BYTES = 9
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
_FLAGS_AT = 4
_PRIORITY_BYTES = 5
RAPID_S = 1.0
"""A reset of an older stream is no rapid one: callers whose deadlines passed send them, and when we are slow
they all do."""
_ZERO_INCREMENT = (b"\0\0\0\0", b"\x80\0\0\0")
"""The first bit of a WINDOW_UPDATE is reserved and ignored (RFC 9113 §6.9)."""


class Fence:
    """The fence of one connection.

    `reset(stream_id, code)` ends one stream for a fault of its peer; `data_frames()`: how many DATA frames we
    sent.
    """

    def __init__(
        self,
        options: RpcOptions,
        streams: Mapping[int, GuardedStream],
        reset: Callable[[int, ErrorCodes], None],
        data_frames: Callable[[], int],
    ) -> None:
        self._budget = FrameBudget(options.max_resets_per_10s, options.ping_interval_s)
        self._max_block = options.max_header_block_bytes
        self._streams = streams
        self._reset = reset
        self._data_frames = data_frames
        self._clock = time.monotonic  # as the streams' own `created`
        self._block = 0
        self._faulty = 0
        self.blocks = 0
        self.in_headers = False
        """A header block is open: h2 must see every frame until it ends (RFC 9113 §6.10)."""

    def __repr__(self) -> str:
        return f"<Fence {self._budget!r} in_headers={self.in_headers}>"

    @property
    def suspect(self) -> bool:
        """Most of what it does is to reset what it opened."""
        return self._budget.suspect

    def screen(self, kind: int, flags: int, stream_id: int, frame: bytes) -> bytes:
        """What h2 shall see of this frame; empty: nothing. Raises FloodError and h2's ProtocolError."""
        if kind in (HEADERS, CONTINUATION):
            return self._header_block(kind, flags, stream_id, frame)
        if self.in_headers:
            return frame  # h2 says what is wrong with it
        if kind == PRIORITY:
            return self._priority(stream_id, frame)
        if kind == WINDOW_UPDATE:
            self._budget.window_update(self._clock(), self._data_frames())
            if stream_id and frame[HEADER_BYTES:] in _ZERO_INCREMENT:
                self.fault(stream_id)
                return b""
        else:
            self._charge(kind, flags, stream_id, len(frame) - HEADER_BYTES)
        return frame

    def fed(self, flags: int) -> None:
        """h2 has seen a frame of a header block. A faulty one is refused now, its headers being decoded."""
        self.in_headers = not flags & END_HEADERS
        if self._faulty and not self.in_headers:
            stream_id, self._faulty = self._faulty, 0
            self.fault(stream_id)

    def fault(self, stream_id: int, code: ErrorCodes = ErrorCodes.PROTOCOL_ERROR) -> None:
        """End one stream for its peer's fault. Raises FloodError: resets we are made to send count, too."""
        self._budget.reset(self._clock())
        self._reset(stream_id, code)

    def empty_data(self) -> None:
        """A DATA frame without payload that ends nothing. Raises FloodError."""
        self._budget.charge(Flood.EMPTY_DATA, self._clock())

    def crumbs(self, frames: int) -> None:
        """DATA frames in the middle of a message that bring next to nothing of it. Raises FloodError."""
        self._budget.charge(Flood.CRUMBS, self._clock(), frames)

    def _priority(self, stream_id: int, frame: bytes) -> bytes:
        """Deprecated, and nothing here has priorities; but its form is still asked for (RFC 9113 §6.3)."""
        self._budget.charge(Flood.PRIORITY, self._clock())
        if not stream_id:
            return frame  # h2 says what is wrong with it
        if len(frame) != HEADER_BYTES + _PRIORITY_BYTES:
            self.fault(stream_id, ErrorCodes.FRAME_SIZE_ERROR)
        return b""

    def _header_block(self, kind: int, flags: int, stream_id: int, frame: bytes) -> bytes:
        if kind == CONTINUATION:
            self._block += len(frame)
            if self._block > self._max_block:
                raise FloodError(Flood.CONTINUATION)
            return frame
        self._block = len(frame)
        self.blocks += 1
        if stream_id not in self._streams:
            self._budget.opened(self._clock())
        elif not flags & END_STREAM:  # trailers that end nothing (§8.1): h2 shall decode them, no more
            self._faulty = stream_id
            return frame[:_FLAGS_AT] + bytes((flags | END_STREAM,)) + frame[_FLAGS_AT + 1 :]
        return frame

    def _charge(self, kind: int, flags: int, stream_id: int, size: int) -> None:
        now = self._clock()
        if kind == PING and not flags & ACK:
            self._budget.ping(now, self._data_frames())
        elif kind == RST_STREAM:
            stream = self._streams.get(stream_id)
            if stream is None or stream.created is None or now - stream.created < RAPID_S:
                self._budget.reset(now)
        elif kind == SETTINGS:
            self._budget.charge(Flood.SETTINGS, now)
            if flags & ACK and size:  # h2 would call it a PROTOCOL_ERROR (§6.5)
                raise FrameTooLargeError("SETTINGS ACK with a payload")
        elif kind == DATA and not size and not flags & END_STREAM:
            self._budget.charge(Flood.EMPTY_DATA, now)
        elif kind > CONTINUATION:
            self._budget.charge(Flood.UNKNOWN, now)
