"""Receipts: stored first, then answered ok (promise P5). In batches, whatever message they belong to.

A receipt that the store cannot take is held for five seconds and tried again; then the SMSC is asked to
repeat it (ESME_RX_T_APPN), so that it is never lost between us.
"""

from __future__ import annotations

import asyncio

from smsproxy.aio.coalescer import Coalescer, CoalescerFullError
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.links.base import Delivery
from smsproxy.obs.log import Log
from smsproxy.stores.base import Store

HOLD_S = 5.0
_RETRY_S = 0.25


class Receiver:
    """Takes receipts from links to the store and answers them."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._batches: Coalescer[Delivery] = Coalescer(self._keep)
        self.stored = 0
        self.sent_back = 0

    @property
    def idle(self) -> bool:
        return self._batches.idle

    def received(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            try:
                self._batches.add(delivery)
            except CoalescerFullError:
                self._send_back([delivery])

    async def _keep(self, batch: list[Delivery]) -> None:
        receipts = [delivery.receipt for delivery in batch]
        give_up_at = asyncio.get_running_loop().time() + HOLD_S
        while True:
            try:
                await self._store.receive(receipts)
            except StoreUnavailableError as error:
                if asyncio.get_running_loop().time() + _RETRY_S > give_up_at:
                    self._log.error("receipts_sent_back", count=len(batch), reason=str(error))
                    self._send_back(batch)
                    return
                await asyncio.sleep(_RETRY_S)
            else:
                break
        self.stored += len(batch)
        for delivery in batch:
            delivery.answer(True)

    def _send_back(self, batch: list[Delivery]) -> None:
        self.sent_back += len(batch)
        for delivery in batch:
            delivery.answer(False)
