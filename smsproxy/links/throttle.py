"""The pause after the SMSC said "slow down" (ESME_RTHROTTLED, ESME_RMSGQFUL; spec §6). Pure.

The whole link pauses, first 1 s, doubling to 30 s, reset by an ok. After a pause it starts with one segment
under way and doubles with every ok until the window is the limit again. Kept by the link, so it survives a
reconnect. Its `pace` is the lasting half of the answer: the rate that the link is shrunk to.
"""

from __future__ import annotations

from smsproxy.links.pace import Pace

_NANO = 1_000_000_000
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Throttle:
    """Pause and slow start of one link. Times are seconds of one monotonic clock."""

    __slots__ = ("_allowance", "_pause_s", "_paused_until", "_window", "limited", "pace")

    def __init__(self, window: int, rate_per_s: int = 0) -> None:
        """`rate_per_s` is the link's own, 0 = unlimited."""
        self.limited = False
        """In a pause or the slow start after one: `limit` counts. A plain field: it is read per segment."""
        self.pace = Pace(rate_per_s)
        self._window = window
        self._pause_s = FIRST_PAUSE_S
        self._paused_until = 0.0
        self._allowance = 1

    def __repr__(self) -> str:
        limit = self._allowance if self.limited else "none"
        return f"<Throttle limit={limit} paused_until={self._paused_until:g}>"

    def throttled(self, now: float, in_flight: int = 0) -> None:
        """An answer said so. Answers to what was in flight already do not lengthen the pause."""
        if now >= self._paused_until:
            self.pace.throttled(int(now * _NANO), in_flight)
            self._paused_until = now + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self.limited = True
        self._allowance = 1

    def ok(self, now: float) -> None:
        """The SMSC took a segment. What it takes during a pause was sent before, and says nothing new."""
        if now < self._paused_until:
            return
        self.pace.accepted(int(now * _NANO))
        if not self.limited:
            return
        self._pause_s = FIRST_PAUSE_S
        self._allowance *= 2
        self.limited = self._allowance < self._window

    def limit(self, now: float) -> int:
        """How many segments may be under way while `limited`: none in a pause."""
        return 0 if now < self._paused_until else self._allowance

    def pause_left(self, now: float) -> float:
        """Seconds until the pause ends, 0 outside of one."""
        return max(0.0, self._paused_until - now)
