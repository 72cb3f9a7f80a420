"""How a connection ends in a drain, in the one way that loses no answer of any client library (spec §9).

    limit of 0 streams ─> acknowledged, last stream over ─> PING ─> answered ─> a moment ─> GOAWAY, close

Until the peer acknowledged the limit, a request may be on its way: it is still served. Until it answered the
PING, it may not have read the last answer, and clients on h2 (grpclib among them) take a GOAWAY that comes
right behind an answer for the end of that call. A peer that answers neither is waited for `PATIENCE_S` twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from h2.settings import SettingCodes

from smsproxy.rpc.events import FAREWELL_PING
from smsproxy.rpc.flow import GuardedConnection

PATIENCE_S = 0.5
MOMENT_S = 0.05
"""For the callers' tasks to run: their library has the answers, they may not yet."""


class Farewell:
    """The drain of one connection. `idle` says that no stream is open, `goodbye` sends GOAWAY and closes."""

    def __init__(
        self, connection: GuardedConnection, idle: Callable[[], bool], goodbye: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._idle = idle
        self._goodbye = goodbye
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._patience_over = False
        self._pinged = False
        self._ready = False

    def begin(self) -> None:
        self._connection.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        self._connection.flush()
        self._timer = self._loop.call_later(PATIENCE_S, self._no_acknowledgement)
        self.check()

    def check(self) -> None:
        """Called whenever the connection may have become idle, or the peer acknowledged."""
        if not self._idle():
            return
        if self._ready:
            self._goodbye()
        elif not self._pinged and (self._acknowledged or self._patience_over):
            self._pinged = True
            self._connection.h2.ping(FAREWELL_PING)
            self._connection.flush()
            self._wait(PATIENCE_S)

    def ponged(self) -> None:
        """The peer has read everything that was sent before the PING."""
        self._wait(MOMENT_S)

    def cancel(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _acknowledged(self) -> bool:
        return self._connection.h2.local_settings.max_concurrent_streams == 0

    def _wait(self, seconds: float) -> None:
        self.cancel()
        self._timer = self._loop.call_later(seconds, self._be_ready)

    def _no_acknowledgement(self) -> None:
        self._patience_over = True
        self.check()

    def _be_ready(self) -> None:
        self._ready = True
        self.check()
