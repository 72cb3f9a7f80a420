"""The composition root: builds every part from Settings, starts them in order, stops them in reverse.

The only module that knows concrete classes. Order of the start: store, policy, links, gRPC, HTTP; READY when
the listeners are open and the store has answered (links may still be binding).
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from smsproxy.aio.wait import settled
from smsproxy.auth.jwt import JwtAuthenticator
from smsproxy.limits.gcra import Gcra
from smsproxy.limits.local import LocalLimits
from smsproxy.links.base import Answered, Delivery, Submission
from smsproxy.links.supervisor import LinkSupervisor
from smsproxy.obs.log import get_log
from smsproxy.pipeline.gateway import Core
from smsproxy.pipeline.janitor import run_janitor
from smsproxy.pipeline.pipeline import Pipeline, PipelineOptions
from smsproxy.policy import blacklist
from smsproxy.policy.base import KeyValue
from smsproxy.policy.embedded import EmbeddedPolicy
from smsproxy.policy.memory import MemoryKeyValue
from smsproxy.policy.strategies import Strategy
from smsproxy.rpc.options import RpcOptions
from smsproxy.rpc.server import RpcServer
from smsproxy.settings import LinkSettings, PolicySettings, ServerSettings, Settings
from smsproxy.stores.base import Store
from smsproxy.stores.memory import MemoryStore
from smsproxy.stores.sqlite import SqliteStore
from smsproxy.stores.sqlite_kv import SqliteKeyValue
from smsproxy.text.segmentation import TextOptions

_BLACKLIST_POLL_S = 2.0


class App:
    """The daemon without its process: what `run` starts and the flow tests drive."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log = get_log("smsproxy")
        self._tasks: list[asyncio.Task[None]] = []
        self.store = _store(settings)
        self._kv = _key_value(settings)
        self.policy = _policy(settings.policy, self._kv)
        self._watch = blacklist.BlacklistWatch(settings.policy.blacklist.files)
        self.authenticator = JwtAuthenticator(settings.apps)
        self.limits = LocalLimits(settings.limits.process_rate_per_s, _app_rates(settings))
        self.links = LinkSupervisor(_Relay(self), _shaper, settings.text.max_segments, self._log)
        options = PipelineOptions(settings.server.max_in_flight, int(settings.limits.max_wait_ms))
        self.pipeline = Pipeline(
            options, self.store, self.links.directory, self.limits, self.policy, self._log
        )
        self.core = Core(
            self.pipeline,
            self.store,
            self.links.directory,
            self.authenticator,
            receipt_timeout_s=settings.store.receipt_timeout_s,
            default_text=TextOptions(max_segments=settings.text.max_segments),
        )
        self.rpc = RpcServer(self.core, rpc_options(settings.server))

    async def start(self) -> None:
        """Raises StoreUnavailableError or OSError with one clear line; then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self.stop(drain_s=0)
            raise

    async def _start(self) -> None:
        await self.store.open()
        if isinstance(self._kv, SqliteKeyValue):
            await self._kv.open()
        await self._load_blacklist()
        self.links.apply(self.settings.links, self.settings.pools)
        await self.rpc.start(self.settings.server.listen)
        self._tasks = [
            asyncio.create_task(run_janitor(self.store, self._log), name="janitor"),
            asyncio.create_task(self._watch_blacklist(), name="blacklist"),
        ]
        self.core.started = True
        self._log.info("ready", listen=self.settings.server.listen, links=len(self.settings.links))

    def reload(self, settings: Settings) -> None:
        """SIGHUP: apps, limits, policy, links and pools. What needs a restart is logged and left alone."""
        for section in ("server", "http", "store"):
            if getattr(settings, section) != getattr(self.settings, section):
                self._log.warning("reload_needs_restart", section=section)
        self.authenticator.reload(settings.apps)
        self.limits.reload(settings.limits.process_rate_per_s, _app_rates(settings))
        self.policy.reload(_strategies(settings.policy), settings.policy.timezone)
        self._watch = blacklist.BlacklistWatch(settings.policy.blacklist.files)
        touched = self.links.apply(settings.links, settings.pools)
        self.settings = settings
        self._log.info("reloaded", links_touched=touched)

    async def stop(self, drain_s: float) -> bool:
        """Drain (spec §9), unbind, flush, close. False when something had to be cut off."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + drain_s
        self.core.started = False
        done = await self.rpc.drain(drain_s)
        self.pipeline.draining = True
        done &= await settled(self._idle, timeout_s=give_up_at - loop.time())
        await self.rpc.close()
        await self.links.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if isinstance(self._kv, SqliteKeyValue):
            await self._kv.close()
        await self.store.close()
        return done

    def _idle(self) -> bool:
        return self.pipeline.idle and self.links.idle

    async def _load_blacklist(self) -> None:
        files = self.settings.policy.blacklist.files
        await asyncio.to_thread(self._watch.changed)
        loaded = await asyncio.to_thread(blacklist.load, files)
        self.policy.replace_blacklist(loaded)
        for problem in loaded.problems:
            self._log.warning("blacklist_problem", problem=problem)
        self._log.info("blacklist_loaded", entries=len(loaded))

    async def _watch_blacklist(self) -> None:
        """Read the files again when they change, in a thread: traffic does not pause for it."""
        while True:
            await asyncio.sleep(_BLACKLIST_POLL_S)
            if await asyncio.to_thread(self._watch.changed):
                await self._load_blacklist()


class _Relay:
    """links.base.LinkEvents, handed on to the pipeline: links are built before it exists."""

    def __init__(self, app: App) -> None:
        self._app = app

    def granted(self, link_id: int, submission: Submission) -> None:
        self._app.pipeline.granted(link_id, submission)

    def answered(self, answers: list[Answered]) -> None:
        self._app.pipeline.answered(answers)

    def answered_late(self, answers: list[Answered]) -> None:
        self._app.pipeline.answered_late(answers)

    def received(self, deliveries: list[Delivery]) -> None:
        self._app.pipeline.received(deliveries)

    def abandoned(self, submission: Submission) -> None:
        self._app.pipeline.abandoned(submission)


def _store(settings: Settings) -> Store:
    url = settings.store.url
    if url.path is not None:
        return SqliteStore(url.path, retention_s=settings.store.retention_s)
    return MemoryStore(retention_s=settings.store.retention_s)


def _key_value(settings: Settings) -> KeyValue:
    """The embedded policy's counters: in their own file beside the store, in memory beside `memory:`."""
    path = settings.policy.path or (settings.store.url.path and f"{settings.store.url.path}.policy")
    return SqliteKeyValue(Path(path), time.time) if path else MemoryKeyValue(time.time)


def _policy(settings: PolicySettings, kv: KeyValue) -> EmbeddedPolicy:
    return EmbeddedPolicy(_strategies(settings), settings.timezone, kv, time.time, blacklist.Blacklist())


def _strategies(settings: PolicySettings) -> list[Strategy]:
    return [
        Strategy(
            name,
            one.daily_max or None,
            one.weekly_max or None,
            int(one.duplicate_window_s),
            one.blacklist,
            one.counts_as,
            one.mode,
            one.scope,
            one.shadow,
            one.on_error or settings.on_error,
        )
        for name, one in settings.strategies.items()
    ]


def _app_rates(settings: Settings) -> dict[int, tuple[int, int]]:
    return {app_id: (app.rate_per_s, app.burst) for app_id, app in settings.apps.items()}


def _shaper(settings: LinkSettings) -> Gcra:
    return Gcra(settings.rate_per_s, settings.burst)


def rpc_options(server: ServerSettings) -> RpcOptions:
    return RpcOptions(
        stream_window=server.stream_window,
        stream_reorder_max=server.stream_reorder_max,
        max_message_bytes=server.max_message_bytes,
        default_deadline_s=server.default_deadline_s,
        max_connections=server.max_connections,
        max_connections_per_address=server.max_connections_per_address,
        reuse_port=server.reuse_port,
    )
