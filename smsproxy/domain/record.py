"""The stored life of a message: states of its segments, forward only, and what they add up to (spec §6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum


class SegmentState(IntEnum):
    """State of one segment. Numbers are stored: never renumber, only add."""

    SUBMITTING = 0
    SUBMITTED = 1
    DELIVERED = 2
    UNDELIVERABLE = 3
    EXPIRED = 4
    REJECTED = 5
    NOT_SENT = 6
    UNKNOWN = 7


STATE_WORDS: dict[SegmentState, str] = {
    SegmentState.SUBMITTING: "submitting",
    SegmentState.SUBMITTED: "submitted",
    SegmentState.DELIVERED: "DELIVERED",
    SegmentState.UNDELIVERABLE: "UNDELIVERABLE",
    SegmentState.EXPIRED: "EXPIRED",
    SegmentState.REJECTED: "REJECTED",
    SegmentState.NOT_SENT: "not_sent",
    SegmentState.UNKNOWN: "unknown",
}

FINAL = frozenset(
    {SegmentState.DELIVERED, SegmentState.UNDELIVERABLE, SegmentState.EXPIRED, SegmentState.REJECTED}
)

# Worst first: an overall state is the worst of the bad finals (spec §6).
_WORST_FIRST = (SegmentState.REJECTED, SegmentState.UNDELIVERABLE, SegmentState.EXPIRED)


def advance(old: SegmentState, new: SegmentState) -> SegmentState:
    """The state after `new` is reported on top of `old`: final states stick, nothing moves back (P6)."""
    if old in FINAL or new is SegmentState.SUBMITTING:
        return old
    if new is SegmentState.SUBMITTED and old is SegmentState.NOT_SENT:
        return old
    return new


def overall(states: list[SegmentState]) -> SegmentState:
    """What the segments add up to. A whole message that was never written reads as NOT_SENT."""
    seen = set(states)
    for bad in _WORST_FIRST:
        if bad in seen:
            return bad
    for state in (SegmentState.UNKNOWN, SegmentState.SUBMITTING):
        if state in seen:
            return state
    if seen == {SegmentState.DELIVERED}:
        return SegmentState.DELIVERED
    if seen == {SegmentState.NOT_SENT}:
        return SegmentState.NOT_SENT
    return SegmentState.SUBMITTED


@dataclass(slots=True)
class SegmentRecord:
    """What the store knows of one segment. `reason` is in the SMSC's words (``UNDELIV err:045``)."""

    state: SegmentState
    smsc_id: str = ""
    reason: str = ""
    updated_at: float = 0.0


@dataclass(slots=True)
class MessageRecord:
    """What the store knows of one message. Times are Unix seconds."""

    message_id: bytes
    app_id: int
    link_id: int
    transaction_id: str
    task_id: int
    sent_at: float
    """When the intent was written, right before the first octet could leave."""
    segments: list[SegmentRecord] = field(default_factory=list)
    receipts_expected: bool = True
    last_receipt_settles_all: bool = False
    """The link asked only for the last segment's receipt; what it says holds for every accepted segment."""
    generation: int = 0
    """The store's handle of this record, for a compare-and-set takeover."""

    def spread_last_receipt(self) -> None:
        """Apply the last segment's receipt to its siblings where the link asked for that one alone."""
        last = self.segments[-1]
        if not self.last_receipt_settles_all or last.state not in FINAL:
            return
        for segment in self.segments:
            if segment.state is SegmentState.SUBMITTED:
                segment.state = last.state
                segment.reason = last.reason
                segment.updated_at = last.updated_at

    @property
    def status(self) -> SegmentState:
        return overall([segment.state for segment in self.segments])

    @property
    def smsc_ids(self) -> tuple[str, ...]:
        return tuple(segment.smsc_id for segment in self.segments if segment.smsc_id)

    @property
    def updated_at(self) -> float:
        return max([self.sent_at, *(segment.updated_at for segment in self.segments)])

    def expire(self, now: float, receipt_timeout_s: float) -> None:
        """Segments whose receipt is overdue read as EXPIRED; a later real receipt still replaces it."""
        if not self.receipts_expected:
            return
        for segment in self.segments:
            if segment.state is SegmentState.SUBMITTED and segment.updated_at + receipt_timeout_s < now:
                segment.state = SegmentState.EXPIRED
                segment.reason = "no receipt in time"
