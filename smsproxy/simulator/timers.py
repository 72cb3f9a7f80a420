"""All waits of the simulator in one heap, with one timer of the loop: a task per message would cost more.

Called by the intake for answers and receipts, and by `Smsc` for what comes round again and again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Protocol

from smsproxy.simulator.counters import Counters

MAX_WAITING = 1_000_000
"""A minute of delayed answers and receipts at 8,000 messages a second."""

GRAIN_S = 0.001
"""Calls come up to this late, so that those of a millisecond share a wake-up and a write; never early."""


class Loop(Protocol):
    """What is needed of an event loop; tests turn the clock by hand."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> asyncio.TimerHandle: ...


class Timers:
    """Calls things later, in the order of their time, and of their asking where that is equal."""

    __slots__ = (
        "_after_turn",
        "_alarm",
        "_asked",
        "_counters",
        "_heap",
        "_loop",
        "_max_waiting",
        "_wakes_at",
    )

    def __init__(
        self,
        loop: Loop,
        counters: Counters,
        max_waiting: int = MAX_WAITING,
        after_turn: Callable[[], None] = lambda: None,
    ) -> None:
        """`after_turn` is called once whenever calls were made."""
        self._loop = loop
        self._after_turn = after_turn
        self._counters = counters
        self._max_waiting = max_waiting
        self._heap: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._asked = 0
        self._alarm: asyncio.TimerHandle | None = None
        self._wakes_at = float("inf")

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, delay_s: float, call: Callable[..., object], *args: object) -> None:
        """Call `call(*args)` in `delay_s` seconds; with `max_waiting` calls waiting: never, and counted."""
        if len(self._heap) >= self._max_waiting:
            self._counters.timers_dropped += 1
            return
        due = self._loop.time() + delay_s
        self._asked += 1
        heapq.heappush(self._heap, (due, self._asked, call, args))
        if due < self._wakes_at:
            self._set_alarm(due)

    def clear(self) -> None:
        """Forget everything that waits."""
        self._heap.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._wakes_at = float("inf")

    def _set_alarm(self, due: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._wakes_at = due
        self._alarm = self._loop.call_at(due + GRAIN_S, self._ring)

    def _ring(self) -> None:
        """Call what is due. What a call adds for right now waits for the next turn of the loop."""
        self._alarm = None
        self._wakes_at = float("inf")
        now, newest, heap = self._loop.time(), self._asked, self._heap
        try:
            while heap and heap[0][0] <= now and heap[0][1] <= newest:
                _, _, call, args = heapq.heappop(heap)
                call(*args)
        finally:
            self._after_turn()
            if heap and heap[0][0] < self._wakes_at:
                self._set_alarm(heap[0][0])
