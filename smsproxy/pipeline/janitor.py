"""Housekeeping for life: retention, parked receipts, the mark that a restart reads first.

Started by app.py, cancelled at the stop.
"""

from __future__ import annotations

import asyncio
import time

from smsproxy.obs.log import Log
from smsproxy.pipeline.attempts import Attempts
from smsproxy.stores.base import Store

PASS_S = 1.0


async def run_janitor(store: Store, log: Log) -> None:
    """Sweep until cancelled. A full step is followed by another at once, so retention keeps up."""
    attempts = Attempts(log, "store_sweep")
    while True:
        swept = await attempts.result(store.sweep(time.time()))
        await asyncio.sleep(0 if swept else PASS_S)
