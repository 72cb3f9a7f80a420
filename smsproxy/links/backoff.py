"""How long to wait before the next connect: growing, jittered, without a clock of its own."""

from __future__ import annotations

FIRST_S = 1.0
REFUSED_FIRST_S = 5.0
"""After a bind that the SMSC refused: it knows us and said no, so asking quickly again only annoys it."""


class Backoff:
    """Delays 1, 2, 4 … up to `max_s`, each spread by ±25 % so that a hundred links do not march in step."""

    __slots__ = ("_max_s", "_next_s")

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._next_s = FIRST_S

    def next(self, jitter: float, *, refused: bool = False) -> float:
        """Seconds to wait; `jitter` is a random number in [0, 1)."""
        if refused:
            self._next_s = max(self._next_s, REFUSED_FIRST_S)
        delay = min(self._next_s, self._max_s)
        self._next_s = min(self._next_s * 2, self._max_s)
        return delay * (0.75 + 0.5 * jitter)

    def reset(self) -> None:
        """The bind succeeded."""
        self._next_s = FIRST_S
