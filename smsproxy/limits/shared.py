"""Limits that hold over all instances (L2): leases in front of one Redis (spec §4).

An app's and a link's rate are shared; `limits.process_rate_per_s` is each process' own. While the lease has
tokens, or the shared bucket is known to be empty, everything is decided at once, without I/O. Only else a
message waits for a call: a request in the pipeline's limit stage, a segment in its link's waiting room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from smsproxy.limits.base import ASK, NS_PER_MS, UNAVAILABLE, Bucket, Parked
from smsproxy.limits.gcra import Gcra
from smsproxy.limits.lease import LINK_PACE_NS, LOW, PACE_NS, Lease
from smsproxy.limits.local import LocalLimits
from smsproxy.limits.source import TokenSource

_ROUND_TRIP_NS = 5 * NS_PER_MS
"""When a link looks again for tokens that were asked for; it is woken sooner."""
_AWAY_POLL_NS = 100 * NS_PER_MS
"""When a link looks again that may send nothing while Redis is away."""


class SharedBucket:
    """limits.base.Bucket over a lease, for one limit of this instance.

    While Redis is away: a bucket of our own with the limit's rate and burst where each token costs as many as
    there are instances, so it is exactly rate / instances; it keeps its state over short outages.
    """

    __slots__ = ("_asked", "_fallback", "_hurried", "_lease", "_source", "_waiting", "_wake", "name")
    _when_asked = ASK
    """What `take` answers whom it has asked for."""

    def __init__(
        self,
        name: str,
        rate_per_s: int,
        burst: int,
        source: TokenSource,
        *,
        waiting: Callable[[], int],
        wake: Callable[[], None],
        hurried: Callable[[], bool] = lambda: True,
        pace_ns: int = PACE_NS,
    ) -> None:
        """`waiting()` tells how many want a token now; `wake()` is called when an answer has come.

        An empty bucket is asked once in `pace_ns` at most, while `hurried()` once in PACE_NS.
        """
        self.name = name
        self._fallback = Gcra(rate_per_s, burst)
        self._lease = Lease(rate_per_s, self._fallback.burst, pace_ns)
        self._source = source
        self._waiting = waiting
        self._hurried = hurried
        self._wake = wake
        self._asked = False

    def __repr__(self) -> str:
        return f"<SharedBucket {self.name} {self._lease!r}>"

    @property
    def rate_per_s(self) -> int:
        return self._lease.rate_per_s

    @property
    def burst(self) -> int:
        return self._lease.burst

    def take(self, now_ns: int, n: int = 1) -> int:
        """0 = taken; ASK = it was asked for, `wake` will tell; else the ns after which to try again."""
        lease, source = self._lease, self._source
        taken = lease.take(now_ns, n)
        if taken:
            if taken == LOW and not source.away:
                self._ask()
            return 0
        if not source.away:
            empty_ns = lease.empty_for(now_ns)
            if empty_ns and self._hurried():
                empty_ns = lease.empty_for(now_ns, hurried=True)
            if empty_ns:
                return empty_ns
            if self._ask():
                return self._when_asked
        if source.refuse_when_away:
            return _AWAY_POLL_NS
        return self._fallback.take(now_ns, n * source.instances)

    def wait(self, now_ns: int, n: int = 1) -> int:
        """As far as is known: 0 also when nobody has said yet that the shared bucket is empty."""
        if self._lease.has(now_ns, n):
            return 0
        source = self._source
        if not source.away:
            return self._lease.empty_for(now_ns)
        if source.refuse_when_away:
            return _AWAY_POLL_NS
        return self._fallback.wait(now_ns, n * source.instances)

    def give_back(self, n: int = 1) -> None:
        """Into the lease, wherever they came from: they are spent within a second, or lapse."""
        self._lease.give_back(n)

    def _ask(self) -> bool:
        """False when there is nobody to ask now."""
        if not self._asked:
            self._asked = self._source.ask(self)
        return self._asked

    # -- source.Fillable ------------------------------------------------------------------------------------

    def demand(self, now_ns: int) -> tuple[int, int, int]:
        lease = self._lease
        return lease.rate_per_s, lease.burst, lease.wanted(now_ns, self._waiting())

    def filled(self, now_ns: int, granted: int, wait_ns: int) -> None:
        self._asked = False
        self._lease.filled(now_ns, granted, wait_ns)

    def failed(self) -> None:
        self._asked = False

    def tell(self) -> None:
        self._wake()


class LinkBucket(SharedBucket):
    """The same for a link, which looks again by a timer and knows no ASK."""

    __slots__ = ()
    _when_asked = _ROUND_TRIP_NS


class SharedLimits(LocalLimits):
    """The process' own limit and the apps' shared ones."""

    __slots__ = ("_parked", "_source")

    def __init__(
        self, process_rate_per_s: int, apps: Mapping[int, tuple[int, int]], source: TokenSource
    ) -> None:
        self._source = source
        self._parked: Parked | None = None
        super().__init__(process_rate_per_s, apps)

    def attach(self, parked: Parked) -> None:
        self._parked = parked

    def admit(self, app_id: int, now_ns: int) -> int:
        """As `LocalLimits.admit`; also ASK, and UNAVAILABLE while Redis is away and that means refusal."""
        if self._source.refusing:
            return UNAVAILABLE
        wait_ns = super().admit(app_id, now_ns)
        return UNAVAILABLE if wait_ns > 0 and self._source.refusing else wait_ns  # it went away just now

    def _make(self, app_id: int, rate_per_s: int, burst: int) -> Bucket:
        return SharedBucket(
            f"app:{app_id}",
            rate_per_s,
            burst,
            self._source,
            waiting=lambda: self._parked.waiting(app_id) if self._parked else 1,
            wake=lambda: self._parked.told(app_id) if self._parked else None,
        )


def link_bucket(
    link_id: int,
    rate_per_s: int,
    burst: int,
    source: TokenSource,
    *,
    waiting: Callable[[], int],
    hurried: Callable[[], bool],
    wake: Callable[[], None],
) -> Bucket:
    """What shapes a link; one without a rate needs no Redis."""
    if not rate_per_s:
        return Gcra(0)
    name = f"link:{link_id}"
    return LinkBucket(
        name, rate_per_s, burst, source, waiting=waiting, hurried=hurried, wake=wake, pace_ns=LINK_PACE_NS
    )
