"""The fenced grpclib server: bounds, one task per call, and a drain that loses no answer.

grpclib brings the tables of methods and the client-compatible surface; what an unkind network meets is ours
(`http2`, `flow`, `buffer`, `dispatch`). `RpcServer` is what app.py starts; this is the machine under it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from grpclib import protocol, server
from grpclib.config import Configuration
from grpclib.encoding.base import CodecBase
from h2.config import H2Configuration

from smsproxy.rpc.dispatch import Dispatcher
from smsproxy.rpc.doorstep import Doorstep
from smsproxy.rpc.flow import GuardedStream
from smsproxy.rpc.gate import Gate
from smsproxy.rpc.http2 import GuardedProtocol
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.places import Places
from smsproxy.rpc.proxy import TrustedProxies
from smsproxy.rpc.sweep import Sweeper
from smsproxy.rpc.turns import Turns

if TYPE_CHECKING:
    from grpclib._typing import IServable

    from smsproxy.rpc.call import Call

CUT_S = 1.0
"""A cut connection is gone within a loop turn or two; nothing waits longer for it."""


class GuardedHandler(server.Handler):
    """The calls of one connection."""

    def __init__(self, dispatcher: Dispatcher, larger: Mapping[bytes, int]) -> None:
        # grpclib's own state is not made: every method that reads it is replaced below.
        self._dispatcher = dispatcher
        self._larger = larger
        self._loop = asyncio.get_running_loop()
        self._running: dict[GuardedStream, asyncio.Task[None]] = {}
        self._calls: dict[GuardedStream, Call] = {}
        self.draining = False
        """The server stops."""
        self.bears_limit_0 = True
        """A limit of no streams makes its new calls wait, and they go on elsewhere when we close. Callers on
        grpclib wait for ever, so their connections retire in a quiet moment only."""

    def accept(self, stream: protocol.Stream, headers: Any, release_stream: Callable[[], Any]) -> None:
        guarded = cast(GuardedStream, stream)
        larger = self._larger.get(next((value for name, value in headers if name == b":path"), b""))
        if larger is not None:
            guarded.buffer.allow(larger)
        task = self._loop.create_task(
            self._dispatcher.run_call(guarded, headers, lambda call: self._opened(guarded, call))
        )
        self._running[guarded] = task
        # A callback, not a `finally` in the task: one that is cancelled before its first step runs nothing.
        task.add_done_callback(lambda done: self._ended(guarded, done, release_stream))

    @property
    def calls(self) -> Collection[Call]:
        """Those under way."""
        return self._calls.values()

    def _opened(self, stream: GuardedStream, call: Call) -> None:
        self._calls[stream] = call
        self.bears_limit_0 = self.bears_limit_0 and "grpclib" not in (call.user_agent or "")
        if self.draining:
            call.drain()

    def _ended(
        self, stream: GuardedStream, task: asyncio.Task[None], release_stream: Callable[[], Any]
    ) -> None:
        self._running.pop(stream, None)
        self._calls.pop(stream, None)
        release_stream()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._dispatcher.crashed(error)

    def cancel(self, stream: protocol.Stream) -> None:
        """The caller left this call."""
        task = self._running.get(cast(GuardedStream, stream))
        if task is not None:
            task.cancel()

    def drain(self) -> None:
        self.draining = True
        for call in list(self._calls.values()):
            call.drain()

    def close(self) -> None:
        """The connection is gone, and all its callers with it."""
        for task in list(self._running.values()):
            task.cancel()

    async def wait_closed(self) -> None:
        if self._running:
            await asyncio.wait(list(self._running.values()))

    def check_closed(self) -> bool:
        return not self._running


class GuardedServer(server.Server):
    """grpclib's server with admission, drain and our own protocol."""

    def __init__(
        self,
        handlers: Collection[IServable],
        codec: CodecBase,
        options: RpcOptions,
        counters: RpcCounters,
        larger: Mapping[bytes, int] | None = None,
    ) -> None:
        """`larger`: paths of methods whose messages may be larger than `max_message_bytes`, and how large."""
        super().__init__(handlers, codec=codec)
        self._larger = larger or {}
        self.options = options
        self.counters = counters
        self.grpclib_config = Configuration().__for_server__()
        # No encoding: header bytes are judged in `headers`, one request at a time.
        self.h2_config = H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_inbound_headers=False,
            normalize_outbound_headers=False,
        )
        self._dispatcher = Dispatcher(self._mapping, codec, self.__dispatch__, options, counters)
        self.tls: ssl.SSLContext | None = None
        """For handshakes from now on; replaced as a whole at a reload."""
        self.proxies = TrustedProxies(options.trusted_proxies)
        self._places = Places(options, counters)
        self.turns = Turns(counters)
        self._gates: set[Gate | Doorstep] = set()
        self._protocols: set[GuardedProtocol] = set()
        self._gone = asyncio.Event()
        self._sweeper = Sweeper(self._protocols, options, counters, self.turns)

    def __repr__(self) -> str:
        state = "draining" if self._places.closed else "open"
        return f"<GuardedServer {state} connections={self._places!r}>"

    @property
    def busy(self) -> bool:
        """A call is under way: its caller has not been told how it ended."""
        return any(connection.handler.calls for connection in self._protocols)

    async def start_on(self, bound: socket.socket, backlog: int) -> None:
        """Listen on a bound Unix socket (grpclib's own way removes a live one's file)."""
        self._server = await self._loop.create_unix_server(
            self._protocol_factory, sock=bound, backlog=backlog
        )

    @property
    def port(self) -> int:
        """The TCP port, 0 when there is none."""
        sockets = getattr(self._server, "sockets", None) or ()
        names = [each.getsockname() for each in sockets]
        return next((name[1] for name in names if isinstance(name, tuple)), 0)

    def _protocol_factory(self) -> protocol.H2Protocol:
        plain = self.tls is None and not self.proxies
        return cast(protocol.H2Protocol, (Doorstep if plain else Gate)(self, self._guarded))

    def _guarded(self) -> GuardedProtocol:
        return GuardedProtocol(self, GuardedHandler(self._dispatcher, self._larger))

    def enter(self, gate: Gate | Doorstep) -> bool:
        """Whether a new connection may stay. Unix sockets have no address and only the total bound."""
        if not self._places.take(gate.address):
            return False
        self._gates.add(gate)
        return True

    def introduce(self, gate: Gate, address: str) -> bool:
        """A balancer said for whom the connection is. False when that one has too many."""
        if not self._places.rename(gate.address, address):
            return False
        gate.address = address
        return True

    def passed(self, gate: Gate | Doorstep, connection: GuardedProtocol) -> None:
        """The connection is through the gate; its place goes with it."""
        self._gates.discard(gate)
        self._protocols.add(connection)
        self._sweeper.wake()

    def leave(self, gate: Gate | Doorstep) -> None:
        """Forget a connection that did not come through the gate; twice is once."""
        if gate in self._gates:
            self._gates.remove(gate)
            self._places.give_back(gate.address)

    def left(self, connection: GuardedProtocol) -> bool:
        """Forget a connection. False when it was never admitted."""
        if connection not in self._protocols:
            return False
        self._protocols.remove(connection)
        self._places.give_back(connection.address)
        if self._places.closed and not self._protocols:
            self._gone.set()
        return True

    def flooded(self, connection: GuardedProtocol, flood: str) -> None:
        """A connection is ended for a flood."""
        self.counters.count_end(flood)
        self._places.flooded(connection.address)

    async def drain(self, timeout_s: float) -> bool:
        """Stop listening, let every call end, say goodbye. False when `timeout_s` passed before that.

        What is still open then is for `aclose` to cut.
        """
        self._stop_listening()
        for connection in list(self._protocols):
            connection.drain()
        return await self._wait_gone(timeout_s)

    async def aclose(self) -> None:
        """Cut everything: calls in flight are cancelled, as if their callers had left."""
        handshakes = [gate.handshake for gate in self._gates if gate.handshake is not None]
        self._stop_listening()
        await asyncio.gather(*handshakes, return_exceptions=True)
        handlers = [connection.handler for connection in self._protocols]
        for connection in list(self._protocols):
            connection.cut()
        for handler in handlers:
            await handler.wait_closed()
        await self._wait_gone(CUT_S)

    def _stop_listening(self) -> None:
        self._places.closed = True
        if self._server is not None:
            self._server.close()
        for gate in list(self._gates):
            gate.cut()

    async def _wait_gone(self, timeout_s: float) -> bool:
        """Until the last connection has left."""
        if not self._protocols:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True
