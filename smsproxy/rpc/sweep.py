"""The sweep: a few times a second every connection is looked at, and what `watch` decides is done.

One timer for the whole server, running only while somebody is connected. Calls that are late are ended in
`turns`, a few at a time: they may be as many as all connections hold. Started by `guard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING

from smsproxy.rpc.events import KEEPALIVE_PING
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.turns import Turns
from smsproxy.rpc.watch import Unfinished, Verdict

if TYPE_CHECKING:
    from smsproxy.rpc.http2 import GuardedProtocol

SWEEPS = 5
"""How often the shortest patience is looked at before it ends, and at least how often a second."""
LATE_CALLS = 16
"""A slice: the end of a call is some 60 µs of its task."""


class LateCalls:
    """Calls whose message took too long, and that wait to be told so."""

    octets = 0
    suspect = False

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._calls: dict[Unfinished, None] = {}

    def add(self, calls: Collection[Unfinished]) -> None:
        """Again is once."""
        waits = bool(self._calls)
        self._calls.update(dict.fromkeys(calls))
        if self._calls and not waits and not self._turns.ask(self):
            while self.take_turn():
                pass

    def take_turn(self) -> bool:
        """See turns.Waiter. Whose message came meanwhile, or who left, is not late any more."""
        for call in list(islice(self._calls, LATE_CALLS)):
            del self._calls[call]
            if call.unfinished:
                call.give_up_message()
        return bool(self._calls)


class Sweeper:
    """Looks at `connections`, the server's own set, while there are any."""

    def __init__(
        self,
        connections: Collection[GuardedProtocol],
        options: RpcOptions,
        counters: RpcCounters,
        turns: Turns,
    ) -> None:
        self._connections = connections
        self._counters = counters
        self._late = LateCalls(turns)
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
            self._late.add(connection.watch.late_messages(calls, now))
