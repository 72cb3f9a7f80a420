"""The tokens of one link: those of the rate that is set, and of the smaller one that throttling shrank it to.

Kept by the link; asked for every segment by `turns`, which grants places, and by `places`, which writes once
more what was throttled. Times are nanoseconds of one monotonic clock.
"""

from __future__ import annotations

from smsproxy.links.base import Shaper
from smsproxy.links.pace import Pace

REST_S = 0.010
"""Between two looks for tokens while campaigns wait for them: what ripens meanwhile goes to the store and the
SMSC together."""
SHORTEST_REST_S = 0.001
"""uvloop's clock ticks in milliseconds: a shorter timer would only turn the loop until it does."""


class Rate:
    """A token of both, or of none."""

    __slots__ = ("_pace", "_rest_s", "_set_per_s", "_shaper")

    def __init__(self, rate_per_s: int, burst: int, shaper: Shaper, pace: Pace) -> None:
        """`rate_per_s` and `burst` as they are set; `shaper` holds to them, alone or with other instances."""
        self._set_per_s = rate_per_s
        self._rest_s = SHORTEST_REST_S
        if rate_per_s:
            # At its begin there may be almost one token, for a timer may come too early by a hair: at most
            # half of what fills the bucket beside it, or tokens would be lost.
            spare_s = ((burst or rate_per_s) - 1) / rate_per_s
            self._rest_s = max(SHORTEST_REST_S, min(REST_S, spare_s / 2))
        self._shaper = shaper
        self._pace = pace

    def __repr__(self) -> str:
        return f"<Rate {self.per_s}/{self._set_per_s}>"

    @property
    def per_s(self) -> int:
        """Segments per second at most, 0 = unlimited: the setting, or less since the SMSC throttled."""
        return self._pace.per_s or self._set_per_s

    @property
    def shrunk(self) -> bool:
        return bool(self._pace.rate)

    @property
    def shrinks(self) -> int:
        """How often it was decreased."""
        return self._pace.shrinks

    @property
    def rest_s(self) -> float:
        """How long tokens may be left to ripen. An SMSC that complains is not sent many at once."""
        return SHORTEST_REST_S if self._pace.rate else self._rest_s

    def take(self, now_ns: int) -> int:
        """One token. 0: taken, else how long until it could be."""
        pace = self._pace
        if not pace.rate:
            return self._shaper.take(now_ns)
        wait_ns = pace.wait(now_ns) or self._shaper.take(now_ns)
        if not wait_ns:
            pace.take(now_ns)
        return wait_ns

    def wait(self, now_ns: int) -> int:
        """As `take`, but takes nothing."""
        return max(self._pace.wait(now_ns), self._shaper.wait(now_ns))
