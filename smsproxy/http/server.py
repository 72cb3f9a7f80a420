"""`HttpServer`: uvicorn as one part of the daemon rather than its owner.

uvicorn likes to take SIGTERM for itself and to exit the process when it cannot listen; here it does neither.
app.py starts it last and closes it last, so that /readyz tells of the drain while it lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn

from smsproxy.aio.unix_socket import forget_unix
from smsproxy.http.base import HttpState, TokenGrants
from smsproxy.http.listener import open_listener
from smsproxy.http.patience import PatientProtocol
from smsproxy.http.routes import application

MAX_CONNECTIONS = 256
"""Of four addresses that hold all they may (`patience`); the next one gets 503."""
KEEP_ALIVE_S = 5
CLOSE_S = 1
"""How long answers under way may take at the end; ours take milliseconds."""
MAX_HEADER_BYTES = 16_384


class HttpServer:
    """The HTTP door on `listen`; "" turns it off, and start and aclose do nothing.

    Without `grants` there is no token endpoint.
    """

    def __init__(self, listen: str, state: HttpState, grants: TokenGrants | None = None) -> None:
        self._listen = listen
        self._state = state
        self._grants = grants
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._path = ""
        self._tls: ssl.SSLContext | None = None
        self.port = 0
        """The TCP port that is listened on (for `:0`); 0 when off or on a Unix socket."""

    def __repr__(self) -> str:
        state = "off" if not self._listen else "listening" if self._serving else "closed"
        return f"<HttpServer {self._listen!r} {state} port={self.port}>"

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, with `tls` if there is one.

        Raises OSError with the address in its text, ValueError when it is not an address.
        """
        if not self._listen:
            return
        bound = open_listener(self._listen)
        where = bound.getsockname()
        if bound.family == socket.AF_UNIX:
            self._path = where
        else:
            self.port = where[1]
        self._tls = tls
        if tls is not None:
            tls.sni_callback = self._choose_tls
        self._server = _Server(_config(self._state, self._grants, tls))
        self._serving = asyncio.create_task(self._server.serve([bound]), name="http")
        await self._server.listening.wait()
        if not self._server.started:
            await self._serving  # raises what went wrong

    def renew_tls(self, tls: ssl.SSLContext) -> None:
        """New handshakes use `tls`, if there are any: a plaintext listener stays one."""
        if self._tls is not None:
            self._tls = tls

    def _choose_tls(self, handshake: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        """Called in every handshake (uvicorn keeps the context it was started with)."""
        if self._tls is not None:
            handshake.context = self._tls

    async def aclose(self) -> None:
        """Stop listening, finish the answers under way, close the connections. Twice is once."""
        server, serving = self._server, self._serving
        self._server = self._serving = None
        if server is None or serving is None:
            return
        server.should_exit = True
        await serving
        if self._path:
            forget_unix(self._path)


def _config(state: HttpState, grants: TokenGrants | None, tls: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        application(state, grants),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="error",  # its warnings are about what strangers send, a line each
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    config.load()
    config.ssl = tls
    return config


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and with an event in place of a flag to poll."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT are the daemon's (lifecycle.py); uvicorn ends when `should_exit` is set."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()
