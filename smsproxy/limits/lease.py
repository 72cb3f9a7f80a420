"""A lease: tokens of a shared limit that this instance may spend without asking (spec §4).

Pure arithmetic: what is left, when it lapses, how long the shared bucket is known to be empty, how many
tokens to ask for. Times are nanoseconds of one monotonic clock. Kept by `SharedBucket`, filled by
`TokenSource`; so over all instances a limit is exceeded by what their leases hold, at most 50 ms of the rate
each.
"""

from __future__ import annotations

from smsproxy.limits.base import NS_PER_MS, NS_PER_S

LEASE_MS = 50
"""Tokens in stock, as time of the rate."""
LAPSE_NS = NS_PER_S
"""Unused for so long, a lease is worth nothing: another instance may need the tokens more."""
TAKEN, LOW = 1, 2
"""Answers of `Lease.take`: spent; LOW: and it is time to ask for more, so that a busy stream never waits."""
PACE_NS = 10 * NS_PER_MS
"""Between two askings of an empty bucket: `retry_after_ms` is exact to 10 ms, and a hundred small calls a
second would buy nothing."""
LINK_PACE_NS = 25 * NS_PER_MS
"""The same for a link while nobody in a hurry waits for it: what one asking brings goes through the store
together. At half a lease, as often as one that is not empty asks."""
_FOLLOWS_NS = 20 * NS_PER_MS
"""What comes after a pace: a link's timer and the call. In less time than that, a third is the pace's."""


class Lease:
    """The tokens in hand of one limit. `rate_per_s` and `burst` at least 1."""

    __slots__ = (
        "_empty_until",
        "_hurried_pace_ns",
        "_hurried_until",
        "_low",
        "_pace_ns",
        "_size",
        "_tokens",
        "_touched",
        "burst",
        "rate_per_s",
    )

    def __init__(self, rate_per_s: int, burst: int, pace_ns: int = PACE_NS) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._size = min(rate_per_s * LEASE_MS // 1000, burst)
        self._low = self._size // 2
        # A bucket that fills up meanwhile would lose tokens. There may be almost one at the pace's begin, and
        # a timer and a call follow it.
        spare_ns = (burst - 1) * NS_PER_S // rate_per_s
        longest_ns = max(spare_ns - _FOLLOWS_NS, spare_ns // 3)
        self._pace_ns, self._hurried_pace_ns = min(pace_ns, longest_ns), min(PACE_NS, longest_ns)
        self._tokens = 0
        self._touched = 0
        self._empty_until = 0
        self._hurried_until = 0

    def __repr__(self) -> str:
        return f"<Lease {self._tokens} of {self.rate_per_s}/s burst={self.burst}>"

    def take(self, now_ns: int, n: int = 1) -> int:
        """TAKEN or LOW: `n` tokens were in hand and are spent. 0: they were not."""
        left = self._tokens - n
        if left < 0 or now_ns - self._touched >= LAPSE_NS:
            return 0
        self._tokens = left
        self._touched = now_ns
        return LOW if left < self._low and now_ns >= self._empty_until else TAKEN

    def has(self, now_ns: int, n: int = 1) -> bool:
        return self._tokens >= n and now_ns - self._touched < LAPSE_NS

    def give_back(self, n: int = 1) -> None:
        """Tokens that were taken a moment ago and not used."""
        self._tokens += n

    def empty_for(self, now_ns: int, *, hurried: bool = False) -> int:
        """How long the shared bucket is known to have nothing; 0: it may have something, ask."""
        return max(0, (self._hurried_until if hurried else self._empty_until) - now_ns)

    def wanted(self, now_ns: int, waiting: int) -> int:
        """Tokens to ask for: what is waiting, and the stock; at least one."""
        if now_ns - self._touched >= LAPSE_NS:
            self._tokens = 0
        return max(1, waiting + self._size - self._tokens)

    def filled(self, now_ns: int, granted: int, wait_ns: int) -> None:
        """The answer: tokens granted, and how long until one more can be had (0: as many as were wanted)."""
        if now_ns - self._touched >= LAPSE_NS:
            self._tokens = 0
        self._tokens += granted
        if granted:
            self._touched = now_ns
        self._empty_until = now_ns + max(wait_ns, self._pace_ns) if wait_ns else 0
        self._hurried_until = now_ns + max(wait_ns, self._hurried_pace_ns) if wait_ns else 0
