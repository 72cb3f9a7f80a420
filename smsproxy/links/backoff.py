"""How long to wait before the next connect: growing, jittered, without a clock of its own.

Called by the runner after every end of a session, however it came.
"""

from __future__ import annotations

FIRST_S = 1.0
STEADY_S = 3.0
"""A session that lived this long was a good one. One that is hung up at once does not reset the delays."""


class Backoff:
    """Delays 1, 2, 4 … up to `max_s`, each shortened by up to a quarter: links do not march in step."""

    __slots__ = ("_max_s", "_next_s")

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._next_s = FIRST_S

    def __repr__(self) -> str:
        return f"<Backoff next={self._next_s:g}s max={self._max_s:g}s>"

    def next(self, jitter: float, *, lived_s: float = 0.0, at_least_s: float = 0.0) -> float:
        """Seconds to wait after a session that was bound for `lived_s`; `jitter` is random, in [0, 1).

        `at_least_s`: what the reason of a refused bind asks for (`statuses`); growth goes on from there.
        """
        if lived_s >= STEADY_S:
            self._next_s = FIRST_S
        delay_s = min(max(self._next_s, at_least_s), self._max_s)
        self._next_s = delay_s * 2
        return delay_s * (1 - jitter / 4)
