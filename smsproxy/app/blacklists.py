"""Keeps the contact policy's blacklist current: its files, and the numbers that `smsproxy blacklist` added.

Each is read at the start and looked at again and again. A look that fails leaves the numbers of before in
force; numbers that were never read are not taken for none (then no rule with a blacklist decides).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.obs.log import Log
from smsproxy.pipeline.attempts import Attempts
from smsproxy.policy import blacklist
from smsproxy.policy.added import POLL_S, AddedNumbers
from smsproxy.policy.engine import ContactPolicy

if TYPE_CHECKING:
    from smsproxy.remote.remote import Remote

_FILES_POLL_S = 2.0


class Blacklists:
    """Both sources of one daemon. App runs the two `run_...` until the stop."""

    def __init__(self, policy: ContactPolicy, added: AddedNumbers, files: Sequence[str], log: Log) -> None:
        self._policy = policy
        self._added = added
        self._log = log
        self._files = files
        self._watch = blacklist.BlacklistWatch(files)
        self._lists: dict[str, blacklist.Blacklist] = {}
        """What is in force of each file."""

    def reload(self, files: Sequence[str]) -> None:
        """SIGHUP: these files from now on; the next look reads them."""
        self._files = files
        self._watch = blacklist.BlacklistWatch(files)

    async def open_files(self) -> None:
        """The first reading; what is loaded now is not news to the watcher."""
        await asyncio.to_thread(self._watch.changed)
        await self._load_files()

    async def open_added(self, shared: Remote | None) -> None:
        """The first look, at `shared` or at what is our own; that one raises StoreUnavailableError."""
        if shared is None:
            await self._load_added()
            return
        self._policy.replace_added(None)  # unknown, until Redis has told them
        if await shared.open():
            with contextlib.suppress(StoreUnavailableError):
                await self._load_added()

    async def run_files(self) -> None:
        """Read the files again when they change, in a thread: traffic does not pause for it."""
        while True:
            await asyncio.sleep(_FILES_POLL_S)
            if await asyncio.to_thread(self._watch.changed):
                await self._load_files()

    async def run_added(self) -> None:
        """Look for what `smsproxy blacklist` added or removed; while that fails the old numbers count."""
        looks = Attempts(self._log, "blacklist_added")
        while True:
            await asyncio.sleep(POLL_S)
            await looks.done(self._load_added())

    async def _load_files(self) -> None:
        """What a file said that has gone since stays in force: its loss is no leave to write to anybody."""
        files = self._files
        lists = await asyncio.to_thread(lambda: {name: blacklist.load([name]) for name in files})
        gone = [name for name, one in lists.items() if one.unreadable and self._was_read(name)]
        for name, one in lists.items():
            if name not in gone:
                for problem in one.problems:
                    self._log.warning("blacklist_problem", problem=problem)
        self._lists = lists | {name: self._lists[name] for name in gone}
        joined = tuple(self._lists.values())
        self._policy.replace_blacklist(joined[0] if len(joined) == 1 else blacklist.Joined(joined))
        entries = sum(map(len, joined))
        if gone:
            self._log.warning("blacklist_kept", gone=sorted(gone), entries=entries)
        else:
            self._log.info("blacklist_loaded", entries=entries)

    def _was_read(self, name: str) -> bool:
        return name in self._lists and not self._lists[name].unreadable

    async def _load_added(self) -> None:
        """Raises StoreUnavailableError."""
        numbers = await self._added.changed()
        if numbers is not None:
            self._policy.replace_added(numbers)
            self._log.info("blacklist_added_loaded", entries=len(numbers))
