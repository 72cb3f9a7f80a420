"""Addresses on the SMPP side: a number or a name with its TON and NPI (SMPP v3.4 §5.2.5, §5.2.6)."""

from __future__ import annotations

from typing import NamedTuple

TON_INTERNATIONAL = 1
TON_ALPHANUMERIC = 5
NPI_UNKNOWN = 0
NPI_ISDN = 1


class Address(NamedTuple):
    """One end of a short message. A NamedTuple, because it is also a key of the PDU prefix cache."""

    ton: int
    npi: int
    digits: str
    """The number without ``+``, or an alphanumeric name."""
