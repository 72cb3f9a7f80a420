"""The port of the simulator, which can refuse and come back on the same number at any moment.

asyncio's servers open asynchronously; a script takes effect at once, so the listening socket is ours. While
refusing, the port stays bound without listening: nobody else gets it, and connects end ECONNREFUSED.
Called by `Smsc`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_BACKLOG = 1024
_ACCEPTS_A_TURN = 100
_PAUSE_S = 1.0
"""After an accept that failed for want of descriptors."""


class Listener:
    """One TCP port. `on_socket` gets each accepted connection."""

    def __init__(self, on_socket: Callable[[socket.socket], None]) -> None:
        self._on_socket = on_socket
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._address: tuple[str, int] = ("", 0)
        self._listening = False
        self.accept_errors = 0

    def __repr__(self) -> str:
        host, port = self._address
        return f"<Listener {host}:{port} {'listening' if self._listening else 'refusing'}>"

    def open(self, host: str, port: int, *, refuse: bool = False) -> int:
        """Take the port (0: any free one) and return its number. Raises OSError."""
        self._address = (host, port)
        self._bind()
        if not refuse:
            self.listen()
        return self._address[1]

    def listen(self) -> None:
        """Accept from now on."""
        if self._listening or self._socket is None:
            return
        self._socket.listen(_BACKLOG)
        self._loop.add_reader(self._socket.fileno(), self._accept)
        self._listening = True

    def refuse(self) -> None:
        """Refuse from now on. Connections that nobody had accepted yet are reset."""
        if self._listening:
            self.close()
            self._bind()

    def close(self) -> None:
        """Give the port back."""
        if self._socket is None:
            return
        if self._listening:
            self._loop.remove_reader(self._socket.fileno())
        self._listening = False
        self._socket.close()
        self._socket = None

    def _bind(self) -> None:
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError:
            self.close()
            raise
        self._address = (host, self._socket.getsockname()[1])

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            if self._socket is None:
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._rest(self._socket.fileno())
                return
            accepted.setblocking(False)
            self._on_socket(accepted)

    def _rest(self, number: int) -> None:
        """No descriptors: look again in a second instead of at once and for ever."""
        self.accept_errors += 1
        self._loop.remove_reader(number)
        self._loop.call_later(_PAUSE_S, self._wake, number)

    def _wake(self, number: int) -> None:
        if self._listening and self._socket is not None and self._socket.fileno() == number:
            self._loop.add_reader(number, self._accept)
