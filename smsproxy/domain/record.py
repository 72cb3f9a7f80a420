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

# Forward only (spec §6): what may still change a segment. States outside both sets stick.
AWAITS_RESULT = frozenset({SegmentState.SUBMITTING, SegmentState.UNKNOWN})
"""States that the SMSC's answer settles, a late one too."""
AWAITS_RECEIPT = frozenset({SegmentState.SUBMITTED, SegmentState.UNKNOWN})
"""States that a receipt settles."""

NO_RECEIPT = "no receipt in time"
"""The reason of a segment that time alone has expired: our words, not the SMSC's."""
INTENT_S = 60.0
"""An intent older than this without a result reads as in doubt, on any instance (spec §6)."""

# Worst first: an overall state is the worst of the bad finals (spec §6).
_WORST_FIRST = (SegmentState.REJECTED, SegmentState.UNDELIVERABLE, SegmentState.EXPIRED)


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
        """Apply the last segment's receipt to its siblings where the link asked for that one alone.

        A last segment without an SMSC id was refused on submission: that is no receipt.
        """
        last = self.segments[-1]
        if not self.last_receipt_settles_all or last.state not in FINAL or not last.smsc_id:
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
        """What time alone has decided, for a reader; nothing of it is stored.

        An intent without a result after INTENT_S reads as unknown; a segment whose receipt is overdue reads
        as EXPIRED, and a later real receipt still replaces it.
        """
        for segment in self.segments:
            if segment.state is SegmentState.SUBMITTING and segment.updated_at + INTENT_S < now:
                segment.state, segment.reason = SegmentState.UNKNOWN, "no answer is recorded"
            elif (
                self.receipts_expected
                and segment.state is SegmentState.SUBMITTED
                and segment.updated_at + receipt_timeout_s < now
            ):
                segment.state, segment.reason = SegmentState.EXPIRED, NO_RECEIPT
