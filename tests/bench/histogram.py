"""A log-linear histogram of durations, laid out as HdrHistogram's: less than 1 % off at any size.

Sixty lines of our own because the package on PyPI wants the newest setuptools and has no wheel for Linux on
ARM. The load records every answer of an open-loop run here (tally.py), the runner merges rounds and reads
percentiles (latency.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

_LINEAR_BITS = 8
"""Up to 2^8 µs each microsecond has its own count; above, every doubling has half as many."""
_HALF = 1 << (_LINEAR_BITS - 1)
_MAX_BITS = 33
"""Some two hours; what is longer counts as that."""
_SIZE = (_MAX_BITS - _LINEAR_BITS + 2) * _HALF


class Histogram:
    """Counts of durations in µs."""

    __slots__ = ("_counts", "count", "max_us")

    def __init__(self) -> None:
        self._counts = [0] * _SIZE
        self.count = 0
        self.max_us = 0

    def __repr__(self) -> str:
        return f"<Histogram n={self.count} p50={self.percentile_us(50)} max={self.max_us} µs>"

    def record(self, seconds: float) -> None:
        """One duration; what is below zero (a clock's rounding) counts as zero."""
        us = max(int(seconds * 1e6), 0)
        if us > self.max_us:
            self.max_us = us
        self.count += 1
        self._counts[_index(us)] += 1

    def merge(self, other: Histogram) -> None:
        """Take in everything that `other` has counted."""
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.max_us = max(self.max_us, other.max_us)

    def percentile_us(self, percent: float) -> int:
        """The least duration that `percent` of them do not exceed, rounded up by less than 1 %."""
        wanted = max(self.count * percent / 100, 1)
        for index, seen in enumerate(accumulate(self._counts)):
            if seen >= wanted:
                return min(_highest(index), self.max_us)
        return self.max_us

    def percentile_ms(self, percent: float) -> float:
        return round(self.percentile_us(percent) / 1000, 3)

    def as_json(self) -> dict[str, int]:
        """The maximum, and the counts that are not 0 by their place: small, however long the run."""
        counts = {str(index): count for index, count in enumerate(self._counts) if count}
        return {"max_us": self.max_us, **counts}

    @classmethod
    def from_json(cls, document: Mapping[str, int]) -> Histogram:
        made = cls()
        for place, count in document.items():
            if place != "max_us":
                made._counts[int(place)] = count
        made.max_us = document["max_us"]
        made.count = sum(made._counts)
        return made


def _index(us: int) -> int:
    shift = max(us.bit_length() - _LINEAR_BITS, 0)
    return min(shift * _HALF + (us >> shift), _SIZE - 1)


def _highest(index: int) -> int:
    """The longest duration that counts at this place."""
    shift = max(index // _HALF - 1, 0)
    return ((index - shift * _HALF + 1) << shift) - 1
