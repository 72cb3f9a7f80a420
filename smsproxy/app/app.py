"""The composition root: builds every part from Settings, starts them in order, stops them in reverse.

The one place, with `assembly`, that knows concrete classes. Order of the start: store, policy, Redis, links,
gRPC, HTTP; READY when the listeners are open and the store has answered (links may still be binding, Redis
may be away).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

from smsproxy import assembly
from smsproxy.aio.wait import settled
from smsproxy.app.blacklists import Blacklists
from smsproxy.app.http_state import DaemonState
from smsproxy.app.reload import needs_restart
from smsproxy.auth.doorkeeper import Doorkeeper
from smsproxy.auth.grants import Grants
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.http.server import HttpServer
from smsproxy.links.pool import Directory
from smsproxy.links.supervisor import UNBIND_S, LinkSupervisor
from smsproxy.obs.log import get_log
from smsproxy.pipeline.gateway import Core
from smsproxy.pipeline.janitor import run_janitor
from smsproxy.pipeline.pipeline import Pipeline
from smsproxy.rpc.server import RpcServer
from smsproxy.settings import ConfigError, Settings, apps_in_force
from smsproxy.stores.sqlite_kv import SqliteKeyValue
from smsproxy.text.segmentation import TextOptions

_FLUSH_S = 1.0
"""For results that come up while links unbind, once the drain is over."""
_LATE_S = 1.0
"""For counts that the contact policy could not give back yet (spec §5: within 1 s)."""
_CLOSING_S = 2.5
"""Unbind (1.5 s at most) and flush; of a short `drain_s` a fifth, for calls in flight come first."""
_LAST_WORD_S = 1.0
"""For callers whose messages ended only when the links were closed, to be told."""
_MOMENT_S = 0.05
"""What each step of the end gets even when `drain_s` is over."""


class StartError(Exception):
    """The daemon cannot start; the text is the one line an operator gets."""


class App:
    """The daemon without its process: what `run` starts and the flow tests drive."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._log = get_log("smsproxy")
        self.stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.store = assembly.record_store(settings)
        self._kv = assembly.key_value(settings)
        self.policy_redis = assembly.policy_redis(settings)
        self.policy = assembly.contact_policy(
            settings.policy, assembly.policy_state(settings.policy, self._kv, self.policy_redis)
        )
        added = assembly.added_numbers(self._kv, self.policy_redis)
        self._blacklists = Blacklists(self.policy, added, settings.policy.blacklist.files, self._log)
        self.authenticator = Doorkeeper(apps_in_force(settings), self._log)
        self.grants = Grants(settings.apps, self._log)
        self.redis = assembly.redis(settings)
        self.limits = assembly.limits(settings, self.redis)
        directory = Directory()
        options = assembly.pipeline_options(settings)
        self.pipeline = Pipeline(
            options, self.store, directory, self.limits.admission, self.policy, self._log
        )
        self.links = LinkSupervisor(
            self.pipeline, self.limits.make_shaper, settings.text.max_segments, self._log, directory
        )
        self.core = Core(
            self.pipeline,
            self.store,
            directory,
            self.authenticator,
            receipt_timeout_s=settings.store.receipt_timeout_s,
            default_text=TextOptions(max_segments=settings.text.max_segments),
        )
        self.rpc = RpcServer(self.core, assembly.rpc_options(settings.server))
        self.http = HttpServer(settings.http.listen, DaemonState(self), self.grants)

    async def start(self) -> None:
        """Raises StartError with one clear line; then nothing is left running."""
        try:
            await self._start()
        except StoreUnavailableError as error:
            await self.stop(drain_s=0)
            raise StartError(f"store: {error}") from error
        except ConfigError as error:
            await self.stop(drain_s=0)
            raise StartError(str(error)) from error
        except BaseException:
            await self.stop(drain_s=0)
            raise

    async def _start(self) -> None:
        await self.store.open()
        if isinstance(self._kv, SqliteKeyValue):
            await self._kv.open()
        await self._blacklists.open_files()
        if self.redis is not None and not await self.redis.open() and self.limits.source is not None:
            self.limits.source.fall_back("not there at the start")
        await self._blacklists.open_added(self.policy_redis)
        self.links.apply(self.settings.links, self.settings.pools)
        grpc_tls, http_tls = assembly.listener_tls(self.settings)
        with _listening("server.listen", self.settings.server.listen):
            await self.rpc.start(self.settings.server.listen, grpc_tls)
        with _listening("http.listen", self.settings.http.listen):
            await self.http.start(http_tls)
        self._tasks = [
            asyncio.create_task(run_janitor(self.store, self._log), name="janitor"),
            asyncio.create_task(self._blacklists.run_files(), name="blacklist"),
            asyncio.create_task(self._blacklists.run_added(), name="blacklist-added"),
        ]
        self.core.started = True
        listen = self.settings.server.listen
        name = self.settings.server.instance_name(socket.gethostname())
        self._log.info(
            "ready", instance=name, listen=listen, port=self.rpc.port, links=len(self.settings.links)
        )

    def reload(self, settings: Settings) -> None:
        """SIGHUP: certificates, apps, text, limits, policy, links and pools.

        What needs a restart is logged and left alone. Raises ConfigError for a certificate that was changed
        since it was checked; then nothing has changed. Of no effect once the stop began: a link that binds
        then would never unbind.
        """
        if self.stopping:
            self._log.warning("reload_refused", fault="the daemon is stopping")
            return
        grpc_tls, http_tls = assembly.listener_tls(settings)
        for name in needs_restart(self.settings, settings):
            self._log.warning("reload_needs_restart", section=name)
        self.authenticator.reload(apps_in_force(settings))
        self.grants.reload(settings.apps)
        if grpc_tls is not None:
            self.rpc.renew_tls(grpc_tls)
        if http_tls is not None:
            self.http.renew_tls(http_tls)
        self.limits.reload(settings)
        self.policy.reload(assembly.strategies(settings.policy), settings.policy.timezone)
        self._blacklists.reload(settings.policy.blacklist.files)
        self.pipeline.reload(assembly.pipeline_options(settings))
        self.core.reload(TextOptions(max_segments=settings.text.max_segments))
        touched = self.links.apply(settings.links, settings.pools, settings.text.max_segments)
        self.settings = settings
        self._log.info("reloaded", links_touched=touched)

    async def stop(self, drain_s: float) -> bool:
        """Drain (spec §9), unbind, flush, close.

        False when a caller had to be cut off without an answer, or the store would not take what is left.
        """
        self.core.started = False
        self.stopping = True
        done = await self._drain(drain_s)
        await self.http.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.limits.source is not None:
            self.limits.source.close()
        await self.policy.aclose()
        if self.redis is not None:
            await self.redis.aclose()
        if self.policy_redis is not None:
            await self.policy_redis.aclose()
        if isinstance(self._kv, SqliteKeyValue):
            await self._kv.close()
        await self.store.close()
        return done

    async def _drain(self, drain_s: float) -> bool:
        """Everything in flight ends: by its answer, or with the links; its caller hears of it either way."""
        loop = asyncio.get_running_loop()
        end_at = loop.time() + drain_s
        give_up_at = end_at - min(_CLOSING_S, drain_s / 5)

        def left(at_most_s: float) -> float:
            return max(_MOMENT_S, min(at_most_s, end_at - loop.time()))

        done = await self.rpc.drain(give_up_at - loop.time())
        self.pipeline.draining = True
        done &= await settled(self._idle, timeout_s=give_up_at - loop.time())
        await self.links.stop(min(UNBIND_S, left(drain_s) / 2))
        self.pipeline.give_out_inbound()
        # What was still in flight has just been told InDoubt: let the store have it, then the callers.
        await settled(lambda: self.pipeline.idle, timeout_s=left(_FLUSH_S))
        if not done:
            await self.rpc.drain(left(_LAST_WORD_S))
            # The store may have come last; what it told counts as idle one turn later.
            done = await settled(lambda: self.pipeline.idle and not self.rpc.busy, timeout_s=_MOMENT_S)
        await self._give_back_late(left(_LATE_S))
        await self.rpc.close()
        return done

    async def _give_back_late(self, timeout_s: float) -> None:
        """The policy's engine is away: a moment for its return, and a line about what stays counted."""
        if not await settled(lambda: not self.pipeline.late_releases, timeout_s=timeout_s):
            self._log.warning("policy_counts_not_given_back", count=self.pipeline.late_releases)

    def _idle(self) -> bool:
        return self.pipeline.idle and self.links.idle


@contextlib.contextmanager
def _listening(key: str, address: str) -> Iterator[None]:
    """Say which setting's address cannot be listened on, and why, in one line."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StartError(f"{key}: cannot listen on {address}: {reason.lower()}") from error
