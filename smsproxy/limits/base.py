"""What a limiter is to those who ask it (spec §4).

The pipeline asks an `Admission` once a request (process and app limits police); links shape through a
`Bucket`. Both answer with nanoseconds to wait, 0 meaning granted: an int, because an object per answer would
cost more than the decision. Limits that are shared through Redis may not know yet: then they say ASK, and
tell those who wait (`Parked`) when an answer has come.
"""

from __future__ import annotations

from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

GRANTED = 0
ASK = -1
"""Not known here: it is being asked for, and `Parked.told` follows within the time of one call."""
UNAVAILABLE = -2
"""Not known, nobody to ask, and the operator wants a refusal then (`on_redis_loss = refuse`)."""


class Bucket(Protocol):
    """One rate with its burst. Times are nanoseconds of one monotonic clock, never below zero."""

    @property
    def rate_per_s(self) -> int: ...

    @property
    def burst(self) -> int: ...

    def take(self, now_ns: int, n: int = 1) -> int:
        """Take `n` tokens: 0 = taken, else nothing was taken and this many ns until they could be."""
        ...

    def wait(self, now_ns: int, n: int = 1) -> int:
        """What `take` would answer, taking nothing."""
        ...

    def give_back(self, n: int = 1) -> None:
        """Return `n` tokens that were taken and not used."""
        ...


class Parked(Protocol):
    """The requests that wait for an ASK to be answered."""

    def waiting(self, app_id: int) -> int:
        """How many of the app wait."""
        ...

    def told(self, app_id: int) -> None:
        """More is known about the app's limit: `admit` those that wait again."""
        ...


class Admission(Protocol):
    """The process and app limits: one token of each a request, refused at once with the wait."""

    def admit(self, app_id: int, now_ns: int) -> int:
        """GRANTED, or the nanoseconds after which a retry could be granted; then nothing was taken.

        Limits that are shared may also answer ASK or UNAVAILABLE, both below zero.
        """
        ...

    def attach(self, parked: Parked) -> None:
        """Who is told about what was answered by ASK. Called once, by the pipeline."""
        ...


def ms_from_ns(wait_ns: int) -> int:
    """A wait as `retry_after_ms`: whole milliseconds, rounded up so that a retry then is not too early."""
    return -(-wait_ns // NS_PER_MS)
