"""Log lines that strangers can cause: at most one a second of each kind, with the number of those left out.

Who calls: whoever logs failures of callers. Counters tell all of them; a line tells one, and that there were
more (P10: no flood of bad requests becomes a flood of lines).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from smsproxy.obs.log import Log

INTERVAL_S = 1.0


class SampledLog:
    """One event, at most once in INTERVAL_S."""

    def __init__(self, log: Log, event: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._event = event
        self._clock = clock
        self._next_at = float("-inf")
        self._dropped = 0
        self.dropped_total = 0

    def warning(self, **fields: object) -> None:
        """Log, or count: the next line says in `dropped` how many were left out before it."""
        now = self._clock()
        if now < self._next_at:
            self._dropped += 1
            self.dropped_total += 1
            return
        self._next_at = now + INTERVAL_S
        dropped, self._dropped = self._dropped, 0
        self._log.warning(self._event, dropped=dropped, **fields)
