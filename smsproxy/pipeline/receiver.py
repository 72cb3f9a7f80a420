"""Receipts: stored first, then answered ok (promise P5). In batches, whatever message they belong to.

A receipt that the store cannot take within five seconds of its arrival is sent back: the SMSC is asked to
repeat it (ESME_RX_T_APPN), so that it is never lost between us.
"""

from __future__ import annotations

import asyncio

from smsproxy.aio.coalescer import Coalescer
from smsproxy.links.base import Delivery
from smsproxy.obs.log import Log
from smsproxy.pipeline.attempts import Attempts
from smsproxy.stores.base import Store

HOLD_S = 5.0
RETRY_S = 0.25
_BATCH_MAX = 10_000
"""Reads: while the store is away, none waits behind the hold of others."""
_WAITING_MAX = 100_000
"""Receipts without an answer, of all links."""

_Held = tuple[float, Delivery]
"""(when they are sent back at the latest, the receipts of one read)"""


class Receiver:
    """Takes receipts from links to the store and answers them. Counters are read at scrape time."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._receives = Attempts(log, "store_receive")
        self._batches: Coalescer[_Held] = Coalescer(
            self._keep, max_batch=_BATCH_MAX, max_waiting=_WAITING_MAX
        )
        self._waiting = 0
        self.stored = 0
        self.sent_back = 0

    @property
    def idle(self) -> bool:
        return self._batches.idle

    def received(self, deliveries: list[Delivery]) -> None:
        """Each will be answered once: ok when it is stored, else "repeat it"."""
        give_up_at = self._loop.time() + HOLD_S
        for delivery in deliveries:
            self._waiting += len(delivery.receipts)
            if self._waiting > _WAITING_MAX:
                self._send_back(delivery)
            else:
                self._batches.add((give_up_at, delivery))

    async def _keep(self, held: list[_Held]) -> None:
        while held:
            began_at = self._loop.time()
            if await self._try(held):
                for _, delivery in held:
                    self.stored += len(delivery.receipts)
                    self._answer(delivery, stored=True)
                return
            now = self._loop.time()
            last_chance = now + RETRY_S + (now - began_at)  # the next try may take as long as this one
            for give_up_at, delivery in held:
                if give_up_at < last_chance:
                    self._send_back(delivery)
            held = [one for one in held if one[0] >= last_chance]
            if held:
                await asyncio.sleep(RETRY_S)

    async def _try(self, held: list[_Held]) -> bool:
        """Whether the store has them. Not waited for past the hold of the oldest: a disk may hang. What it
        stores all the same is a repetition when it comes again."""
        receipts = [receipt for _, delivery in held for receipt in delivery.receipts]
        try:
            async with asyncio.timeout_at(held[0][0]):
                return await self._receives.done(self._store.receive(receipts))
        except TimeoutError:
            return False

    def _send_back(self, delivery: Delivery) -> None:
        self.sent_back += len(delivery.receipts)
        self._answer(delivery, stored=False)

    def _answer(self, delivery: Delivery, *, stored: bool) -> None:
        self._waiting -= len(delivery.receipts)
        delivery.answer(stored)
