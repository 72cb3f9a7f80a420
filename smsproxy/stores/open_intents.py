"""Which intents of this life still lack results, and so the low-water mark (spec §6, reliability row 27).

Rows are handed out in rising order, so below the oldest open intent everything is settled: after a crash only
what lies above needs a look. Used by the SQLite store, in the loop's thread.
"""

from __future__ import annotations


class OpenIntents:
    """Row -> the segments without a result, one bit each, oldest row first."""

    def __init__(self) -> None:
        self._missing: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._missing)

    def add(self, row: int, segments: int) -> None:
        """Before the intent is stored: a mark taken meanwhile must not pass it. Rows only rise."""
        self._missing[row] = (1 << segments) - 1

    def settled(self, row: int, segment_no: int) -> None:
        """A result is stored. Told twice, or of an intent that is not open, it changes nothing."""
        missing = self._missing.get(row)
        if missing is None:
            return
        missing &= ~(1 << (segment_no - 1))
        if missing:
            self._missing[row] = missing
        else:
            del self._missing[row]

    def drop(self, row: int) -> None:
        """The intent is not in the store (refused, withdrawn or swept)."""
        self._missing.pop(row, None)

    def low_water(self, next_row: int) -> int:
        """No row below this lacks a result. `next_row` is the next one to be handed out."""
        return next(iter(self._missing), next_row)
