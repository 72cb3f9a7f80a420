"""Waiting for a state that nobody announces: only for starts and drains, never on the road of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def settled(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = 0.005) -> bool:
    """True as soon as `condition()` holds, False after `timeout_s` seconds of looking every `poll_s`."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + timeout_s
    while not condition():
        if loop.time() >= give_up_at:
            return False
        await asyncio.sleep(poll_s)
    return True
