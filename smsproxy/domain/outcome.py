"""How things end. A request ends once, in one of four ways (spec §2.1); so does every segment of it.

Accepted  the SMSC answered ok and the record is stored
Rejected  a stage or the SMSC said no
NotSent   provably no octet of it left
InDoubt   octets may have left, no answer came
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The status words of SmsResponse. They are contract: clients compare these strings."""

    # As they compare. An enum's own hash is a function in Python, and the ends of all messages are counted.
    __hash__ = str.__hash__

    SUBMITTED = "submitted"
    DAILY_CP = "daily_cp"
    WEEKLY_CP = "weekly_cp"
    DUPLICATE = "duplicate"
    BLACKLIST = "blacklist"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NO_ROUTE = "no_route"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    EXPIRED = "expired"
    INTERNAL = "internal"


@dataclass(slots=True)
class Answer:
    """The one end of one request, in the words of the product (spec §2, SmsResponse)."""

    status: Status
    transaction_id: str = ""
    route_id: int = 0
    """The link used, else the link or pool that was asked for."""
    task_id: int = 0
    error: str = ""
    message_id: str = ""
    smsc_ids: tuple[str, ...] = ()
    retry_after_ms: int = 0
    repeated: bool = False

    @property
    def success(self) -> bool:
        return self.status is Status.SUBMITTED


@dataclass(slots=True)  # not frozen, as the others are: one is made per segment, and that costs twice as much
class Accepted:
    """The SMSC took the segment and gave it this id."""

    smsc_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The SMSC answered with an error status: it does not have the segment."""

    command_status: int
    text: str
    """As operators know it: ``ESME_RINVDSTADR 0x0000000B``."""
    throttled: bool = False
    """The SMSC said "slow down" as often as we were willing to ask."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class NotSent:
    """No octet of the segment left this process."""

    reason: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Octets may have left and no answer came; only a late answer or a receipt can settle it."""

    reason: str


SegmentOutcome = Accepted | Refused | NotSent | InDoubt
