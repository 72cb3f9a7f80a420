"""How fast a campaign is fed when the daemon says it is too fast. Pure: time is an argument.

At first as fast as the window allows. `rate_limited` makes the gap between messages longer, once for all that
were under way together, beginning with the wait the daemon named; each accepted message makes it shorter.
"""

from __future__ import annotations

FIRST_GAP_S = 0.001
LONGEST_GAP_S = 1.0
LONGEST_HINT_S = 0.1
"""A wait of a second is what the daemon names when it is full, not the gap that would suit it."""
_LONGER = 1.5
_SHORTER = 0.98
"""Per accepted message: a gap that has just become longer is back after 20 of them."""


class Pace:
    """When the next message may go."""

    __slots__ = ("_changed_at", "_next_at", "gap_s", "slowed")

    def __init__(self) -> None:
        self.gap_s = 0.0
        self.slowed = 0
        self._next_at = 0.0
        self._changed_at = -1.0

    def wait_s(self, now: float) -> float:
        """How long the next message must wait; 0 takes its turn."""
        if now < self._next_at:
            return self._next_at - now
        self._next_at = now + self.gap_s
        return 0.0

    def pause(self, now: float, pause_s: float) -> None:
        """Nothing can be taken now; the gap is not to blame."""
        self._next_at = max(self._next_at, now + pause_s)

    def limited(self, fed_at: float, now: float, retry_after_s: float) -> None:
        """A message that was fed at `fed_at` was too much."""
        self.pause(now, retry_after_s)
        if fed_at > self._changed_at:
            hint_s = min(max(retry_after_s, FIRST_GAP_S), LONGEST_HINT_S)
            self.gap_s = min(max(self.gap_s * _LONGER, hint_s), LONGEST_GAP_S)
            self._changed_at = now
            self.slowed += 1

    def accepted(self) -> None:
        """A message went through."""
        self.gap_s = self.gap_s * _SHORTER if self.gap_s > FIRST_GAP_S / 2 else 0.0
