"""The coalescer: single requests in, batches out, no timer (docs/ARCHITECTURE.md, "the one idea").

A batch is whatever arrived while the previous batch was in flight. One item alone pays one round trip, a
thousand share it. `run` decides what a round trip is: a coroutine (store, Redis) or a plain function (a
socket write, once per loop turn).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

T = TypeVar("T")


class CoalescerFullError(Exception):
    """More than `max_waiting` items wait: the caller must refuse, nothing was taken."""


class Coalescer(Generic[T]):
    """Collects items and hands them to `run` in arrival order, one batch in flight at a time.

    `run` owns its failures: it must not raise (if it does, the loop's exception handler hears of it and the
    next batch runs all the same). When it returns a coroutine, the next batch starts after that has ended;
    when it returns None, right away.
    """

    __slots__ = ("_busy", "_loop", "_max_batch", "_max_waiting", "_run", "_scheduled", "_task", "_waiting",
                 "batches", "items")  # fmt: skip

    def __init__(
        self,
        run: Callable[[list[T]], Coroutine[object, object, None] | None],
        *,
        max_batch: int = 1024,
        max_waiting: int = 100_000,
    ) -> None:
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: list[T] = []
        self._busy = False
        self._scheduled = False
        self._task: asyncio.Task[None] | None = None
        self.batches = 0
        self.items = 0

    def __repr__(self) -> str:
        return f"<Coalescer waiting={len(self._waiting)} busy={self._busy} {self.items}/{self.batches}>"

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        return not self._waiting and not self._busy

    def add(self, item: T) -> None:
        """Take one item. Raises CoalescerFullError at `max_waiting`."""
        waiting = self._waiting
        if len(waiting) >= self._max_waiting:
            raise CoalescerFullError
        waiting.append(item)
        if not (self._scheduled or self._busy):
            self._scheduled = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        """Hand over the next batch. Runs at the end of a loop turn, so the turn's items go together."""
        self._scheduled = False
        waiting = self._waiting
        if len(waiting) <= self._max_batch:
            batch, self._waiting = waiting, []
        else:
            batch, self._waiting = waiting[: self._max_batch], waiting[self._max_batch :]
        self.batches += 1
        self.items += len(batch)
        self._busy = True
        work = None
        try:
            work = self._run(batch)
        finally:
            if work is None:
                self._next()
            else:
                self._task = self._loop.create_task(work)
                self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._next()
        if not task.cancelled():
            task.result()

    def _next(self) -> None:
        self._busy = False
        if self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._start)
