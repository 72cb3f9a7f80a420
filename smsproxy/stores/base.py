"""The store's seam: intent, result, receipt, look-up (spec §6). Called by the pipeline, in batches.

Order is the pipeline's promise, durability the store's: when a method returns, what it was given survives a
power cut. Every method raises StoreUnavailableError when the store cannot do it now; then nothing of the
batch was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol, runtime_checkable

from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import MessageRecord, SegmentRecord, SegmentState


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
    """The store's own handle of the record, set by `create` where it answers True; never given twice."""

    def record(self, segments: list[SegmentRecord]) -> MessageRecord:
        """What is known of the message, when this is known of its segments."""
        return MessageRecord(
            self.message_id,
            self.app_id,
            self.link_id,
            self.transaction_id,
            self.task_id,
            self.created_at,
            segments,
            receipts_expected=self.receipts is not ReceiptMode.NONE,
            last_receipt_settles_all=self.receipts is ReceiptMode.LAST,
            generation=self.generation,
        )


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
        """Record the ends of segments, each applied once: to a segment without a result or in doubt.

        A parked receipt of the same key is applied in the same step. A receipt key that another segment has
        goes to this one, the newest; the other keeps its state. Results of records that are no longer there
        change nothing.
        """
        ...

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        """Nothing of these was written to an SMSC: they read as never having been."""
        ...

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        """Store receipts, forward only; one whose message is not known yet is parked (stores/parking.py)."""
        ...

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        """The records as stored, in order of the ids; the caller may change what it gets."""
        ...

    async def sweep(self, now: float) -> int:
        """One bounded step of retention and parking; how many messages it dropped (0: nothing left)."""
        ...

    async def close(self) -> None:
        """Flush and close. No method may be called after."""
        ...


@runtime_checkable
class Health(Protocol):
    """What a store tells of its outages, where it can have some. Plain reads, at any time."""

    @property
    def away(self) -> str:
        """Why new messages are refused now, in words; empty while they are taken."""
        ...

    @property
    def outages(self) -> int:
        """How often it went away."""
        ...

    @property
    def refused(self) -> int:
        """Calls told at once, or soon, that it is away; none of them was tried."""
        ...


def new_counters() -> dict[str, int]:
    """The counters of every store. They count what is durable: a call that failed counts nothing."""
    return dict.fromkeys(
        (
            "intents_stored",
            "intents_withdrawn",
            "intents_marked_unknown",  # left by an earlier life, found at open
            "results_stored",  # not those that came twice or too late
            "receipts_stored",  # every receipt taken: applied, parked or repeated
            "receipts_repeated",  # changed nothing: the segment, or the parked receipt, was final already
            "receipts_parked",
            "receipts_lapsed",  # parked, and no message came
            "receipts_parking_overflow",  # parked, and had to make room
            "smsc_ids_reused",  # went from an older segment to a newer one
            "messages_swept",
        ),
        0,
    )
