"""A delivery receipt in the words of the product: what links make of a deliver_sm and stores keep."""

from __future__ import annotations

from typing import NamedTuple

from smsproxy.domain.record import SegmentState


class Receipt(NamedTuple):
    """One receipt under the key by which it meets its segment."""

    account: str
    """Scope in which SMSC ids are unique (spec §3, `account`)."""
    receipt_key: str
    """The SMSC's id, spelled by the link's `receipt_id` rule."""
    state: SegmentState
    reason: str
    """The SMSC's own words, e.g. ``UNDELIV err:045``; empty for a delivery without an error."""
    at: float
    """When it arrived, Unix seconds."""
