"""What a limiter is to those who ask it (spec §4).

The pipeline asks an `Admission` once a request (process and app limits police); links shape through a
`Bucket`. Both answer with nanoseconds to wait, 0 meaning granted: an int, because an object per answer would
cost more than the decision.
"""

from __future__ import annotations

from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

GRANTED = 0


class Bucket(Protocol):
    """One rate with its burst. Times are nanoseconds of one monotonic clock, never below zero."""

    def take(self, now_ns: int, n: int = 1) -> int:
        """Take `n` tokens: 0 = taken, else nothing was taken and this many ns until they could be."""
        ...

    def wait(self, now_ns: int, n: int = 1) -> int:
        """What `take` would answer, taking nothing."""
        ...

    def give_back(self, n: int = 1) -> None:
        """Return `n` tokens that were taken and not used."""
        ...


class Admission(Protocol):
    """The process and app limits: one token of each a request, refused at once with the wait."""

    def admit(self, app_id: int, now_ns: int) -> int:
        """GRANTED, or the nanoseconds after which a retry could be granted; then nothing was taken."""
        ...


def ms_from_ns(wait_ns: int) -> int:
    """A wait as `retry_after_ms`: whole milliseconds, rounded up so that a retry then is not too early."""
    return -(-wait_ns // NS_PER_MS)
