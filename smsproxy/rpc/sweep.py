"""The sweep: a few times a second every connection is looked at, and what `watch` decides is done.

One timer for the whole server, running only while somebody is connected. Started by `guard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from smsproxy.rpc.events import KEEPALIVE_PING
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.watch import Verdict

if TYPE_CHECKING:
    from smsproxy.rpc.http2 import GuardedProtocol

SWEEPS = 5
"""How often the shortest patience is looked at before it ends, and at least how often a second."""


class Sweeper:
    """Looks at `connections`, the server's own set, while there are any."""

    def __init__(
        self, connections: Collection[GuardedProtocol], options: RpcOptions, counters: RpcCounters
    ) -> None:
        self._connections = connections
        self._counters = counters
        self._every_s = min(options.first_byte_s, options.message_s, options.idle_s, 1.0) / SWEEPS
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There is a connection to look at."""
        if self._timer is None and self._connections:
            self._timer = self._loop.call_later(self._every_s, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._loop.time()
        for connection in list(self._connections):
            if not connection.closed:
                self._look_at(connection, now)
        self.wake()

    def _look_at(self, connection: GuardedProtocol, now: float) -> None:
        calls = connection.handler.calls
        verdict = connection.verdict(now)
        if verdict in (Verdict.SILENT, Verdict.UNFINISHED, Verdict.DEAD):
            self._counters.count_end(verdict.name.lower())
            connection.cut()
        elif verdict in (Verdict.IDLE, Verdict.OLD):
            self._counters.count_end(verdict.name.lower())
            connection.goodbye()
        elif verdict is Verdict.RETIRE:
            if connection.handler.bears_limit_0 and connection.say_farewell():
                self._counters.count_end(Verdict.OLD.name.lower())
        elif verdict is Verdict.PING:
            connection.connection.h2.ping(KEEPALIVE_PING)
            connection.connection.flush()
        if not connection.connection.starved:
            for call in connection.watch.late_messages(calls, now):
                call.give_up_message()
