"""The circuit breaker: after some failures nobody waits for Redis any more. Pure: time is an argument.

Two states. Closed: calls go through. Open: calls are refused at once, until a probe that the owner makes by
itself has worked. So no caller ever pays for finding out. Kept by `Remote`.
"""

from __future__ import annotations

from collections import deque

FAILURES = 3
"""At 50 ms each a deaf server is known after 150 ms, and one lost connection or slow fork opens nothing."""
WINDOW_S = 1.0


class Breaker:
    """Opens at `failures` in a row, however slowly they come, or within `window_s`."""

    __slots__ = ("_failures", "_recent", "_row", "_window_s", "is_open", "opened")

    def __init__(self, failures: int = FAILURES, window_s: float = WINDOW_S) -> None:
        self._failures = failures
        self._window_s = window_s
        self._recent: deque[float] = deque(maxlen=failures)
        self._row = 0
        self.is_open = False
        self.opened = 0
        """How often; read at scrape time."""

    def __repr__(self) -> str:
        return f"<Breaker {'open' if self.is_open else 'closed'} opened={self.opened}>"

    def failed(self, now: float) -> bool:
        """A call failed. True when that opened it."""
        self._recent.append(now)
        self._row += 1
        full = len(self._recent) == self._failures and now - self._recent[0] <= self._window_s
        return (full or self._row >= self._failures) and self.open()

    def succeeded(self) -> None:
        """A call was answered. An open breaker is closed by `close` alone."""
        self._row = 0

    def open(self) -> bool:
        """Refuse from now on. False when it was open already."""
        if self.is_open:
            return False
        self.is_open = True
        self.opened += 1
        return True

    def close(self) -> None:
        """A probe worked: begin anew."""
        self.is_open = False
        self._row = 0
        self._recent.clear()
