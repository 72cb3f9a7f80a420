"""Those who wait until something has been counted: tests, and the simulator's own end.

Kept by `Smsc`, which has them look again after every turn of the loop in which something may have changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from smsproxy.simulator.counters import Counters


class Waiters:
    """Each waits for a condition of its own. Made inside a running loop."""

    __slots__ = ("_counters", "_loop", "_waiting")

    def __init__(self, counters: Counters, loop: asyncio.AbstractEventLoop) -> None:
        self._counters = counters
        self._loop = loop
        self._waiting: dict[asyncio.Future[None], Callable[[Counters], bool]] = {}

    async def wait_for(self, condition: Callable[[Counters], bool], timeout_s: float) -> Counters:
        """Wait until `condition` holds of the counters. Raises TimeoutError with what was counted."""
        if condition(self._counters):
            return self._counters
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting[waiter] = condition
        try:
            async with asyncio.timeout(timeout_s):
                await waiter
        except TimeoutError:
            raise TimeoutError(f"not within {timeout_s} s; counted: {self._counters}") from None
        finally:
            del self._waiting[waiter]
        return self._counters

    def look(self) -> None:
        """Something may have been counted."""
        for waiter, condition in self._waiting.items():
            if not waiter.done() and condition(self._counters):
                waiter.set_result(None)
