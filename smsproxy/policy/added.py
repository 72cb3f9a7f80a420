"""Numbers put on the blacklist one at a time, beside its files: `smsproxy blacklist add`, read by daemons.

They lie in the policy's key-value store, so they survive a restart, and another process may change them: a
version tells that they are others than before. Plain functions over a `Transaction`, and `AddedInStore`,
through which a daemon looks.
"""

from __future__ import annotations

from typing import Protocol

from smsproxy.policy.base import KeyValue, Transaction

ADDED_MAX = 100_000
"""Kept by hand; a list of more is a file's business."""
POLL_S = 0.5
"""How often a daemon looks: a change is in force within a second."""

_NUMBER = b"b"
_STATE = b"v-blacklist"
_FOR_EVER = 1e12


class AddedFullError(Exception):
    """ADDED_MAX numbers are on the list already; nothing was added."""

    def __init__(self) -> None:
        super().__init__(f"{ADDED_MAX} numbers were added already: put further ones into a file")


class AddedNumbers(Protocol):
    """The list as a daemon reads it."""

    async def changed(self) -> frozenset[str] | None:
        """All numbers, or None when they are the ones of the last call.

        Raises StoreUnavailableError; what was read before goes on being right for all anybody knows.
        """
        ...


class AddedInStore:
    """See `AddedNumbers`; over the embedded policy's `KeyValue`."""

    def __init__(self, kv: KeyValue) -> None:
        self._kv = kv
        self._seen = -1

    async def changed(self) -> frozenset[str] | None:
        """See `AddedNumbers`."""
        found = await self._kv.transact(lambda transaction: read_newer(transaction, self._seen))
        if found is None:
            return None
        self._seen, numbers = found
        return numbers


def read_newer(transaction: Transaction, seen: int) -> tuple[int, frozenset[str]] | None:
    """(version, all numbers), or None when the version is `seen`."""
    version, _ = _state(transaction)
    if version == seen:
        return None
    return version, frozenset(key[1:].decode() for key in transaction.keys(_NUMBER))


def holds(transaction: Transaction, number: str) -> bool:
    """Whether the number was added."""
    return transaction.get(_NUMBER + number.encode()) is not None


def add(transaction: Transaction, number: str) -> bool:
    """False: it was there already. Raises AddedFullError."""
    if holds(transaction, number):
        return False
    if _state(transaction)[1] >= ADDED_MAX:  # not counted here: a daemon's messages wait while we write
        raise AddedFullError
    transaction.put(_NUMBER + number.encode(), b"", _FOR_EVER)
    _step(transaction, 1)
    return True


def remove(transaction: Transaction, number: str) -> bool:
    """False: it was not there."""
    if not holds(transaction, number):
        return False
    transaction.delete(_NUMBER + number.encode())
    _step(transaction, -1)
    return True


def _state(transaction: Transaction) -> tuple[int, int]:
    """The version, and how many numbers there are."""
    value = transaction.get(_STATE) or b""
    return int.from_bytes(value[:8]), int.from_bytes(value[8:])


def _step(transaction: Transaction, more: int) -> None:
    version, count = _state(transaction)
    transaction.put(_STATE, (version + 1).to_bytes(8) + (count + more).to_bytes(8), _FOR_EVER)
