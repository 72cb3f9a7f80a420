"""A run of plain DATA: frames of one stream, one after the other, without padding.

A campaign's connection carries little else. Its stream is looked up once, and its windows are charged once,
for the whole run. Kept by `http2`, one per connection; the run ends with any other frame and with the read.
"""

from __future__ import annotations

from collections.abc import Callable

from smsproxy.rpc.buffer import MessageBuffer

NONE = -1
"""No stream's number, not even that of a bad frame (0 is the connection itself)."""


class PlainRun:
    """The run under way. `stream_id` NONE: there is none."""

    __slots__ = ("_buffer", "_consumed", "add_frame", "octets", "stream_id")

    def __init__(self) -> None:
        self.stream_id = NONE
        self._buffer: MessageBuffer | None = None
        self.octets = 0
        """Of payload so far, not charged yet."""
        self.add_frame: Callable[[bytes, int, int], None] = _nowhere
        """Where the payload goes: `MessageBuffer.add_frame` of the stream."""
        self._consumed: Callable[[int], None] = _uncounted

    def __repr__(self) -> str:
        return f"<PlainRun stream={self.stream_id} octets={self.octets}>"

    def begin(self, stream_id: int, buffer: MessageBuffer, consumed: Callable[[int], None]) -> None:
        """`consumed` charges the stream's window; it raises h2's FlowControlError."""
        self.stream_id, self.octets = stream_id, 0
        self._buffer, self.add_frame, self._consumed = buffer, buffer.add_frame, consumed

    def end(self) -> int:
        """Charge the stream's window; how many octets there were. Raises h2's FlowControlError."""
        self.stream_id = NONE
        self._consumed(self.octets)
        return self.octets

    def take_crumbs(self) -> int:
        """Frames of the run that are to be charged as crumbs; asked once."""
        buffer = self._buffer
        if buffer is None or not buffer.crumbs:
            return 0
        crumbs, buffer.crumbs = buffer.crumbs, 0
        return crumbs


def _nowhere(_octets: bytes, _start: int, _stop: int) -> None:
    """No stream, no frame of it."""


def _uncounted(_octets: int) -> None:
    """No stream, no window."""
