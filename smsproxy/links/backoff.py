"""How long to wait before the next connect: growing, jittered, without a clock of its own.

Called by the runner after every end of a session, however it came.
"""

from __future__ import annotations

FIRST_S = 1.0
REFUSED_FIRST_S = 5.0
"""After a bind that the SMSC refused: it said no, or still holds our old session (ESME_RALYBND)."""
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

    def next(self, jitter: float, *, lived_s: float = 0.0, refused: bool = False) -> float:
        """Seconds to wait after a session that was bound for `lived_s`; `jitter` is random, in [0, 1)."""
        if lived_s >= STEADY_S:
            self._next_s = FIRST_S
        if refused:
            self._next_s = max(self._next_s, REFUSED_FIRST_S)
        delay_s = min(self._next_s, self._max_s)
        self._next_s = delay_s * 2
        return delay_s * (1 - jitter / 4)
