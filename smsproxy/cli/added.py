"""Where `smsproxy blacklist` writes: the Redis that instances share, else the policy's file.

SQLite lets two processes write in turn, so no daemon is needed, and none is disturbed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from smsproxy import assembly
from smsproxy.cli.failures import failed
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy import added
from smsproxy.policy.base import Transaction
from smsproxy.settings import Settings
from smsproxy.stores.sqlite_kv import transact_once

if TYPE_CHECKING:
    from smsproxy.policy.shared_added import SharedAdded


class Added(Protocol):
    """The list of numbers added by hand. All methods raise CommandError when it is out of reach."""

    def add(self, number: str) -> bool:
        """False: it was there already."""
        ...

    def remove(self, number: str) -> bool:
        """False: it was not there."""
        ...

    def holds(self, number: str) -> bool:
        """Whether it was added."""
        ...


def open_added(settings: Settings) -> Added:
    """Raises CommandError when this configuration has no place that outlives a process."""
    if settings.policy_redis is not None:
        return AddedInRedis(settings)
    if not settings.policy_path:
        raise failed("policy.path: names no file to keep numbers in, and no Redis is configured")
    return AddedInFile(Path(settings.policy_path))


class AddedInFile:
    """See `Added`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, number: str) -> bool:
        return self._run(lambda transaction: added.add(transaction, number))

    def remove(self, number: str) -> bool:
        return self._run(lambda transaction: added.remove(transaction, number))

    def holds(self, number: str) -> bool:
        return self._run(lambda transaction: added.holds(transaction, number))

    def _run(self, work: Callable[[Transaction], bool]) -> bool:
        try:
            return transact_once(self._path, work, time.time())
        except (StoreUnavailableError, added.AddedFullError) as error:
            raise failed(str(error)) from None


class AddedInRedis:
    """See `Added`. Each method is a connection of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def add(self, number: str) -> bool:
        return self._run(lambda numbers: numbers.add(number))

    def remove(self, number: str) -> bool:
        return self._run(lambda numbers: numbers.remove(number))

    def holds(self, number: str) -> bool:
        return self._run(lambda numbers: numbers.holds(number))

    def _run(self, work: Callable[[SharedAdded], Awaitable[bool]]) -> bool:
        async def run() -> bool:
            remote = assembly.policy_redis(self._settings)
            if remote is None:
                raise StoreUnavailableError("no Redis is configured")
            try:
                return await work(assembly.shared_added(remote))
            finally:
                await remote.aclose()

        try:
            return asyncio.run(run())
        except (StoreUnavailableError, added.AddedFullError) as error:
            raise failed(str(error)) from None
