"""GCRA: a rate and a burst in one number, in exact integers.

The generic cell rate algorithm (ITU-T I.371) keeps one instant, the theoretical arrival time at which the
bucket is full again. Time is counted in units of 1/rate ns, so that a token is exactly 10^9 units whatever
the rate is and nothing is ever rounded. Who calls: `LocalLimits` to police apps, links to shape segments.
"""

from __future__ import annotations

from smsproxy.limits.base import NS_PER_S


class Gcra:
    """At most `burst + rate_per_s * T` tokens in any T seconds; full at the start.

    `rate_per_s` 0 = unlimited, `burst` 0 = max(1, rate) (spec §3). More than `burst` tokens at once can be
    taken from a full bucket: it goes into debt, so the long-run rate holds all the same (a message of ten
    segments passes a burst of five). Time is an argument: nanoseconds of a monotonic clock, never negative.
    """

    __slots__ = ("_depth", "_full_at", "burst", "rate_per_s")

    def __init__(self, rate_per_s: int, burst: int = 0) -> None:
        if rate_per_s < 0 or burst < 0:
            raise ValueError(f"rate and burst must be at least 0, not {rate_per_s} and {burst}")
        self.rate_per_s = rate_per_s
        self.burst = burst or max(1, rate_per_s)
        self._depth = self.burst * NS_PER_S
        self._full_at = 0

    def __repr__(self) -> str:
        return f"<Gcra {self.rate_per_s}/s burst={self.burst}>"

    def take(self, now_ns: int, n: int = 1) -> int:
        """Take `n` tokens: 0 = taken, else nothing was taken and they can be had in this many ns."""
        rate = self.rate_per_s
        if not rate:
            return 0
        now = now_ns * rate  # conditionals, not min() and max(): this runs for every segment
        full_at = self._full_at
        if full_at < now:
            full_at = now
        cost = n * NS_PER_S
        depth = self._depth
        # What it would be late by, were the tokens that exceed the burst already forgiven.
        late = full_at + (cost if cost < depth else depth) - now - depth
        if late > 0:
            return -(-late // rate)
        self._full_at = full_at + cost
        return 0

    def wait(self, now_ns: int, n: int = 1) -> int:
        """What `take` would answer, taking nothing."""
        rate = self.rate_per_s
        if not rate:
            return 0
        now = now_ns * rate
        full_at = self._full_at
        cost = n * NS_PER_S
        depth = self._depth
        late = (full_at if full_at > now else now) + (cost if cost < depth else depth) - now - depth
        return -(-late // rate) if late > 0 else 0

    def give_back(self, n: int = 1) -> None:
        """Return `n` tokens that were taken and not used. The bucket never holds more than `burst`."""
        self._full_at -= n * NS_PER_S
