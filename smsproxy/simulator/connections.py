"""From an accepted socket to a session: TLS, the wire, and which sessions there are.

Made by `Smsc`, whose listener hands over the sockets. A connection ends by itself, or by what `Smsc` does to
its session.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator

from smsproxy.simulator.account import Accounts
from smsproxy.simulator.core import Core
from smsproxy.simulator.intake import Intake
from smsproxy.simulator.session import SmscSession
from smsproxy.simulator.wire import Wire

MAX_SESSIONS = 1000
_HANDSHAKE_S = 10.0


class Connections:
    """All connections of one simulator."""

    def __init__(
        self, core: Core, accounts: Accounts, intake: Intake, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.tls: ssl.SSLContext | None = None
        """For the connections that come; None is plaintext."""
        self._core = core
        self._accounts = accounts
        self._intake = intake
        self._loop = loop
        self._sessions: dict[int, SmscSession] = {}
        self._last_session = 0
        self._accepting: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        return f"<Connections sessions={len(self._sessions)} accepting={len(self._accepting)}>"

    def __iter__(self) -> Iterator[SmscSession]:
        """The sessions whose connection has not ended, oldest first; of those of now."""
        return iter([session for session in self._sessions.values() if not session.ended])

    def accepted(self, accepted: socket.socket) -> None:
        """Make a session of it, if there is room for one."""
        if len(self._sessions) >= MAX_SESSIONS:
            self._core.counters.connections_refused += 1
            accepted.close()
            return
        task = self._loop.create_task(self._connect(accepted), name="smsc-accept")
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def settle(self, timeout_s: float) -> None:
        """Wait until every socket that was accepted is a session, or nothing."""
        if self._accepting:
            await asyncio.wait(self._accepting, timeout=timeout_s)

    def cut(self) -> None:
        """RST on everything that is still there, what is ending included."""
        for session in list(self._sessions.values()):
            session.cut()

    async def _connect(self, accepted: socket.socket) -> None:
        handshake_s = _HANDSHAKE_S if self.tls is not None else None
        try:
            await self._loop.connect_accepted_socket(
                self._wire, accepted, ssl=self.tls, ssl_handshake_timeout=handshake_s
            )
        except OSError as error:  # TLS that failed is one as well
            self._core.counters.connections_refused += 1
            accepted.close()
            if self._core.say is not None:
                self._core.say(f"no connection: {error}")

    def _wire(self) -> Wire:
        def reader(wire: Wire) -> SmscSession:
            self._last_session += 1
            return SmscSession(
                self._last_session, self._core, self._accounts, self._intake, wire, self._sessions
            )

        return Wire(self._core, reader)
