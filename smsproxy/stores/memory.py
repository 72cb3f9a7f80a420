"""The store of ``memory:``: the contract of base.Store in dictionaries, for tests and trials.

Nothing survives a restart. It obeys the same contract suite as the durable stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import FINAL, MessageRecord, SegmentRecord, SegmentState
from smsproxy.stores.base import (
    PARKING_MAX,
    PARKING_S,
    Intent,
    ReceiptMode,
    SegmentResult,
    new_counters,
)

_Key = tuple[str, str]


class MemoryStore:
    """See base.Store for the contract of every method."""

    def __init__(self, *, retention_s: float) -> None:
        self._retention_s = retention_s
        self._records: dict[bytes, MessageRecord] = {}
        self._by_receipt: dict[_Key, SegmentRecord] = {}
        self._keys: dict[bytes, list[_Key]] = {}
        self._parked: dict[_Key, Receipt] = {}
        self._generation = 0
        self.counters = new_counters()

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to flush."""

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        return [self._create(intent) for intent in intents]

    def _create(self, intent: Intent) -> bool:
        present = self._records.get(intent.message_id)
        if present is not None:
            if not intent.replaces or present.generation != intent.replaces:
                return False
            self._drop(intent.message_id)
        self._generation += 1
        intent.generation = self._generation
        self._records[intent.message_id] = MessageRecord(
            intent.message_id,
            intent.app_id,
            intent.link_id,
            intent.transaction_id,
            intent.task_id,
            intent.created_at,
            [
                SegmentRecord(SegmentState.SUBMITTING, updated_at=intent.created_at)
                for _ in range(intent.segments)
            ],
            receipts_expected=intent.receipts is not ReceiptMode.NONE,
            last_receipt_settles_all=intent.receipts is ReceiptMode.LAST,
            generation=intent.generation,
        )
        self.counters["intents_stored"] += 1
        return True

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        for result in results:
            self._settle(result)

    def _settle(self, result: SegmentResult) -> None:
        record = self._records.get(result.intent.message_id)
        if record is None or record.generation != result.intent.generation:
            return
        segment = record.segments[result.segment_no - 1]
        if segment.state not in (SegmentState.SUBMITTING, SegmentState.UNKNOWN):
            return
        segment.state, segment.smsc_id = result.state, result.smsc_id
        segment.reason, segment.updated_at = result.reason, result.at
        if result.receipt_key:
            self._bind_receipt((result.intent.account, result.receipt_key), record, segment)
        self.counters["results_stored"] += 1

    def _bind_receipt(self, key: _Key, record: MessageRecord, segment: SegmentRecord) -> None:
        if self._by_receipt.get(key, segment) is not segment:
            self.counters["smsc_ids_reused"] += 1
        self._by_receipt[key] = segment
        self._keys.setdefault(record.message_id, []).append(key)
        parked = self._parked.pop(key, None)
        if parked is not None and segment.state is SegmentState.SUBMITTED:
            segment.state, segment.reason, segment.updated_at = parked.state, parked.reason, parked.at

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            record = self._records.get(intent.message_id)
            if record is not None and record.generation == intent.generation:
                self._drop(intent.message_id)
        self.counters["intents_withdrawn"] += len(intents)

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            self._receive(receipt)
        self.counters["receipts_stored"] += len(receipts)

    def _receive(self, receipt: Receipt) -> None:
        key = (receipt.account, receipt.receipt_key)
        segment = self._by_receipt.get(key)
        if segment is None:
            if len(self._parked) >= PARKING_MAX:
                self._parked.pop(next(iter(self._parked)))
                self.counters["receipts_parking_overflow"] += 1
            self._parked[key] = receipt
            self.counters["receipts_parked"] += 1
        elif segment.state not in FINAL:
            segment.state, segment.reason, segment.updated_at = receipt.state, receipt.reason, receipt.at

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        found = [deepcopy(self._records.get(message_id)) for message_id in message_ids]
        for record in found:
            if record is not None:
                record.spread_last_receipt()
        return found

    async def sweep(self, now: float) -> int:
        lapsed = [key for key, receipt in self._parked.items() if receipt.at + PARKING_S < now]
        for key in lapsed:
            del self._parked[key]
        self.counters["receipts_lapsed"] += len(lapsed)
        old = [one.message_id for one in self._records.values() if one.sent_at + self._retention_s < now]
        for message_id in old:
            self._drop(message_id)
        self.counters["messages_swept"] += len(old)
        return len(old)

    def _drop(self, message_id: bytes) -> None:
        del self._records[message_id]
        for key in self._keys.pop(message_id, ()):
            self._by_receipt.pop(key, None)
