"""Turns: who brings much at once is served in slices, so that who brings little is not kept waiting.

The event loop serves whoever is ready, whole, one after the other: a thousand frames in one read, or a
thousand calls that are late in one moment, would hold everybody's next answer back. What is more than a
slice waits here, and once in a turn of the loop, after the sockets that are ready, the next ones go on for
TURN_S. Suspects, who mostly reset what they open, go on one by one every SUSPECT_S: a flood has a fifth of
the processor at most until its budget ends it. Used by `doorstep`, `http2` and `sweep`; one per server.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol

from smsproxy.rpc.options import RpcCounters

TURN_S = 0.001
"""An answer takes some five turns of the loop; so floods cost it a few ms."""
SUSPECT_S = 0.005
"""Between two slices of suspects. A slice is some 1 ms of work."""
MAX_OCTETS = 16 * 1024 * 1024
"""What may wait here in all: sixty-four reads of the largest kind."""


class Waiter(Protocol):
    """Somebody with more than a slice to do."""

    @property
    def octets(self) -> int:
        """What it keeps in memory meanwhile."""
        ...

    @property
    def suspect(self) -> bool:
        """Perhaps a flood."""
        ...

    def take_turn(self) -> bool:
        """Do one slice. True: there is more. May not raise."""
        ...


class Turns:
    """A queue of those who wait; bounded by what they keep. Each waits once at a time."""

    def __init__(self, counters: RpcCounters) -> None:
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Waiter, int]] = deque()
        self._suspects: deque[tuple[Waiter, int]] = deque()
        self._octets = 0
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Turns waiting={len(self._waiting)} suspects={len(self._suspects)} octets={self._octets}>"

    def ask(self, waiter: Waiter) -> bool:
        """Whether it may wait for its turn. False, and counted: too much waits, it goes on at once."""
        octets = waiter.octets
        if self._octets + octets > MAX_OCTETS:
            self._counters.turns_full_total += 1
            return False
        self._counters.turns_total += 1
        self._enqueue(waiter, octets)
        self._schedule()
        return True

    def _enqueue(self, waiter: Waiter, octets: int) -> None:
        (self._suspects if waiter.suspect else self._waiting).append((waiter, octets))
        self._octets += octets

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)
        if self._suspects and self._timer is None:
            self._timer = self._loop.call_later(SUSPECT_S, self._suspect_turn)

    def _turn(self) -> None:
        """Everybody once at most, and nobody begins after TURN_S."""
        self._scheduled = False
        ends = time.perf_counter() + TURN_S
        try:
            for _ in range(len(self._waiting)):
                self._serve(self._waiting)
                if time.perf_counter() >= ends:
                    return
        finally:  # an error is for the loop's handler; the others go on
            self._schedule()

    def _suspect_turn(self) -> None:
        self._timer = None
        try:
            self._serve(self._suspects)
        finally:
            self._schedule()

    def _serve(self, queue: deque[tuple[Waiter, int]]) -> None:
        waiter, octets = queue.popleft()
        self._octets -= octets
        if waiter.take_turn():
            self._enqueue(waiter, waiter.octets)
