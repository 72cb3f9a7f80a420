"""The octets of one connection: whole frames in, joined writes out, and the faults that live on this level.

Dribbling, deafness and RST are here; what the frames mean is the session's business. Made by `Smsc` for each
accepted socket, together with its session.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from smsproxy.simulator.core import Core
from smsproxy.smpp.errors import FramingLostError
from smsproxy.smpp.framing import Framer

MAX_HELD = 100_000
"""Writes kept while deaf; more are dropped and counted."""
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class Reader(Protocol):
    """What takes the frames."""

    def connected(self) -> None: ...

    def take(self, frame: bytes) -> None: ...

    def framing_lost(self, reason: str) -> None: ...

    def disconnected(self) -> None: ...

    def writable(self) -> None: ...


class Wire(asyncio.Protocol):
    """After `cut` and `close` nothing is read or written any more."""

    def __init__(self, core: Core, reader: Callable[[Wire], Reader]) -> None:
        self._core = core
        self._loop = asyncio.get_running_loop()
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._drops = bytearray()
        self._flush_asked = False
        self._deaf = core.script.deaf
        self._held: deque[Callable[[], None]] = deque()
        self.paused = False
        """The peer does not read: the socket's buffer is full."""
        self.ended = False
        self.peer = ""
        self._reader = reader(self)

    def __repr__(self) -> str:
        state = "ended" if self.ended else "deaf" if self._deaf else "open"
        return f"<Wire {self.peer} {state} held={len(self._held)}>"

    # -- out ------------------------------------------------------------------------------------------------

    @property
    def deaf(self) -> bool:
        return self._deaf

    def hold(self, call: Callable[[], None]) -> None:
        """Do this write when the wire is deaf no more."""
        if len(self._held) >= MAX_HELD:
            self._core.counters.writes_dropped += 1
        else:
            self._held.append(call)

    def write(self, octets: bytes) -> None:
        """Octets of a PDU, written with all others of this turn."""
        if self.ended:
            return
        self._out.append(octets)
        if not self._flush_asked:
            self._flush_asked = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write what was joined."""
        self._flush_asked = False
        if self._out and self._transport is not None and not self.ended:
            data = b"".join(self._out)
            self._out.clear()
            if self._core.script.dribble_bytes or self._drops:
                idle = not self._drops
                self._drops += data
                if idle:
                    self._drip()
            else:
                self._transport.write(data)
        self._core.changed()

    def _drip(self) -> None:
        """One small write, the rest in the next turns."""
        if self._transport is None or self._transport.is_closing():
            return
        size = self._core.script.dribble_bytes or len(self._drops)
        self._transport.write(bytes(self._drops[:size]))
        del self._drops[:size]
        if self._drops:
            self._loop.call_soon(self._drip)
        elif self.ended:
            self._transport.close()

    # -- faults and ends ------------------------------------------------------------------------------------

    def set_deaf(self, deaf: bool) -> None:
        """Stop reading and writing with TCP left open, or go on where it was left."""
        if deaf == self._deaf or self.ended or self._transport is None:
            return
        self._deaf = deaf
        if deaf:
            self._transport.pause_reading()
            return
        if not self.paused:
            self._transport.resume_reading()
        while self._held:
            self._held.popleft()()

    def close(self) -> None:
        """Write what there is, then end TCP in order."""
        self.flush()
        if self.ended or self._transport is None:
            return
        self.ended = True
        if not self._drops:
            self._transport.close()

    def cut(self) -> None:
        """RST: what the peer has not read yet may be lost to it."""
        self.flush()
        self.ended = True
        if self._transport is None:
            return
        self._core.counters.cuts += 1
        with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        host, port, *_ = transport.get_extra_info("peername") or ("", 0)
        self.peer = f"{host}:{port}"
        if self._deaf:
            self._transport.pause_reading()
        self._reader.connected()

    def data_received(self, data: bytes) -> None:
        lost = ""
        try:
            frames = self._framer.feed(data)
        except FramingLostError as error:
            frames, lost = list(error.frames), error.reason
        for frame in frames:
            if self.ended:
                return
            self._reader.take(frame)
        if lost and not self.ended:
            self._reader.framing_lost(lost)
        self._core.changed()

    def pause_writing(self) -> None:
        """A peer that does not read may not make us hold more: then we do not read either."""
        self.paused = True
        if self._transport is not None and not self._deaf:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        if self._transport is not None and not self._deaf:
            self._transport.resume_reading()
        self._reader.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._transport = None
        self._held.clear()
        self._reader.disconnected()
        self._core.changed()
