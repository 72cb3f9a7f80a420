"""The pause after the SMSC said "slow down" (ESME_RTHROTTLED, ESME_RMSGQFUL; spec §6). Pure.

The whole link pauses, first 1 s, doubling to 30 s, reset by an ok. After a pause it starts with one segment
in flight and doubles with every ok until the window is the limit again.
"""

from __future__ import annotations

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
MAX_TRIES = 3
"""A segment is submitted at most this often when the SMSC answers each time that it did not take it."""


class Throttle:
    """Pause and slow start of one link; it survives a reconnect."""

    __slots__ = ("_allowance", "_pause_s", "_window", "paused_until", "pauses")

    def __init__(self, window: int) -> None:
        self._window = window
        self._pause_s = FIRST_PAUSE_S
        self._allowance = 0  # 0: no limit beyond the window
        self.paused_until = 0.0
        self.pauses = 0

    def throttled(self, now: float) -> None:
        """An answer said so. Answers to what was in flight already do not lengthen the pause."""
        if now >= self.paused_until:
            self.paused_until = now + self._pause_s
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
            self.pauses += 1
        self._allowance = 1

    def ok(self) -> None:
        """The SMSC took a segment."""
        if self._allowance:
            self._pause_s = FIRST_PAUSE_S
            self._allowance *= 2
            if self._allowance >= self._window:
                self._allowance = 0

    def may_send(self, now: float, in_flight: int) -> bool:
        return now >= self.paused_until and (not self._allowance or in_flight < self._allowance)
