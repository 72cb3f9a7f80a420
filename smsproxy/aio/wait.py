"""Waiting for a state that nobody announces: only for starts and drains, never on the road of a message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def settled(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = 0.005) -> bool:
    """True as soon as `condition()` holds, False after `timeout_s` seconds of looking every `poll_s`."""
    for _ in range(max(1, int(timeout_s / poll_s))):
        if condition():
            return True
        await asyncio.sleep(poll_s)
    return condition()
