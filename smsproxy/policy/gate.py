"""When to stop asking a service that fails, and when to ask again. Pure: time is an argument.

Open after `failures` in a row; then one call in `probe_s` goes through to find out, the others are spared.
Its own thing beside the breaker of `remote`, which has a command to probe with: a policy service has only the
calls we make anyway. Kept by `HttpState`.
"""

from __future__ import annotations

FAILURES = 5
"""In a row, so that one slow answer in a hundred shuts nothing; a dead service is known by one batch."""
PROBE_S = 0.5
"""One caller in half a second pays for finding out: back well within a second."""


class Gate:
    """Asked before each call, told after it."""

    __slots__ = ("_failures", "_probe_at", "_probe_s", "_row", "is_shut")

    def __init__(self, failures: int = FAILURES, probe_s: float = PROBE_S) -> None:
        self._failures = failures
        self._probe_s = probe_s
        self._probe_at = 0.0
        self._row = 0
        self.is_shut = False

    def __repr__(self) -> str:
        return f"<Gate {'shut' if self.is_shut else 'open'} failures_in_a_row={self._row}>"

    def lets_through(self, now: float) -> bool:
        """Whether this call may be made. True is a promise to tell how it went."""
        if self.is_shut:
            if now < self._probe_at:
                return False
            self._probe_at = now + self._probe_s
        return True

    def failed(self, now: float) -> bool:
        """A call failed. True when that shut it."""
        self._row += 1
        if self.is_shut or self._row < self._failures:
            return False
        self.is_shut = True
        self._probe_at = now + self._probe_s
        return True

    def succeeded(self) -> bool:
        """A call was answered. True when that opened it again."""
        self._row = 0
        opened, self.is_shut = self.is_shut, False
        return opened
