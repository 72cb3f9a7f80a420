"""All links and pools of this instance: built from settings, started, changed at SIGHUP, stopped.

A reload keeps the sessions of links whose settings did not change. A changed or removed link takes no new
message at once, finishes what it has, unbinds; its successor binds right away. Built by app.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from smsproxy.aio.wait import settled
from smsproxy.links.base import LinkEvents, MakeShaper, text_options
from smsproxy.links.connects import ConnectLimiter
from smsproxy.links.link import Link
from smsproxy.links.pool import Directory, LinkPool, Member
from smsproxy.links.references import References
from smsproxy.links.runner import LinkRunner
from smsproxy.obs.log import Log
from smsproxy.settings import LinkSettings, PoolSettings

_IDLE_POLL_S = 0.05
UNBIND_S = 1.5
"""How long an unbind_resp is waited for; closing without it is fine (peers close at once), and a stop shall
normally take under 2 s (spec §9)."""


class LinkSupervisor:
    """Owns the runners. `directory` is what the pipeline, which has it from the start, picks from."""

    def __init__(
        self,
        handler: LinkEvents,
        make_shaper: MakeShaper,
        max_segments: int,
        log: Log,
        directory: Directory | None = None,
    ) -> None:
        self.directory = directory or Directory()
        self._handler = handler
        self._make_shaper = make_shaper
        self._max_segments = max_segments
        self._log = log
        self._connects = ConnectLimiter()
        self._references = References()
        self._runners: dict[int, LinkRunner] = {}
        self._retiring: dict[LinkRunner, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<LinkSupervisor links={len(self._runners)} retiring={len(self._retiring)}>"

    def apply(
        self,
        links: Mapping[int, LinkSettings],
        pools: Mapping[int, PoolSettings],
        max_segments: int | None = None,
    ) -> list[int]:
        """Make it so; the ids of links that were started, changed or removed."""
        runners = self._runners
        if max_segments is not None:
            self._max_segments = max_segments
            for runner in runners.values():
                runner.link.text_options = text_options(runner.link.settings, max_segments)
        gone = [link_id for link_id, runner in runners.items() if links.get(link_id) != runner.link.settings]
        for link_id in gone:
            self._retire(runners.pop(link_id))
        new = [link_id for link_id in links if link_id not in runners]
        for link_id in new:
            runners[link_id] = self._start(link_id, links[link_id])
        members = {link_id: runner.link for link_id, runner in runners.items()}
        self.directory.replace(members, {pool_id: _pool(pool_id, pools, members) for pool_id in pools})
        return sorted({*gone, *new})

    @property
    def idle(self) -> bool:
        """No link, retiring ones included, has anything left to do."""
        return all(runner.link.idle for runner in (*self._runners.values(), *self._retiring))

    async def stop(self, unbind_s: float = UNBIND_S) -> None:
        """Unbind everything, without an unbind_resp after `unbind_s`; all events have been told.

        What the drain has waited for in vain is in doubt, or was not sent.
        """
        for task in self._retiring.values():
            task.cancel()
        runners = (*self._runners.values(), *self._retiring)
        await asyncio.gather(*(runner.stop(unbind_s) for runner in runners))
        await asyncio.gather(*self._retiring.values(), return_exceptions=True)

    def _start(self, link_id: int, settings: LinkSettings) -> LinkRunner:
        text = text_options(settings, self._max_segments)
        loop = asyncio.get_running_loop()
        # The shaper knows the link and the link its shaper: hence the functions of a link to come.
        shaper = self._make_shaper(
            link_id, settings, lambda: link.tokens_wanted, lambda: link.hurried, lambda: link.pump()
        )
        link = Link(link_id, settings, text, shaper, self._handler, loop, self._references)
        runner = LinkRunner(link, self._log, self._connects)
        runner.start()
        return runner

    def _retire(self, runner: LinkRunner) -> None:
        name = f"link-{runner.link.link_id}-retire"
        task = self._retiring[runner] = asyncio.create_task(self._drain(runner), name=name)
        task.add_done_callback(lambda _: self._retiring.pop(runner, None))

    async def _drain(self, runner: LinkRunner) -> None:
        """Wait until its window and waiting room are empty, at most one response time-out."""
        link = runner.link
        await settled(lambda: link.idle, timeout_s=link.settings.response_timeout_s, poll_s=_IDLE_POLL_S)
        await runner.stop(UNBIND_S)


def _pool(pool_id: int, pools: Mapping[int, PoolSettings], links: Mapping[int, Link]) -> LinkPool:
    members = [Member(links[member.link], member.weight) for member in pools[pool_id].members]
    return LinkPool(pool_id, members)
