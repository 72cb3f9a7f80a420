"""Segments that the SMSC answered "throttled" to: it did not take them, so they may go again (spec §6).

Oldest first, whatever the order of the answers, and at most three times each. Pure; kept by the link.
"""

from __future__ import annotations

from bisect import insort
from operator import itemgetter

from smsproxy.links.base import Submission

MAX_TRIES = 3
"""A segment is submitted at most this often when the SMSC answers each time that it did not take it."""

Owner = tuple[int, Submission, int]
"""What a window slot is taken by: age of the segment's first write, its message, its number from 1."""

_age = itemgetter(0)


class Retries:
    """The queue of them. Bounded by the window: each had a slot."""

    __slots__ = ("_tries", "queue")

    def __init__(self) -> None:
        self.queue: list[Owner] = []
        """Who waits, oldest first; changed in here alone. A plain field: it is looked at per segment."""
        self._tries: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Retries waiting={len(self.queue)} tried={len(self._tries)}>"

    def __len__(self) -> int:
        return len(self.queue)

    def add(self, owner: Owner) -> bool:
        """Queue a throttled segment for another try; False when it has had them all."""
        tries = self._tries.get(owner[0], 1)
        if tries >= MAX_TRIES:
            return False
        self._tries[owner[0]] = tries + 1
        insort(self.queue, owner, key=_age)
        return True

    def pop(self) -> Owner:
        """The oldest, to be written now. Raises IndexError when none waits."""
        return self.queue.pop(0)

    def ended(self, owner: Owner) -> None:
        """The segment has its end: forget its tries."""
        if self._tries:
            self._tries.pop(owner[0], None)

    def take(self, submission: Submission) -> list[Owner]:
        """Take the segments of one message out; they will not go again."""
        taken = [owner for owner in self.queue if owner[1] is submission]
        if taken:
            self.queue = [owner for owner in self.queue if owner[1] is not submission]
            for owner in taken:
                self.ended(owner)
        return taken

    def drain(self) -> list[Owner]:
        """Take all out, oldest first."""
        taken, self.queue = self.queue, []
        for owner in taken:
            self.ended(owner)
        return taken
