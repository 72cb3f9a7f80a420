"""`RpcServer`: the gRPC door as app.py sees it. Listens, serves, drains, closes.

It puts the parts together: our service, health and reflection behind the guarded server.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grpclib.reflection.service import ServerReflection

from smsproxy.pipeline.ports import Gateway
from smsproxy.rpc.codec import StrictCodec
from smsproxy.rpc.descriptors import POOL
from smsproxy.rpc.guard import GuardedServer
from smsproxy.rpc.health import HealthService
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.service import SmsService

if TYPE_CHECKING:
    from grpclib._typing import IServable

BACKLOG = 1024
"""Connections the kernel keeps while the loop is busy; every client of a restarted instance comes at once."""


@dataclass(frozen=True, slots=True)
class Listen:
    """A parsed `server.listen`: a Unix path, or host and port."""

    host: str = ""
    port: int = 0
    path: str = ""


def parse_listen(text: str) -> Listen:
    """``host:port``, ``[v6]:port`` or ``unix:/path``. Raises ValueError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"listen {text!r}: the path is missing")
        return Listen(path=path)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"listen {text!r}: write an IPv6 address as [address]:port")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 0xFFFF:
        raise ValueError(f"listen {text!r}: expected host:port, [v6]:port or unix:/path")
    return Listen(host=host, port=int(port))


def bind_unix(path: str) -> socket.socket:
    """A listening-ready Unix socket. A file left by a dead process is replaced, a live one is OSError."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            probe.connect(path)
            raise OSError(errno.EADDRINUSE, f"another process listens on {path}")
    except ConnectionRefusedError:
        os.unlink(path)
    except FileNotFoundError:
        pass
    finally:
        probe.close()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
    except OSError:
        bound.close()
        raise
    return bound


class RpcServer:
    """The gRPC edge over one Gateway. `counters` are read at scrape time."""

    def __init__(
        self, gateway: Gateway, options: RpcOptions | None = None, counters: RpcCounters | None = None
    ) -> None:
        self.options = options or RpcOptions()
        self.counters = counters or RpcCounters()
        services: list[IServable] = [
            SmsService(gateway, self.options, self.counters),
            HealthService(gateway, self.options, self.counters),
        ]
        self._server = GuardedServer(
            ServerReflection.extend(services, pool=POOL), StrictCodec(), self.options, self.counters
        )
        self._path = ""

    def __repr__(self) -> str:
        return f"<RpcServer {self._server!r}>"

    async def start(self, listen: str, tls: ssl.SSLContext | None = None) -> None:
        """Listen. Raises OSError when the address is taken, ValueError when `listen` is not one."""
        where = parse_listen(listen)
        if where.path:
            bound = bind_unix(where.path)
            self._path = where.path
            await self._server.start_on(bound, tls, BACKLOG)
            return
        await self._server.start(
            where.host,
            where.port,
            ssl=tls,
            backlog=BACKLOG,
            reuse_port=self.options.reuse_port or None,
        )

    @property
    def port(self) -> int:
        """The TCP port that is listened on (for `:0`); 0 on a Unix socket."""
        return self._server.port

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
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            self._path = ""
