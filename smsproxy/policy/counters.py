"""What is remembered of one recipient: the packed values behind the keys of the embedded engine.

A `Tally` is one week of contacts under one scope key: seven daily counts and the message ids they are made
of, so that an id is counted once and given back once. `Claims` are the messages that hold one text to one
number of one app. Both are bounded, and read any bytes: what is no value of theirs counts as nothing
remembered. The first byte of a key (evaluator.py) names the format, so a new format takes a new letter.
"""

from __future__ import annotations

import struct
from functools import lru_cache

_HEAD = struct.Struct(">8I")  # week, then one count a day
_ENTRY = 17  # day, message id
_CLAIM = struct.Struct(">16sd")  # message id, Unix seconds

MAX_CLAIMS = 8
"""Enforced, one message holds a text at a time. In `count` mode more may: the oldest of more than this many
stay as one nameless claim, which blocks as before and can no longer be given back."""
_NAMELESS = bytes(16)


class Tally:
    """One week's contacts. A value of another week reads as an empty tally: the caps start anew."""

    __slots__ = ("_counts", "_entries", "_week")

    def __init__(self, value: bytes | None, week: int) -> None:
        self._week = week
        self._counts = [0] * 7
        self._entries: list[bytes] = []
        if value is None or len(value) < _HEAD.size or (len(value) - _HEAD.size) % _ENTRY:
            return
        stamp, *counts = _HEAD.unpack_from(value)
        entries = [value[at : at + _ENTRY] for at in range(_HEAD.size, len(value), _ENTRY)]
        if stamp == week and all(entry[0] < 7 for entry in entries):
            self._counts, self._entries = counts, entries

    @property
    def of_week(self) -> int:
        return sum(self._counts)

    def of_day(self, day: int) -> int:
        return self._counts[day]

    def holds(self, message_id: bytes) -> bool:
        return any(entry[1:] == message_id for entry in self._entries)

    def add(self, message_id: bytes, day: int, ids_kept: int) -> int:
        """Count one message. Returns how many ids were dropped to make room; what they counted stays."""
        self._counts[day] += 1
        self._entries.append(bytes((day,)) + message_id)
        dropped = max(0, len(self._entries) - ids_kept)
        del self._entries[:dropped]
        return dropped

    def remove(self, message_id: bytes) -> bool:
        """Take one message off the day it was counted on. False: it is not counted here."""
        for index, entry in enumerate(self._entries):
            if entry[1:] == message_id:
                del self._entries[index]
                self._counts[entry[0]] = max(0, self._counts[entry[0]] - 1)
                return True
        return False

    def pack(self) -> bytes | None:
        """The value to store, None for none."""
        if not any(self._counts):
            return None
        return _HEAD.pack(self._week, *self._counts) + b"".join(self._entries)


def first_contact(week: int, day: int, message_id: bytes) -> bytes:
    """What an empty `Tally` packs to once this message was added."""
    return _first_head(week, day) + message_id


@lru_cache(maxsize=16)
def _first_head(week: int, day: int) -> bytes:
    counts = [0] * 7
    counts[day] = 1
    return _HEAD.pack(week, *counts) + bytes((day,))


class Claims:
    """The messages that hold one text. Those older than `window_s` at `now` are left out."""

    __slots__ = ("_claims", "_now")

    def __init__(self, value: bytes | None, now: float, window_s: float) -> None:
        self._now = now
        if value is None or len(value) % _CLAIM.size:
            value = b""
        # A claim from the far future was made by a wrong clock; it must not hold the text for years.
        claims: list[tuple[bytes, float]] = list(_CLAIM.iter_unpack(value))
        self._claims = [(i, at) for i, at in claims if abs(now - at) < window_s]

    def holds(self, message_id: bytes, window_s: float) -> bool:
        return any(i == message_id and abs(self._now - at) < window_s for i, at in self._claims)

    def blocks(self, message_id: bytes, window_s: float) -> bool:
        """Whether another message holds the text, and this one does not."""
        held = any(abs(self._now - at) < window_s for _, at in self._claims)
        return held and not self.holds(message_id, window_s)

    def add(self, message_id: bytes) -> int:
        """Claim the text now. Returns how many ids were dropped to make room; what they claim stays."""
        self.remove(message_id)
        self._claims.append((message_id, self._now))
        if len(self._claims) <= MAX_CLAIMS:
            return 0
        (first, _), (_, at) = self._claims[:2]
        self._claims[:2] = [(_NAMELESS, at)]
        return 1 if first == _NAMELESS else 2

    def remove(self, message_id: bytes) -> bool:
        """Give the claim up. False: it has none."""
        kept = [claim for claim in self._claims if claim[0] != message_id]
        removed = len(kept) < len(self._claims)
        self._claims = kept
        return removed

    @property
    def newest_at(self) -> float:
        """When the newest claim was made (Unix seconds); now when there is none."""
        return max((at for _, at in self._claims), default=self._now)

    def pack(self) -> bytes | None:
        """The value to store, None for none."""
        return b"".join(_CLAIM.pack(*claim) for claim in self._claims) or None
