"""What a handset sent: one segment as it came off the wire, and the message that its segments make.

Made by the links, joined by the pipeline, handed to the inbound sink. Texts and octets stay out of reprs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from smsproxy.domain.address import Address


@dataclass(frozen=True, slots=True)
class InboundSegment:
    """One deliver_sm or data_sm that is no receipt, without its user data header."""

    account: str
    """The SMSC account it came to; segments of one message may come over several links of it."""
    source: Address = field(repr=False)
    destination: Address
    data_coding: int
    octets: bytes = field(repr=False)
    alphabet: str = ""
    """What data_coding means at that SMSC, as CheckTextLen names it; empty for data that is no text."""
    concat_ref: int = 0
    total: int = 1
    """Segments of the message; 1 means that it is whole."""
    number: int = 1
    wide: bool = False
    """A 16-bit reference: another message than the one with the same number in 8 bits."""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message from a handset, whole or, after some time, as far as it came."""

    account: str
    link_id: int
    """The link that its last segment came over."""
    source: Address = field(repr=False)
    destination: Address
    text: str | None = field(repr=False)
    """None where data_coding names no alphabet; the octets say all there is."""
    octets: bytes = field(repr=False)
    data_coding: int
    segments: int
    """How many came,"""
    total: int
    """of so many."""

    @property
    def complete(self) -> bool:
        return self.segments == self.total
