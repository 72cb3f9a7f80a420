"""The places of the listener: how many connections there may be, in all and of one address.

A connection has its place from accept to close, while it still shakes hands, too. Who calls: `guard`.
"""

from __future__ import annotations

import time
from collections import Counter

from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.penalties import Penalties


class Places:
    """Unix sockets, and balancers before they said for whom they come, have no address: ""."""

    def __init__(self, options: RpcOptions, counters: RpcCounters) -> None:
        self._options = options
        self._counters = counters
        self._by_address: Counter[str] = Counter()
        self._penalties = Penalties()
        self.taken = 0
        self.closed = False
        """The listener is: nobody comes in any more."""

    def __repr__(self) -> str:
        return f"{self.taken}/{self._options.max_connections}"

    def take(self, address: str) -> bool:
        """False, and counted, when there is none."""
        if self.closed or self.taken >= self._options.max_connections or self._crowded(address):
            self._counters.connections_refused_total += 1
            return False
        self._by_address[address] += 1
        self._counters.connections_total += 1
        self._set_taken(self.taken + 1)
        return True

    def rename(self, old: str, new: str) -> bool:
        """Whoever took a place as `old` is `new`. False, and counted, when that address has too many."""
        if self._crowded(new):
            self._counters.connections_refused_total += 1
            return False
        self._forget(old)
        self._by_address[new] += 1
        return True

    def flooded(self, address: str) -> None:
        """Its connection was ended for a flood: the next ones come in slowly."""
        self._penalties.flooded(address, time.monotonic())

    def give_back(self, address: str) -> None:
        self._forget(address)
        self._set_taken(self.taken - 1)

    def _crowded(self, address: str) -> bool:
        if address and self._by_address[address] >= self._options.max_connections_per_address:
            return True
        return self._penalties.refuses(address, time.monotonic())

    def _forget(self, address: str) -> None:
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def _set_taken(self, taken: int) -> None:
        self.taken = self._counters.connections = taken
