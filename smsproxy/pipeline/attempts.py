"""Calls of stores and policy engines, as the pipeline's batches make them.

A call either works or it does not: whoever waits for a batch gets an end in both cases, also after a fault
that nobody foresaw. An outage is one line in the log when it begins and one when it is over, however many
batches it meets.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from smsproxy.domain.errors import ProductError
from smsproxy.obs.log import Log

T = TypeVar("T")


class Attempts:
    """All calls of one kind, e.g. every `Store.create`. `failures` is read at scrape time."""

    __slots__ = ("_call", "_failing", "_log", "failures")

    def __init__(self, log: Log, call: str) -> None:
        self._log = log
        self._call = call
        self._failing: type[Exception] | None = None
        self.failures = 0

    async def result(self, work: Awaitable[T]) -> T | None:
        """What `work` gives, or None when it failed: then nothing was done."""
        try:
            found = await work
        except Exception as error:  # supervised: callers wait behind this batch (style: the loops may)
            self._failed(error)
            return None
        if self._failing is not None:
            self._failing = None
            self._log.info("call_works_again", call=self._call, failures=self.failures)
        return found

    async def done(self, work: Awaitable[None]) -> bool:
        """Whether `work` succeeded; False means that nothing of it was done."""
        return await self.result(_truly(work)) is not None

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if type(error) is self._failing:
            return
        self._failing = type(error)
        if isinstance(error, ProductError):
            self._log.error("call_fails", call=self._call, reason=str(error))
        else:
            self._log.error("call_fails", call=self._call, reason="unexpected", exc_info=error)


async def _truly(work: Awaitable[None]) -> bool:
    await work
    return True
