"""`RpcServer`: the gRPC door as app.py sees it. Listens, serves, drains, closes.

It puts the parts together: our service, health and reflection behind the guarded server.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from grpclib.reflection.service import ServerReflection

from smsproxy.aio.unix_socket import bind_unix, forget_unix
from smsproxy.domain.endpoint import parse_endpoint
from smsproxy.pipeline.ports import Gateway
from smsproxy.rpc.codec import StrictCodec
from smsproxy.rpc.descriptors import POOL
from smsproxy.rpc.guard import GuardedServer
from smsproxy.rpc.health import HealthService
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.screen import SCREEN, SCREEN_BYTES, ContactPolicyService
from smsproxy.rpc.service import SmsService

if TYPE_CHECKING:
    from grpclib._typing import IServable

BACKLOG = 1024
"""Connections the kernel keeps while the loop is busy; every client of a restarted instance comes at once."""


class RpcServer:
    """The gRPC edge over one Gateway. `counters` are read at scrape time."""

    def __init__(
        self, gateway: Gateway, options: RpcOptions | None = None, counters: RpcCounters | None = None
    ) -> None:
        self.options = options or RpcOptions()
        self.counters = counters or RpcCounters()
        services: list[IServable] = [
            SmsService(gateway, self.options, self.counters),
            ContactPolicyService(gateway),
            HealthService(gateway, self.options, self.counters),
        ]
        self._server = GuardedServer(
            ServerReflection.extend(services, pool=POOL),
            StrictCodec(),
            self.options,
            self.counters,
            {SCREEN.encode(): SCREEN_BYTES},
        )
        self._path = ""

    def __repr__(self) -> str:
        return f"<RpcServer {self._server!r}>"

    async def start(self, listen: str, tls: ssl.SSLContext | None = None) -> None:
        """Listen. Raises OSError when the address is taken, ValueError when `listen` is not one."""
        where = parse_endpoint(listen)
        self._server.tls = tls
        if where.unix_path:
            bound = bind_unix(where.unix_path)
            self._path = where.unix_path
            await self._server.start_on(bound, BACKLOG)
            return
        await self._server.start(
            where.host,
            where.port,
            backlog=BACKLOG,
            reuse_port=self.options.reuse_port or None,
        )

    def renew_tls(self, tls: ssl.SSLContext) -> None:
        """New handshakes use `tls`, if there are any; connections that are open keep what they have."""
        if self._server.tls is not None:
            self._server.tls = tls

    @property
    def port(self) -> int:
        """The TCP port that is listened on (for `:0`); 0 on a Unix socket."""
        return self._server.port

    @property
    def busy(self) -> bool:
        """A call is under way; closing now would cut it off."""
        return self._server.busy

    async def drain(self, timeout_s: float) -> bool:
        """Stop as spec §9 says: no new calls, what was read is answered, GOAWAY. False past `timeout_s`."""
        done = await self._server.drain(timeout_s)
        self._forget_path()
        return done

    async def close(self) -> None:
        """Stop now. Calls in flight are cut; what they submitted is still recorded by the core."""
        await self._server.aclose()
        self._forget_path()

    def _forget_path(self) -> None:
        if self._path:
            forget_unix(self._path)
            self._path = ""
