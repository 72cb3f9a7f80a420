"""All links and pools of this instance: built from settings, started, changed at SIGHUP, stopped.

A reload keeps the sessions of links whose settings did not change. A changed or removed link takes no new
message at once, finishes what it has, unbinds; its successor binds right away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from smsproxy.aio.wait import settled
from smsproxy.links.base import LinkEvents, Shaper, text_options
from smsproxy.links.link import Link
from smsproxy.links.pool import Directory, LinkPool, Member
from smsproxy.links.runner import LinkRunner
from smsproxy.obs.log import Log
from smsproxy.settings import LinkSettings, PoolSettings

_IDLE_POLL_S = 0.05
_UNBIND_S = 2.0
"""How long an unbind_resp is waited for; closing without it is fine (smpp-field: peers close at once)."""


class LinkSupervisor:
    """Owns the runners. `directory` is what the pipeline picks from."""

    def __init__(
        self, handler: LinkEvents, make_shaper: Callable[[LinkSettings], Shaper], max_segments: int, log: Log
    ) -> None:
        self.directory = Directory()
        self._handler = handler
        self._make_shaper = make_shaper
        self._max_segments = max_segments
        self._log = log
        self._runners: dict[int, LinkRunner] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    def apply(self, links: Mapping[int, LinkSettings], pools: Mapping[int, PoolSettings]) -> list[int]:
        """Make it so; the ids of links that were started, changed or removed."""
        touched = []
        for link_id, runner in list(self._runners.items()):
            if links.get(link_id) != runner.link.settings:
                touched.append(link_id)
                self._retire(link_id)
        for link_id, settings in links.items():
            if link_id not in self._runners:
                touched.append(link_id)
                self._start(link_id, settings)
        directory = self.directory
        directory.pools = {
            pool_id: LinkPool(
                pool_id, [Member(directory.links[one.link], one.weight) for one in pool.members]
            )
            for pool_id, pool in pools.items()
        }
        return sorted(set(touched))

    @property
    def idle(self) -> bool:
        return all(runner.link.idle for runner in self._runners.values())

    async def stop(self) -> None:
        """Unbind everything. The drain has waited for what was in flight."""
        stops = [runner.stop(_UNBIND_S) for runner in self._runners.values()]
        await asyncio.gather(*stops, *self._retiring, return_exceptions=True)
        self._runners.clear()

    def _start(self, link_id: int, settings: LinkSettings) -> None:
        text = text_options(settings, self._max_segments)
        link = Link(link_id, settings, text, self._make_shaper(settings), self._handler)
        self.directory.links[link_id] = link
        runner = self._runners[link_id] = LinkRunner(link, self._log)
        runner.start()

    def _retire(self, link_id: int) -> None:
        runner = self._runners.pop(link_id)
        del self.directory.links[link_id]
        task = asyncio.create_task(self._drain(runner), name=f"link-{link_id}-retire")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _drain(self, runner: LinkRunner) -> None:
        """Wait until its window and waiting room are empty, at most one response time-out."""
        link = runner.link
        await settled(lambda: link.idle, timeout_s=link.settings.response_timeout_s, poll_s=_IDLE_POLL_S)
        await runner.stop(_UNBIND_S)
