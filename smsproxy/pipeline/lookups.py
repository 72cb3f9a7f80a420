"""Records asked for one at a time (SmsInfo), looked up in batches, so that polls never crowd the store.

However many callers ask at once, the store has one call of theirs under way, and messages, results and
receipts find it with a thread free. Asked through `Core.message_info`.
"""

from __future__ import annotations

import asyncio

from smsproxy.aio.coalescer import Coalescer, CoalescerFullError
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.record import MessageRecord
from smsproxy.stores.base import Store

BATCH_MAX = 500
WAITING_MAX = 10_000

_Asked = tuple[bytes, asyncio.Future[MessageRecord | None]]


class LookUps:
    """One coalescer around `Store.find`. `refused` is read at scrape time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: Coalescer[_Asked] = Coalescer(self._find, max_batch=BATCH_MAX, max_waiting=WAITING_MAX)
        self.refused = 0
        """Look-ups refused at WAITING_MAX."""

    async def find(self, message_id: bytes) -> MessageRecord | None:
        """The record, None when there is none. Raises StoreUnavailableError."""
        future: asyncio.Future[MessageRecord | None] = asyncio.get_running_loop().create_future()
        try:
            self._asked.add((message_id, future))
        except CoalescerFullError:
            self.refused += 1
            raise StoreUnavailableError(f"{WAITING_MAX} look-ups wait") from None
        return await future

    async def _find(self, batch: list[_Asked]) -> None:
        wanted = [(message_id, future) for message_id, future in batch if not future.done()]
        if not wanted:  # all callers have left
            return
        try:
            records = await self._store.find([message_id for message_id, _ in wanted])
        except Exception as error:  # supervised: callers wait behind this batch, whatever went wrong
            for _, future in wanted:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), record in zip(wanted, records, strict=True):
            if not future.done():
                future.set_result(record)
