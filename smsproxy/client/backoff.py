"""The pause before the next connect: doubling, jittered, without a clock of its own."""

from __future__ import annotations

FIRST_S = 0.1
"""A connection cut by a balancer is there again at once; a restarting daemon gets seconds by doubling."""


class Backoff:
    """Pauses of 0.1, 0.2, 0.4 ... up to `max_s`, each cut by up to half: clients do not march in step."""

    __slots__ = ("_max_s", "_next_s")

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._next_s = FIRST_S

    def next(self, jitter: float) -> float:
        """Seconds to wait; `jitter` is a random number in [0, 1)."""
        pause_s = min(self._next_s, self._max_s)
        self._next_s = min(self._next_s * 2, self._max_s)
        return pause_s * (1 - jitter / 2)

    def reset(self) -> None:
        """There was an answer."""
        self._next_s = FIRST_S
