"""The effective rate of a link: shrunk when the SMSC says "slow down", recovered step by step. Pure.

Beside the pause (`throttle`), which empties the SMSC's queue, this finds the rate at which it needs no pause.
It decreases by a part of the rate that the SMSC was seen to take, and recovers by small steps: towards the
rate that failed quickly while it is far, slowly near it, and past it the bolder the longer all goes well.
Integers: rates are thousandths of a segment per second, times are nanoseconds of one monotonic clock. Kept by
the link's throttle, so it survives a reconnect.
"""

from __future__ import annotations

_SECOND = 1_000_000_000
_MILLI = 1000
_SLOWEST = 1 * _MILLI
"""One segment a second: below that the pause alone rules."""
_FASTEST = 1_000_000 * _MILLI
"""The upper bound of `rate_per_s`; a link without a rate is free again when it gets there."""
_NEAR = 16
"""A settled rate gives up a sixteenth, and every second regains a sixteenth of the distance: a pause of one
second in thirty costs less than the tenth that is allowed."""
_SEARCHING = 8
"""Throttled again so soon that the rate was not yet found: an eighth."""
_SOONEST = 32
"""What was sent in the last second may have been sent in so small a part of it: no rate was higher."""
_SETTLED_NS = 10 * _SECOND
_SMALLEST_STEP = 512
_BOLDER_NS = 20 * _SECOND
"""Recovery past the rate that failed doubles its step each time so much went well."""
_SLACK_NS = _SECOND // 64
"""Timers are late by some milliseconds: so much of a late segment's time is made up for."""


class Pace:
    """The state of one link. While all is well it costs a segment next to nothing."""

    __slots__ = (
        "_accepted",
        "_before",
        "_ceiling",
        "_full",
        "_measured",
        "_next_ns",
        "_proven",
        "_second_ns",
        "_shrunk_ns",
        "rate",
        "shrinks",
    )

    def __init__(self, rate_per_s: int) -> None:
        """`rate_per_s` of the settings, 0 = unlimited."""
        self._full = rate_per_s * _MILLI
        self.rate = 0
        """Thousandths of a segment per second; 0: not shrunk. A plain field: it is read per segment."""
        self._ceiling = 0
        """The rate at which it was throttled last."""
        self._shrunk_ns = -_SETTLED_NS
        self._next_ns = 0
        self._second_ns = 0
        self._accepted = 0
        """Taken by the SMSC in the second that runs, and `_before` in the one before it."""
        self._before = 0
        self._proven = False
        """The SMSC took something since the last decrease: only then does a refusal tell of a rate."""
        self._measured = False
        """The last decrease was from a rate that was seen: one more right after it does not halve that."""
        self.shrinks = 0

    def __repr__(self) -> str:
        return f"<Pace {self.rate / _MILLI:g}/s>" if self.rate else "<Pace full>"

    @property
    def per_s(self) -> int:
        """Whole segments per second, at least 1; 0 while nothing is shrunk."""
        return self.rate // _MILLI

    def wait(self, now_ns: int) -> int:
        """Nanoseconds until the next segment may go; takes nothing."""
        return max(0, self._next_ns - now_ns) if self.rate else 0

    def take(self, now_ns: int) -> None:
        """A segment goes now."""
        if self.rate:
            late = 0 <= now_ns - self._next_ns <= _SLACK_NS
            self._next_ns = (self._next_ns if late else now_ns) + _SECOND * _MILLI // self.rate

    def accepted(self, now_ns: int) -> None:
        """The SMSC took a segment. Once a second this is a step of recovery."""
        if now_ns - self._second_ns >= _SECOND:
            self._next_second(now_ns)
            if self.rate:
                self._recover(now_ns)
        self._accepted += 1
        self._proven = True

    def throttled(self, now_ns: int, in_flight: int) -> None:
        """The SMSC did not take a segment, with `in_flight` others under way. Of no effect before an ok."""
        if not self._proven:
            return
        if now_ns - self._second_ns >= _SECOND:
            self._next_second(now_ns)
        seen = max(self._before, self._accepted) * _MILLI
        sent = seen + (in_flight + 1) * _MILLI
        tried = min(self.rate or self._full or _FASTEST, sent * _SOONEST)
        part = _NEAR if now_ns - self._shrunk_ns >= _SETTLED_NS else _SEARCHING
        measured = 2 * seen >= tried
        found = min(seen, tried) if measured else tried if self._measured else tried // 2
        self._measured = measured
        self._ceiling = min(tried, sent) if measured else tried
        self.rate = max(found - found // part, _SLOWEST)
        self._shrunk_ns = now_ns
        self._proven = False
        self.shrinks += 1

    def _next_second(self, now_ns: int) -> None:
        recent = now_ns - self._second_ns < 2 * _SECOND
        self._before = self._accepted if recent else 0
        self._accepted = 0
        self._second_ns = now_ns

    def _recover(self, now_ns: int) -> None:
        gap = max(0, self._ceiling - self.rate)
        bolder = min((now_ns - self._shrunk_ns) // _BOLDER_NS, 20)
        self.rate += max(gap // _NEAR, (self._ceiling // _SMALLEST_STEP) << bolder, 1)
        if self.rate >= (self._full or _FASTEST):
            self.rate = 0
