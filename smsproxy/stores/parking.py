"""Receipts whose message is not known yet: which are kept, how long, and which makes room (spec §6). Pure.

A receipt may overtake the answer that names its message. The stores keep it here under its key, and the
answer picks it up.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

from smsproxy.domain.record import FINAL, SegmentState

K = TypeVar("K", bound=Hashable)

PARKING_MAX = 10_000
"""Receipts kept for messages not known yet; the oldest makes room."""
PARKING_S = 60.0


class Parked(NamedTuple):
    """What a parked receipt says."""

    state: SegmentState
    reason: str
    at: float


class Parking(Generic[K]):
    """Parked receipts by key, oldest first."""

    def __init__(self, entries: Iterable[tuple[K, Parked]] = ()) -> None:
        self._parked = dict(entries)

    def __len__(self) -> int:
        return len(self._parked)

    def full_for(self, key: K) -> K | None:
        """The key that has to leave before `key` can be parked, None when there is room."""
        if len(self._parked) < PARKING_MAX or key in self._parked:
            return None
        return next(iter(self._parked))

    def park(self, key: K, receipt: Parked) -> bool:
        """Keep it. False: a final one is parked under this key already, which nothing replaces."""
        before = self._parked.get(key)
        if before is not None and before.state in FINAL:
            return False
        self._parked.pop(key, None)
        self._parked[key] = receipt
        return True

    def get(self, key: K) -> Parked | None:
        return self._parked.get(key)

    def take(self, key: K) -> None:
        """Its message has it now, or it makes room."""
        del self._parked[key]

    def lapse(self, now: float) -> int:
        """Drop what has waited longer than PARKING_S; returns how many."""
        lapsed = [key for key, receipt in self._parked.items() if receipt.at < now - PARKING_S]
        for key in lapsed:
            del self._parked[key]
        return len(lapsed)
