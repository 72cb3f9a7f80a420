"""What a link counts. Plain integers, read at scrape time."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class LinkCounters:
    """Since the link was made; a changed link begins anew."""

    submits: int = 0
    """submit_sm written, tries after a throttled answer included."""
    accepted: int = 0
    refused: int = 0
    """Whatever the reason was;"""
    refused_temporary: int = 0
    """of them, for a trouble of the SMSC's own;"""
    link_faults: int = 0
    """of them, because the SMSC did not take the session for bound."""
    in_doubt: int = 0
    settled_late: int = 0
    """Segments in doubt that were answered after all."""
    throttled: int = 0
    lost_before_write: int = 0
    """Granted segments whose sessions were gone before the write: provably not sent."""
    receipts: int = 0
    receipts_bad: int = 0
    inbound: int = 0
    """Segments of messages from handsets."""
    unexpected: int = 0
    waiting_full: int = 0
    binds: int = 0
    binds_refused: int = 0
    connects_failed: int = 0
    connects_delayed: int = 0
    """Connects that waited because the host had five in the last second."""

    def items(self) -> list[tuple[str, int]]:
        return [(one.name, getattr(self, one.name)) for one in fields(self)]
