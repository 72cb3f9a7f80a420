"""The backlog: work that could not be done now and must be done later, such as results for a lost store.

It keeps the order, tries again every `retry_s`, and gives the oldest up when it is full. Who calls: parts of
the pipeline whose caller has been answered, so that nobody waits for what is in here but the drain.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

RETRY_S = 0.25
"""Often enough for "within 1 s" (spec §5), rare enough to leave a struggling store alone."""


class Backlog(Generic[T]):
    """`run` does a batch and tells whether it is done; it must not raise. Counters are for the scrape."""

    __slots__ = ("_items", "_max_batch", "_max_items", "_retry_s", "_run", "_task", "lost", "taken")

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[bool]],
        *,
        max_items: int = 100_000,
        max_batch: int = 1024,
        retry_s: float = RETRY_S,
    ) -> None:
        self._run = run
        self._max_items = max_items
        self._max_batch = max_batch
        self._retry_s = retry_s
        self._items: deque[T] = deque()
        self._task: asyncio.Task[None] | None = None
        self.taken = 0
        self.lost = 0
        """Given up because more than `max_items` waited."""

    def __repr__(self) -> str:
        return f"<Backlog waiting={len(self._items)} taken={self.taken} lost={self.lost}>"

    @property
    def idle(self) -> bool:
        return self._task is None

    def add(self, items: Iterable[T]) -> None:
        """Keep these for later, behind what waits already."""
        before = len(self._items)
        self._items.extend(items)
        self.taken += len(self._items) - before
        self._trim()
        if self._task is None and self._items:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        """Wait, try, and go on at once as long as it works. Ends when nothing is left."""
        try:
            while self._items:
                await asyncio.sleep(self._retry_s)
                while self._items and await self._try():
                    pass
        finally:
            self._task = None

    async def _try(self) -> bool:
        items = self._items
        batch = [items.popleft() for _ in range(min(len(items), self._max_batch))]
        done = await self._run(batch)
        if not done:
            items.extendleft(reversed(batch))
            self._trim()
        return done

    def _trim(self) -> None:
        while len(self._items) > self._max_items:
            self._items.popleft()
            self.lost += 1
