"""The doorstep: where a connection of a plain listener stands until its first octets are here.

    accept ─> a place ─> its first octets ─> a turn ─> GuardedProtocol

Who says nothing costs a small object and a timer, not a state of HTTP/2; and a crowd that says hello in one
moment is let in by `turns`, so that calls under way are answered meanwhile. Made by `guard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from smsproxy.rpc.gate import address_of

if TYPE_CHECKING:
    from smsproxy.rpc.guard import GuardedServer
    from smsproxy.rpc.http2 import GuardedProtocol


class Doorstep(asyncio.Protocol):
    """One connection up to its first octets. `server` gives it a place and takes it back."""

    handshake: asyncio.Task[None] | None = None
    """As a gate's: there is none."""
    suspect = False

    def __init__(self, server: GuardedServer, inside: Callable[[], GuardedProtocol]) -> None:
        self.address = ""
        self._server = server
        self._inside = inside
        self._early = b""
        self._born = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def octets(self) -> int:
        """See turns.Waiter."""
        return len(self._early)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.address = address_of(transport)
        if not self._server.enter(self):
            self._transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._born = loop.time()
        self._timer = loop.call_later(self._server.options.first_byte_s, self._silent)

    def data_received(self, data: bytes) -> None:
        first = not self._early
        self._early += data  # a second read: of one that was under way when reading was paused
        if not first or self._transport is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._transport.pause_reading()
        if not self._server.turns.ask(self):
            self._come_in()

    def take_turn(self) -> bool:
        """See turns.Waiter."""
        self._come_in()
        return False

    def _come_in(self) -> None:
        transport, self._transport = self._transport, None
        if transport is None or transport.is_closing():
            return  # it left, or was let in before its turn
        protocol = self._inside()
        transport.set_protocol(protocol)
        self._server.passed(self, protocol)
        protocol.come_in(transport, self.address, born=self._born)
        transport.resume_reading()
        protocol.data_received(self._early)

    def cut(self) -> None:
        """The server stops: who has spoken comes in to hear it, who has not is closed."""
        if self._early:
            self._come_in()
        else:
            self._close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The peer left, or was refused."""
        self._transport = None
        self._close()

    def _silent(self) -> None:
        self._server.counters.count_end("silent")
        self._close()

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        self._server.leave(self)
