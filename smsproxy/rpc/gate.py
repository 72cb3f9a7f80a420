"""The gate: what a connection passes before HTTP/2, where the listener has TLS or trusted proxies.

    accept ─> a place ─> PROXY header, from trusted proxies ─> TLS handshake, ALPN h2 ─> GuardedProtocol

A connection counts from accept on, and has `first_byte_s` for each of the two steps. Octets are read for the
step that is next and no further: the kernel keeps the rest. A plain listener has a `doorstep` instead.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from smsproxy.aio.server_tls import H2
from smsproxy.rpc.proxy import PREFIX_BYTES, ProxyError, rest_bytes, source
from smsproxy.rpc.status import internal_error

if TYPE_CHECKING:
    from smsproxy.rpc.guard import GuardedServer
    from smsproxy.rpc.http2 import GuardedProtocol

SHUTDOWN_S = 1.0
"""How long a peer may take to confirm the end of TLS before the socket is closed on it."""


def address_of(transport: asyncio.BaseTransport) -> str:
    """The peer's; "" on a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


class Gate(asyncio.BufferedProtocol):
    """One connection up to the first octet of HTTP/2. `server` gives it a place and takes it back."""

    def __init__(self, server: GuardedServer, inside: Callable[[], GuardedProtocol]) -> None:
        self.address = ""
        self._server = server
        self._inside = inside
        self._header = bytearray(PREFIX_BYTES)
        self._got = 0
        self._prefix = b""
        self._direct = False
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = address_of(transport)
        proxied = self._server.proxies.trust(peer)
        self.address = "" if proxied else peer
        if not self._server.enter(self):
            self._transport.abort()
        elif proxied:
            first_byte_s = self._server.options.first_byte_s
            self._timer = asyncio.get_running_loop().call_later(first_byte_s, self._end, "silent")
        else:
            self._transport.pause_reading()
            self._direct = True
            self._next_step()

    # -- the PROXY header ------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """The rest of the prefix or of the header, and nothing beyond it (or see `_feed`)."""
        return memoryview(self._header)[self._got :]

    def buffer_updated(self, count: int) -> None:
        self._got += count
        if self._transport is None or (self._got < len(self._header) and not self._direct):
            return
        if self._direct:
            self._transport.pause_reading()
            return
        header = bytes(self._header)
        try:
            if not self._prefix:
                self._prefix, header = header, b""
                self._header, self._got = bytearray(rest_bytes(self._prefix)), 0
            if self._got == len(self._header):
                self._transport.pause_reading()
                self._introduced(source(self._prefix, header))
        except ProxyError:
            self._end("proxy")

    def _introduced(self, address: str | None) -> None:
        """The header is read. Without a word on the caller it is the balancer itself that calls."""
        if self._timer is not None:
            self._timer.cancel()
        transport = cast(asyncio.Transport, self._transport)
        if self._server.introduce(self, address or address_of(transport)):
            self._next_step()
        else:
            self._end()

    # -- TLS -------------------------------------------------------------------------------------------------

    def _next_step(self) -> None:
        transport, tls = cast(asyncio.Transport, self._transport), self._server.tls
        if tls is not None:
            self.handshake = asyncio.get_running_loop().create_task(self._shake_hands(transport, tls))
            return
        protocol = self._inside()
        transport.set_protocol(protocol)
        self._server.passed(self, protocol)
        protocol.come_in(transport, self.address)
        transport.resume_reading()

    def _feed(self, transport: asyncio.Transport) -> None:
        """uvloop begins to read after `connection_made`, paused or not: the peer's first octets may be here.

        Called between the two steps of `start_tls`: its protocol is in place and keeps what it is given until
        the handshake begins. asyncio's own loop reads nothing before.
        """
        early, tls = self._header[: self._got], cast(asyncio.BufferedProtocol, transport.get_protocol())
        memoryview(tls.get_buffer(len(early)))[: len(early)] = early
        tls.buffer_updated(len(early))

    async def _shake_hands(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        hold, loop = _Hold(), asyncio.get_running_loop()
        if self._direct and self._got:
            loop.call_soon(self._feed, transport)
        try:
            secure = await loop.start_tls(
                transport,
                hold,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._server.options.first_byte_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except ConnectionAbortedError:  # the handshake's time-out
            self._end("silent")
        except ssl.SSLError:
            self._end("tls")
        except OSError:
            self._end()  # the peer left
        except Exception as error:  # the peer's octets must never reach the event loop's handler
            internal_error(error)
            self._server.counters.internal_errors_total += 1
            self._end()
        else:
            self._secured(secure, hold)
        finally:
            self._server.leave(self)  # also when the task was cancelled; no matter when the connection passed

    def _secured(self, secure: asyncio.Transport | None, hold: _Hold) -> None:
        """`secure` is None when the peer left in the very moment (CPython 3.11)."""
        if secure is None or hold.lost:
            self._end()
            return
        self._transport = secure
        if secure.get_extra_info("ssl_object").selected_alpn_protocol() != H2:
            self._end("alpn")
            return
        protocol = self._inside()
        secure.set_protocol(protocol)
        self._server.passed(self, protocol)
        protocol.come_in(secure, self.address, certified=bool(secure.get_extra_info("peercert")))
        if hold.early:
            protocol.data_received(bytes(hold.early))

    # -- the end ---------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Let nobody in: the server stops, or the peer has left."""
        if self.handshake is not None:
            self.handshake.cancel()
        self._end()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Before TLS began; after that the handshake tells."""
        self.cut()

    def _end(self, cause: str = "") -> None:
        if self._timer is not None:
            self._timer.cancel()
        if cause:
            self._server.counters.count_end(cause)
        if self._transport is not None:
            self._transport.abort()
        self._server.leave(self)


class _Hold(asyncio.Protocol):
    """Stands in while TLS is set up. It keeps what is decrypted before `GuardedProtocol` stands ready: what
    comes in a loop turn, at most one read of the socket."""

    def __init__(self) -> None:
        self.early = bytearray()
        self.lost = False

    def data_received(self, data: Any) -> None:
        self.early += data

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = True
