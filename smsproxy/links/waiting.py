"""The waiting room of a link: served round-robin over callers, first-come within each (spec §4).

So an OTP never queues behind a campaign. Pure: no clock, no loop. Kept by the link.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class FairQueue(Generic[K, T]):
    """Items under keys; every key gets one turn in a round. All operations are O(1) but `ahead`."""

    __slots__ = ("_lines", "_turns", "size")

    def __init__(self) -> None:
        self._lines: dict[K, OrderedDict[T, None]] = {}
        self._turns: deque[K] = deque()
        self.size = 0
        """How many wait. A plain field: it is read per segment."""

    def __repr__(self) -> str:
        return f"<FairQueue {self.size} under {len(self._lines)} keys>"

    def __len__(self) -> int:
        return self.size

    def push(self, key: K, item: T) -> None:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = OrderedDict()
            self._turns.append(key)
        if item not in line:
            line[item] = None
            self.size += 1

    def head(self) -> T:
        """The item whose turn it is; it stays. Raises IndexError when nobody waits."""
        while True:
            line = self._lines[self._turns[0]]
            if line:
                return next(iter(line))
            del self._lines[self._turns.popleft()]  # they all left before their turn

    def pop(self) -> T:
        """Take the head out and give the turn to the next key. Raises IndexError when nobody waits."""
        while True:
            line = self._lines[self._turns[0]]
            if line:
                break
            del self._lines[self._turns.popleft()]
        item, _ = line.popitem(last=False)
        self.size -= 1
        if line:
            self._turns.rotate(-1)
        else:
            del self._lines[self._turns.popleft()]
        return item

    def remove(self, key: K, item: T) -> bool:
        """Take one waiter out of the middle; False when it does not wait."""
        line = self._lines.get(key)
        if line is None or item not in line:
            return False
        del line[item]
        self.size -= 1
        return True

    def count(self, wanted: Callable[[K], bool]) -> int:
        """How many wait under the keys that are `wanted`."""
        return sum(len(line) for key, line in self._lines.items() if wanted(key))

    def ahead(self, key: K) -> int:
        """How many items would be served before a new one under `key`, at most."""
        own = len(self._lines.get(key, ()))
        return own + sum(min(len(line), own + 1) for other, line in self._lines.items() if other != key)

    def drain(self) -> list[T]:
        """Take everybody out, in the order they would have been served."""
        return [self.pop() for _ in range(self.size)]
