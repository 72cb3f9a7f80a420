"""A key-value store in this process's memory: for `memory:` stores and tests.

Bounded and expiring. When it is full of live keys it refuses the write rather than forget a contact, so the
strategies' `on_error` decides, as with any other store that cannot take a write.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TypeVar

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy.base import Transaction

R = TypeVar("R")

_PURGE_AT_LEAST = 64  # expired keys dropped a transaction, at least: what was put in comes out again


class MemoryKeyValue:
    """See `KeyValue`. `clock` gives Unix seconds. A counter takes about 400 bytes: 100 MB when full."""

    def __init__(self, clock: Callable[[], float], max_keys: int = 250_000) -> None:
        self._clock = clock
        self._max_keys = max_keys
        self._data: dict[bytes, tuple[bytes, float]] = {}
        self._expiries: list[tuple[float, bytes]] = []
        self.expired = 0
        self.refused_full = 0

    def __len__(self) -> int:
        return len(self._data)

    def __repr__(self) -> str:
        return f"<MemoryKeyValue keys={len(self._data)}/{self._max_keys} refused_full={self.refused_full}>"

    async def transact(self, work: Callable[[Transaction], R]) -> R:
        """Runs `work` at once; there is no await in it, so nothing comes between."""
        now = self._clock()
        transaction = _MemoryTransaction(self._data, now)
        result = work(transaction)
        self._purge(now, _PURGE_AT_LEAST + 2 * len(transaction.writes))
        self._apply(transaction.writes)
        return result

    def _apply(self, writes: dict[bytes, tuple[bytes, float] | None]) -> None:
        new = sum(entry is not None and key not in self._data for key, entry in writes.items())
        if new and len(self._data) + new > self._max_keys:
            self.refused_full += 1
            raise StoreUnavailableError(f"the policy state in memory is full ({self._max_keys} keys)")
        for key, entry in writes.items():
            if entry is None:
                self._data.pop(key, None)
                continue
            old = self._data.get(key)
            self._data[key] = entry
            if old is None or old[1] != entry[1]:
                heapq.heappush(self._expiries, (entry[1], key))
        if len(self._expiries) > 2 * len(self._data) + 1024:
            self._expiries = [(expires_at, key) for key, (_, expires_at) in self._data.items()]
            heapq.heapify(self._expiries)

    def _purge(self, now: float, at_most: int) -> None:
        expiries = self._expiries
        while expiries and expiries[0][0] <= now and at_most:
            at_most -= 1
            expires_at, key = heapq.heappop(expiries)
            entry = self._data.get(key)
            if entry is not None and entry[1] == expires_at:
                del self._data[key]
                self.expired += 1


class _MemoryTransaction:
    """Writes are kept aside until the work has ended well."""

    __slots__ = ("_data", "_now", "writes")

    def __init__(self, data: dict[bytes, tuple[bytes, float]], now: float) -> None:
        self._data = data
        self._now = now
        self.writes: dict[bytes, tuple[bytes, float] | None] = {}

    def get(self, key: bytes) -> bytes | None:
        entry = self.writes[key] if key in self.writes else self._data.get(key)
        return entry[0] if entry is not None and entry[1] > self._now else None

    def put(self, key: bytes, value: bytes, expires_at: float) -> None:
        self.writes[key] = (value, expires_at)

    def delete(self, key: bytes) -> None:
        self.writes[key] = None

    def keys(self, prefix: bytes) -> list[bytes]:
        every = self._data.keys() | self.writes.keys()
        return sorted(key for key in every if key.startswith(prefix) and self.get(key) is not None)
