"""Addresses that flooded us, and how slowly they may connect again. Pure: time is an argument.

Every connection may open and reset its budget of calls before it is ended; who connects anew at once has a
new budget. So an address whose connection was ended for a flood gets one connection a second for a while, and
with each further flood one in twice the time. Its other connections go on: behind one address there may be
others. Kept by `places`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

MEMORY_S = 30.0
FIRST_S = 1.0
LONGEST_S = 8.0
MAX_ADDRESSES = 10_000
"""The one that flooded longest ago makes room."""


class _Penalty(NamedTuple):
    interval_s: float
    until: float
    next_at: float


class Penalties:
    """Times are seconds of one monotonic clock."""

    __slots__ = ("_by_address",)

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, _Penalty] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Penalties addresses={len(self._by_address)}>"

    def flooded(self, address: str, now: float) -> None:
        """A connection of this address was ended for a flood. Nothing is kept of "", who is nobody."""
        if not address:
            return
        before = self._by_address.pop(address, None)
        again = before is not None and now < before.until
        interval_s = min(2 * before.interval_s, LONGEST_S) if before and again else FIRST_S
        self._by_address[address] = _Penalty(interval_s, now + MEMORY_S, now + interval_s)
        if len(self._by_address) > MAX_ADDRESSES:
            self._by_address.popitem(last=False)

    def refuses(self, address: str, now: float) -> bool:
        """Whether a new connection of this address comes too soon."""
        penalty = self._by_address.get(address)
        if penalty is None:
            return False
        if now >= penalty.until:
            del self._by_address[address]
        elif now < penalty.next_at:
            return True
        else:
            self._by_address[address] = penalty._replace(next_at=now + penalty.interval_s)
        return False
