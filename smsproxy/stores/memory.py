"""The store of ``memory:``: the contract of base.Store in dictionaries, for tests and trials.

Nothing survives a restart. It obeys the same contract suite as the durable stores, and is the plainest way to
read what they promise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import (
    AWAITS_RECEIPT,
    AWAITS_RESULT,
    MessageRecord,
    SegmentRecord,
    SegmentState,
)
from smsproxy.stores.base import Intent, SegmentResult, new_counters
from smsproxy.stores.parking import Parked, Parking

SWEEP_STEP = 500
_MAX_MESSAGES = 1_000_000
"""About a kilobyte each. Past it new messages are refused: a store that forgets would send twice."""

_Key = tuple[str, str]


@dataclass(slots=True, eq=False)
class _Stored:
    """A record, and the receipt key of each of its segments."""

    record: MessageRecord
    keys: list[_Key | None]


class MemoryStore:
    """See base.Store for the contract of every method."""

    def __init__(self, *, retention_s: float, max_messages: int = _MAX_MESSAGES) -> None:
        self._retention_s = retention_s
        self._max_messages = max_messages
        self._stored: dict[bytes, _Stored] = {}
        """In order of creation: a takeover goes to the end."""
        self._by_receipt: dict[_Key, tuple[_Stored, int]] = {}
        """Whose the key is: the record and the index of its segment."""
        self._parking: Parking[_Key] = Parking()
        self._generation = 0
        self.counters = new_counters()

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to flush."""

    # -- intents --------------------------------------------------------------------------------------------

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        if len(self._stored) + len(intents) > self._max_messages:
            raise StoreUnavailableError(f"memory: is full ({self._max_messages} messages)")
        return [self._create(intent) for intent in intents]

    def _create(self, intent: Intent) -> bool:
        present = self._stored.get(intent.message_id)
        if present is not None:
            if present.record.generation != intent.replaces:
                return False
            self._drop(present)
        self._generation += 1
        intent.generation = self._generation
        record = intent.record(_new_segments(intent))
        self._stored[intent.message_id] = _Stored(record, [None] * intent.segments)
        self.counters["intents_stored"] += 1
        return True

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            stored = self._of(intent)
            if stored is not None:
                self._drop(stored)
                self.counters["intents_withdrawn"] += 1

    def _of(self, intent: Intent) -> _Stored | None:
        """What is stored for this intent, unless it was taken over since."""
        stored = self._stored.get(intent.message_id)
        return stored if stored is not None and stored.record.generation == intent.generation else None

    # -- results and receipts -------------------------------------------------------------------------------

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        for result in results:
            stored = self._of(result.intent)
            if stored is not None:
                self._settle(stored, result)

    def _settle(self, stored: _Stored, result: SegmentResult) -> None:
        index = result.segment_no - 1
        if stored.record.segments[index].state not in AWAITS_RESULT:
            return
        segment = SegmentRecord(result.state, result.smsc_id, result.reason, result.at)
        stored.record.segments[index] = segment
        self.counters["results_stored"] += 1
        self._release(stored, index)
        if not result.receipt_key:
            return
        key = result.intent.account, result.receipt_key
        if key in self._by_receipt:
            self._release(*self._by_receipt[key])
            self.counters["smsc_ids_reused"] += 1
        self._by_receipt[key] = stored, index
        stored.keys[index] = key
        receipt = self._parking.get(key)
        if receipt is not None and segment.state in AWAITS_RECEIPT:
            self._parking.take(key)
            segment.state, segment.reason, segment.updated_at = receipt

    def _release(self, stored: _Stored, index: int) -> None:
        """The segment has no receipt key any more."""
        key, stored.keys[index] = stored.keys[index], None
        if key is not None:
            del self._by_receipt[key]

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        for account, receipt_key, state, reason, at in receipts:
            self._receive((account, receipt_key), Parked(state, reason, at))
        self.counters["receipts_stored"] += len(receipts)

    def _receive(self, key: _Key, receipt: Parked) -> None:
        known = self._by_receipt.get(key)
        if known is None:
            self._park(key, receipt)
            return
        stored, index = known
        segment = stored.record.segments[index]
        if segment.state in AWAITS_RECEIPT:
            segment.state, segment.reason, segment.updated_at = receipt
        else:
            self.counters["receipts_repeated"] += 1

    def _park(self, key: _Key, receipt: Parked) -> None:
        leaves = self._parking.full_for(key)
        if leaves is not None:
            self._parking.take(leaves)
            self.counters["receipts_parking_overflow"] += 1
        parked = self._parking.park(key, receipt)
        self.counters["receipts_parked" if parked else "receipts_repeated"] += 1

    # -- look-up and housekeeping ---------------------------------------------------------------------------

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        return [self._find(message_id) for message_id in message_ids]

    def _find(self, message_id: bytes) -> MessageRecord | None:
        stored = self._stored.get(message_id)
        if stored is None:
            return None
        record = replace(stored.record, segments=[replace(segment) for segment in stored.record.segments])
        record.spread_last_receipt()
        return record

    async def sweep(self, now: float) -> int:
        self.counters["receipts_lapsed"] += self._parking.lapse(now)
        oldest = list(islice(self._stored.values(), SWEEP_STEP))
        old = [stored for stored in oldest if stored.record.sent_at < now - self._retention_s]
        for stored in old:
            self._drop(stored)
        self.counters["messages_swept"] += len(old)
        return len(old)

    def _drop(self, stored: _Stored) -> None:
        del self._stored[stored.record.message_id]
        for index in range(len(stored.keys)):
            self._release(stored, index)


def _new_segments(intent: Intent) -> list[SegmentRecord]:
    at = intent.created_at
    return [SegmentRecord(SegmentState.SUBMITTING, updated_at=at) for _ in range(intent.segments)]
