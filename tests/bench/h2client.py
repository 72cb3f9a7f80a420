"""A hand-made HTTP/2 client connection, cheap enough to load a server without being what is measured.

It speaks what a gRPC client needs: preface, SETTINGS, PING, HEADERS through hpack, flow control of what it
sends. What it receives is never throttled: both windows are opened to 2^31-1 at once and not refilled, so
one connection takes at most 2 GiB of answers (load.py bounds the messages of a run accordingly). Drivers
(streaming.py, unary.py) get the answers' DATA as positions in the read buffer, without a copy, and are
pumped once per read. Between reads it rests for `tick_s`: a server that answers one by one would else wake
it for every answer, and the waking costs both sides more than the answer.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Protocol, cast

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_INITIAL_WINDOW_SIZE, _MAX_CONCURRENT_STREAMS, _HEADER_TABLE_SIZE, _ENABLE_PUSH = 4, 3, 1, 2
_MAX_WINDOW = 2**31 - 1
_DEFAULT_WINDOW = 65_535
_MAX_FRAME_OCTETS = 16_384  # we never announce more
_MAX_CACHED_BLOCKS = 64

_HEAD = struct.Struct(">BHBBL")
_SETTING = struct.Struct(">HL")
_LONG = struct.Struct(">L")

HeaderList = list[tuple[str, str]]


class Driver(Protocol):
    """What the connection tells the one that loads it."""

    def ready(self) -> None:
        """The server's SETTINGS are here: streams may be opened."""

    def data(self, stream_id: int, buffer: bytes, start: int, stop: int) -> None:
        """Octets [start, stop) of `buffer` are DATA of the stream."""

    def headers(self, stream_id: int, headers: HeaderList, ended: bool) -> None:
        """A header block; `ended` when it closes the stream (trailers)."""

    def reset(self, stream_id: int, code: int) -> None:
        """The server reset the stream."""

    def pump(self) -> None:
        """One read is handled: send what may be sent now."""

    def lost(self, reason: str) -> None:
        """The connection is gone; called once."""


class H2Connection(asyncio.Protocol):
    """One connection. `window` and `windows` (by stream) are the octets that may still be sent."""

    def __init__(self, driver: Driver, headers: HeaderList, tick_s: float) -> None:
        self.window = _DEFAULT_WINDOW
        self.windows: dict[int, int] = {}
        self.max_streams = _MAX_WINDOW
        self.settled = asyncio.Event()
        """The driver was told that it may begin, or that it never will: `ready` or `lost`."""
        self._driver = driver
        self._headers = headers
        self._tick_s = tick_s
        self._loop = asyncio.get_running_loop()
        self._initial_window = _DEFAULT_WINDOW
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._blocks: dict[bytes, HeaderList] = {}
        self._opened = 0
        self._block = b""
        self._tail = b""
        self._ready = False
        self._goaway = ""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        ours = _SETTING.pack(_ENABLE_PUSH, 0) + _SETTING.pack(_INITIAL_WINDOW_SIZE, _MAX_WINDOW)
        grant = _LONG.pack(_MAX_WINDOW - _DEFAULT_WINDOW)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        transport.write(preface + frame(SETTINGS, 0, 0, ours) + frame(WINDOW_UPDATE, 0, 0, grant))

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.lost(self._goaway or (str(exc) if exc else "the server closed the connection"))
        self.settled.set()

    def write(self, octets: bytes) -> None:
        """Hand octets to the socket; the caller has taken them off the windows."""
        if self._transport is not None:
            self._transport.write(octets)

    def close(self) -> None:
        """Close after what is written has gone."""
        if self._transport is not None:
            self._transport.close()

    def open_stream(self, stream_id: int) -> bytes:
        """The HEADERS frame that opens a stream; the caller writes it."""
        self.windows[stream_id] = self._initial_window
        # The first block fills hpack's table, from the second on the block is one constant string of indexes.
        if self._opened < 2:
            self._opened += 1
            self._block = self._encoder.encode(self._headers)
        return frame(HEADERS, END_HEADERS, stream_id, self._block)

    def data_received(self, data: bytes) -> None:
        buffer = self._tail + data if self._tail else data
        position, end = 0, len(buffer)
        on_data, unpack = self._driver.data, _HEAD.unpack_from
        while end - position >= 9:
            high, low, kind, flags, stream_id = unpack(buffer, position)
            start = position + 9
            stop = start + (high << 16 | low)
            if stop > end:
                break
            if kind == DATA and not flags:
                on_data(stream_id, buffer, start, stop)
            else:
                self._rare(kind, flags, stream_id, buffer[start:stop])
            position = stop
        self._tail = buffer[position:]
        if self._ready:
            self._driver.pump()
        if self._tick_s and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_later(self._tick_s, self._resume)

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _rare(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Everything but plain DATA."""
        if kind in (HEADERS, DATA) and flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if kind == DATA:
            self._driver.data(stream_id, payload, 0, len(payload))
            if flags & END_STREAM:  # no gRPC server ends without trailers
                self._driver.reset(stream_id, 0)
        elif kind == HEADERS:
            self._header_block(flags, stream_id, payload[5:] if flags & PRIORITY else payload)
        elif kind == WINDOW_UPDATE:
            self._window_update(stream_id, _LONG.unpack(payload)[0] & _MAX_WINDOW)
        elif kind == SETTINGS and not flags & ACK:
            self._settings(payload)
        elif kind == PING and not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._driver.reset(stream_id, _LONG.unpack(payload)[0])
        elif kind == GOAWAY:
            self._goaway = (
                f"GOAWAY code {_LONG.unpack_from(payload, 4)[0]} {payload[8:].decode(errors='replace')}"
            )
        elif kind == CONTINUATION:
            self._fail("a header block over several frames")

    def _window_update(self, stream_id: int, increment: int) -> None:
        if stream_id == 0:
            self.window += increment
        elif stream_id in self.windows:
            self.windows[stream_id] += increment

    def _settings(self, payload: bytes) -> None:
        for setting, value in _SETTING.iter_unpack(payload):
            if setting == _INITIAL_WINDOW_SIZE:
                change = value - self._initial_window
                self._initial_window = value
                self.windows = {stream: window + change for stream, window in self.windows.items()}
            elif setting == _MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            elif setting == _HEADER_TABLE_SIZE:
                self._encoder.header_table_size = min(value, 4096)
        self.write(frame(SETTINGS, ACK, 0, b""))
        if not self._ready:
            self._ready = True
            self._driver.ready()
            self.settled.set()

    def _header_block(self, flags: int, stream_id: int, block: bytes) -> None:
        if not flags & END_HEADERS:
            self._fail("a header block over several frames")
            return
        headers = self._blocks.get(block)
        if headers is None:
            try:
                headers = self._decode(block)
            except HPACKError as error:
                self._fail(f"an undecodable header block: {error}")
                return
        self._driver.headers(stream_id, headers, bool(flags & END_STREAM))

    def _decode(self, block: bytes) -> HeaderList:
        """Decode, and remember blocks of table indexes alone (RFC 7541 §6.1): they leave the table as it is.

        Any other block may change the table, so it empties the memory. This saves 20 µs per unary answer.
        """
        headers = [(str(name), str(value)) for name, value in self._decoder.decode(block)]
        if all(0x80 < octet < 0xFF for octet in block):
            if len(self._blocks) < _MAX_CACHED_BLOCKS:
                self._blocks[block] = headers
        else:
            self._blocks.clear()
        return headers

    def _fail(self, reason: str) -> None:
        self._goaway = reason
        self.close()


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """One HTTP/2 frame of at most 16,384 octets."""
    assert len(payload) <= _MAX_FRAME_OCTETS
    return _HEAD.pack(0, len(payload), kind, flags, stream_id) + payload
