"""Numbers added to the blacklist one at a time, in a Redis that instances share: added.py over there.

Daemons look for a newer version and keep the numbers in memory, so no message waits for this, and a Redis
that is away changes nothing. The list is as durable as that Redis: what must not be lost belongs into a file.
"""

from __future__ import annotations

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.policy.added import ADDED_MAX, AddedFullError
from smsproxy.remote.remote import Argument, Remote, RemoteUnavailableError
from smsproxy.remote.script import Script

ADDED = Script.load("smsproxy.policy", "scripts/added.lua")
KEPT_S = 10 * 365 * 86_400
"""Every key of ours lapses; this one ten years after its last change."""
_CALL_S = 1.0
"""Nobody's message waits for it, and a hundred thousand numbers are a megabyte."""
_KEYS = ("smsproxy:{0}:policy:added", "smsproxy:{0}:policy:added-version")


class SharedAdded:
    """See `added.AddedNumbers`, and what `smsproxy blacklist` changes. All raise StoreUnavailableError."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._seen = b"none"

    async def changed(self) -> frozenset[str] | None:
        """See `AddedNumbers`. A list that is gone from Redis does not unlist anybody here."""
        reply = await self._run("newer", self._seen)
        if not isinstance(reply, list) or len(reply) != 2:
            return None
        version, numbers = reply
        if version == b"0" and self._seen not in (b"none", b"0"):
            raise StoreUnavailableError(
                "the added numbers are gone from Redis; those read before still count"
            )
        self._seen = version
        return frozenset(number.decode() for number in numbers)

    async def add(self, number: str) -> bool:
        """False: it was there already. Raises AddedFullError, too."""
        reply = await self._run("add", number)
        if reply == -1:
            raise AddedFullError
        return reply == 1

    async def remove(self, number: str) -> bool:
        """False: it was not there."""
        return await self._run("remove", number) == 1

    async def holds(self, number: str) -> bool:
        """Whether it was added."""
        return await self._run("holds", number) == 1

    async def _run(self, op: str, what: Argument) -> object:
        try:
            return await self._remote.run(ADDED, _KEYS, [op, what, ADDED_MAX, KEPT_S], _CALL_S)
        except RemoteUnavailableError as error:
            raise StoreUnavailableError(f"{self._remote.url}: {error}") from None
