"""Housekeeping for life: retention, parked receipts, the mark that a restart reads first."""

from __future__ import annotations

import asyncio
import time

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.obs.log import Log
from smsproxy.stores.base import Store

PASS_S = 1.0


async def run_janitor(store: Store, log: Log) -> None:
    """Sweep until cancelled. A full step is followed by another at once, so retention keeps up."""
    failed = False
    while True:
        try:
            swept = await store.sweep(time.time())
            failed = False
        except StoreUnavailableError as error:
            swept = 0
            if not failed:  # one line per state change
                log.error("sweep_failed", reason=str(error))
            failed = True
        await asyncio.sleep(0 if swept else PASS_S)
