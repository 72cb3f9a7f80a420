"""Where `smsproxy blacklist` writes: the policy's file, beside the daemon that has it open.

SQLite lets two processes write in turn, so no daemon is needed, and none is disturbed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from smsproxy.cli.failures import failed
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy import added
from smsproxy.policy.base import Transaction
from smsproxy.settings import Settings
from smsproxy.stores.sqlite_kv import transact_once


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
    if not settings.policy_path:
        raise failed("policy.path: with store.url memory: there is no file to keep numbers in; name one")
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
