"""The store's seam: intent, result, receipt, look-up (spec §6). Called by the pipeline, in batches.

Order is the pipeline's promise, durability the store's: when a method returns, what it was given survives a
power cut. Every method raises StoreUnavailableError when the store cannot do it now; then nothing of the
batch was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import MessageRecord, SegmentState

PARKING_MAX = 10_000
"""Receipts kept for messages not known yet; the oldest makes room (spec §6)."""
PARKING_S = 60.0


class ReceiptMode(IntEnum):
    """Which receipts the message asked for (links' `registered_delivery`). Numbers are stored."""

    NONE = 0
    ALL = 1
    LAST = 2


@dataclass(slots=True)
class Intent:
    """A message about to be submitted: written before its first octet may leave."""

    message_id: bytes
    app_id: int
    link_id: int
    account: str
    """Scope in which SMSC ids are unique; results and receipts meet under (account, receipt key)."""
    transaction_id: str
    task_id: int
    client_sent_at: int
    segments: int
    receipts: ReceiptMode
    created_at: float
    replaces: int = 0
    """Generation of the refused record that this intent takes over (compare-and-set), 0 for none."""
    generation: int = 0
    """The store's own handle, set by `create`."""


class SegmentResult(NamedTuple):
    """How one segment of an intent ended, or what a late answer made of it."""

    intent: Intent
    segment_no: int
    state: SegmentState
    smsc_id: str
    receipt_key: str
    """The id as receipts of this link will spell it; empty when the SMSC gave none."""
    reason: str
    at: float


class Store(Protocol):
    """Records of messages. `counters` is read at scrape time."""

    counters: dict[str, int]

    async def open(self) -> None:
        """Open, check the schema, mark what an earlier life left without a result as unknown."""
        ...

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        """Create-only: True where the intent is now stored, False where its message_id was there already
        (or, with `replaces`, where somebody else took the refused record over first)."""
        ...

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        """Record the ends of segments; a parked receipt of the same key is applied in the same step."""
        ...

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        """Nothing of these was written to an SMSC: they read as never having been."""
        ...

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        """Store receipts; one whose message is not known yet is parked for PARKING_S."""
        ...

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        """The records as stored, in order of the ids."""
        ...

    async def sweep(self, now: float) -> int:
        """One bounded step of retention and parking; how many messages it dropped (0: nothing left)."""
        ...

    async def close(self) -> None:
        """Flush and close. No method may be called after."""
        ...


def new_counters() -> dict[str, int]:
    """Counters every store keeps, named after the promises they watch."""
    return dict.fromkeys(
        (
            "intents_stored",
            "results_stored",
            "receipts_stored",
            "receipts_repeated",
            "receipts_parked",
            "receipts_lapsed",
            "receipts_parking_overflow",
            "smsc_ids_reused",
            "intents_withdrawn",
            "intents_marked_unknown",
            "messages_swept",
        ),
        0,
    )
