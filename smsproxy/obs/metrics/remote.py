"""Redis, as this instance sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from smsproxy.obs.metrics.metric import Items, Metric, gauge, named_counters


class RemoteView(Protocol):
    """Redis (remote.remote.Remote)."""

    @property
    def available(self) -> bool: ...
    @property
    def connections(self) -> int: ...
    @property
    def counters(self) -> Items: ...


_COUNTERS: Mapping[str, str] = {
    "calls": "Scripts run on Redis.",
    "failures": "Calls to Redis without an answer in time.",
    "refused": "Calls that were not made: the breaker was open, or too many were under way.",
    "cancelled": "Calls whose caller left; their connections were closed.",
    "script_loads": "Scripts that Redis had forgotten and was sent again.",
    "breaker_opened": "Times that Redis was given up, until a probe found it back.",
}


def remote_metrics(remote: RemoteView) -> Iterator[Metric]:
    """Redis, and the breaker in front of it."""
    text = "1 while Redis is asked, 0 while the breaker is open."
    yield gauge("redis_up", text, float(remote.available))
    yield gauge("redis_connections", "Connections to Redis, idle ones included.", remote.connections)
    yield from named_counters("connection to Redis", "redis_", _COUNTERS, remote.counters)
