"""What this process alone knows of the records it has just written: that nobody has touched them since.

The cluster counts every write of a record (its version). A record that we created has version 1; as long as
it has, it is as we left it, and the next write needs no condition but "version 1 still". That is cheaper than
a filter expression by half, and as exact: whoever came between has changed the version, and the write is then
made anew with its conditions. A record that went and came again begins at version 1, too, so nothing is
believed for longer than a record must live. Used by intents, results and receipts, from several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

CREATED: Final = 1
RESULT_STORED: Final = 2
"""Versions of a record of one segment."""

BELIEVED_S = 30.0
"""Shorter than a tombstone lives, so that no second life of a record can be taken for its first."""
CLOSE_S = 2.0
"""A result waits so long for its receipt, which closes the record in passing."""
MAX_KNOWN = 50_000
"""About 20 MB; what is not known here is written with conditions, and closed at once."""


class Unclosed(NamedTuple):
    """A result that is stored, its key claimed, its record still in the index `open`."""

    message_id: bytes
    generation: int
    key: str
    name: str
    """The key record's."""
    at: float
    monotonic: float


class Recent:
    """Handles of untouched records, and results that wait for their receipts; oldest first, bounded."""

    def __init__(
        self,
        *,
        retention_s: float,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._believed_s = min(BELIEVED_S, retention_s / 2)
        self._clock = clock
        self._monotonic = monotonic
        self._created: dict[int, tuple[float, float]] = {}
        self._lock = threading.Lock()
        """Intents and results run in threads of their own."""
        self._unclosed: dict[bytes, Unclosed] = {}
        self._named: dict[str, bytes] = {}

    def created(self, generations: Iterable[int]) -> None:
        """These were created just now, with one segment."""
        now = self._clock(), self._monotonic()
        with self._lock:
            self._created.update(dict.fromkeys(generations, now))
            while len(self._created) > MAX_KNOWN:
                self._created.pop(next(iter(self._created)))

    def take_created(self, generations: Iterable[int]) -> set[int]:
        """Those that nobody has touched, as far as we know. Asked once: the asker is about to."""
        young_since = self._young_since()
        with self._lock:
            taken = [(one, self._created.pop(one, None)) for one in generations]
        return {one for one, since in taken if since is not None and young_since(*since)}

    def claimed(self, message_id: bytes, generation: int, key: str, name: str) -> bool:
        """Its receipt may close it. False: there is no room, close it now."""
        if len(self._unclosed) >= MAX_KNOWN:
            return False
        self.closed(message_id)
        now = self._clock(), self._monotonic()
        self._unclosed[message_id] = Unclosed(message_id, generation, key, name, *now)
        self._named[name] = message_id
        return True

    def is_claimed(self, message_id: bytes, generation: int, key: str) -> bool:
        """Whether the key of this result is claimed, although its record still says that it waits."""
        known = self._unclosed.get(message_id)
        return known is not None and (known.generation, known.key) == (generation, key)

    def awaiting(self, names: Sequence[str]) -> list[Unclosed | None]:
        """The results that have these keys, where they are as we stored them, as far as we know."""
        young_since = self._young_since()
        found = [self._unclosed.get(self._named.get(name, b"")) for name in names]
        return [
            one if one is not None and one.name == name and young_since(one.at, one.monotonic) else None
            for name, one in zip(names, found, strict=True)
        ]

    def closed(self, message_id: bytes) -> None:
        known = self._unclosed.pop(message_id, None)
        if known is not None:
            self._named.pop(known.name, None)

    def overdue(self, *, everything: bool = False) -> list[Unclosed]:
        """Those whose receipt did not come in time: to be closed, and then told as `closed`."""
        before = self._monotonic() - CLOSE_S
        return [one for one in list(self._unclosed.values()) if everything or one.monotonic <= before]

    def _young_since(self) -> Callable[[float, float], bool]:
        """By both clocks: one may be set, and one stands still while the machine sleeps."""
        now, monotonic_now, believed_s = self._clock(), self._monotonic(), self._believed_s

        def is_young(at: float, monotonic: float) -> bool:
            return 0 <= now - at < believed_s and monotonic_now - monotonic < believed_s

        return is_young
