"""Bounded waits: for a state that nobody announces (starts and drains only), and for a remote answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


async def settled(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = 0.005) -> bool:
    """True as soon as `condition()` holds, False after `timeout_s` seconds of looking every `poll_s`."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + timeout_s
    while not condition():
        if loop.time() >= give_up_at:
            return False
        await asyncio.sleep(poll_s)
    return True


_STALL_S = 0.005
_GRACE_S = 0.002


@asynccontextmanager
async def patience(timeout_s: float) -> AsyncIterator[None]:
    """As `asyncio.timeout`, but the loop's own lateness is nobody's fault.

    After a stall the timer runs before the answer that lies in the socket has been read. So a timer that is
    late looks again two milliseconds later, once.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + timeout_s

    def look() -> None:
        now = loop.time()
        guard.reschedule(now + (_GRACE_S if now - due > _STALL_S else 0))

    timer = loop.call_at(due, look)
    try:
        async with asyncio.timeout(None) as guard:
            yield
    finally:
        timer.cancel()
