"""Budgets by key, such as a caller's address: token buckets in a map that cannot grow without end.

Pure: time is an argument, seconds of one monotonic clock. Who calls: `doorkeeper` (signature checks of tokens
never seen) and `grants` (failures at the token endpoint). limits.Gcra is not for here: that floor never meets
this one, and these buckets come and go with strangers.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Generic, TypeVar

MAX_KEYS = 10_000
"""About 2 MB. Who has more addresses than this gets fresh buckets, and is for the network to stop."""

_ROUNDING_S = 1e-6
"""What sums of floats may be off by."""

Key = TypeVar("Key")


class Budgets(Generic[Key]):
    """A bucket of `burst` tokens for every key, refilled by `rate_per_s`; full when a key is first seen."""

    def __init__(self, rate_per_s: float, burst: int, max_keys: int = MAX_KEYS) -> None:
        self._interval_s = 1.0 / rate_per_s
        self._depth_s = burst * self._interval_s
        self._max_keys = max_keys
        self._full_at: OrderedDict[Key, float] = OrderedDict()
        self.evicted = 0
        """Buckets forgotten for want of room, the longest unused first."""

    def __repr__(self) -> str:
        return f"<Budgets keys={len(self._full_at)}/{self._max_keys} evicted={self.evicted}>"

    def take(self, key: Key, now: float, patience_s: float = 0.0) -> float:
        """Take a token: seconds until it may be used, 0 now. Nothing is taken when that is over `patience_s`.

        So the debt of a key, and what its next user waits, is at most `patience_s`.
        """
        full_at = max(self._full_at.pop(key, now), now) + self._interval_s
        late_s = full_at - now - self._depth_s
        if late_s > patience_s + _ROUNDING_S:
            self._keep(key, full_at - self._interval_s)
            return late_s
        self._keep(key, full_at)
        return late_s if late_s > _ROUNDING_S else 0.0

    def give_back(self, key: Key) -> None:
        """Return a token that was taken and need not have been."""
        if key in self._full_at:
            self._full_at[key] -= self._interval_s

    def _keep(self, key: Key, full_at: float) -> None:
        if len(self._full_at) >= self._max_keys:
            self._full_at.popitem(last=False)
            self.evicted += 1
        self._full_at[key] = full_at


def network_of(address: str) -> str:
    """Whose budget an address shares: its own, or its /64 in IPv6, of which every host has 2^64 addresses."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
