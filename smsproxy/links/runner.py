"""Keeps the sessions of one link alive: connect, bind, wait for the end, back off, again (spec §3).

One coroutine per session, for life; it ends when the link is stopped. One log line per change of state, and
one per attempt that failed. Called by the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from smsproxy.links.backoff import Backoff
from smsproxy.links.connects import ConnectLimiter
from smsproxy.links.link import Link
from smsproxy.links.statuses import BindRefusal, bind_refusal
from smsproxy.links.tls import client_context
from smsproxy.links.transport import TICK_S, SmppConnection
from smsproxy.obs.log import Log
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import status_text
from smsproxy.smpp.events import BindRefused, Bound, Event
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import BindKind
from smsproxy.smpp.session import EsmeSession

_BINDS = {
    "transceiver": (BindKind.TRANSCEIVER,),
    "transmitter_receiver": (BindKind.TRANSMITTER, BindKind.RECEIVER),
}


@dataclass(slots=True)
class _Life:
    """What became of one try to have a session."""

    bind: str
    outcome: str = "link_connect_failed"
    """How it ended so far, as the event to log."""
    reason: str = ""
    refusal: BindRefusal | None = None
    bound_at: float = 0.0
    lived_s: float = 0.0


class LinkRunner:
    """Owns the tasks of one link. `connects` is shared by all of them that may lead to the same host.

    `jitter` is random in [0, 1), `sleep` waits for that many seconds.
    """

    def __init__(
        self,
        link: Link,
        log: Log,
        connects: ConnectLimiter,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.link = link
        self._log = log.bind(link_id=link.link_id)
        self._connects = connects
        self._jitter = jitter
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: set[SmppConnection] = set()

    def __repr__(self) -> str:
        return f"<LinkRunner {self.link!r} sessions={len(self._connections)}/{len(self._tasks)}>"

    def start(self) -> None:
        """Begin to connect; a disabled link never does."""
        settings = self.link.settings
        if not settings.enabled:
            return
        for number in range(settings.sessions):
            for kind in _BINDS[settings.bind]:
                name = f"link-{self.link.link_id}-{kind.name.lower()}-{number}"
                self._tasks.append(asyncio.create_task(self._run_session(kind), name=name))

    async def stop(self, timeout_s: float) -> None:
        """Unbind every session and end, without an unbind_resp after `timeout_s`; all events have been told.

        What is in flight has been waited for by the drain; what still is, is in doubt.
        """
        self._stopping = True
        ends = [connection.ended.wait() for connection in self._connections if connection.bound]
        for connection in self._connections:
            connection.unbind()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*ends)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run_session(self, kind: BindKind) -> None:
        backoff = Backoff(self.link.settings.reconnect_max_s)
        while True:
            life = _Life(kind.name.lower())
            await self._wait_for_a_connect()
            if self._stopping:  # another session's unbind is being waited for: a bind now would take messages
                return
            try:
                await self._live(kind, life)
            except Exception as error:  # supervised: a fault of ours must not leave the link down for ever
                life.outcome, life.reason = "link_failed", str(error)
                self._log.exception("link_session_fault", bind=life.bind)
            if self._stopping:
                if life.bound_at:
                    self._log.info("link_unbound", bind=life.bind)
                return
            await self._sleep(self._back_off(backoff, life))

    async def _wait_for_a_connect(self) -> None:
        """Stand in the line of the host: five a second."""
        delay_s = self._connects.delay(self.link.settings.host, self._loop.time())
        if delay_s:
            self.link.counters.connects_delayed += 1
            await self._sleep(delay_s)

    def _back_off(self, backoff: Backoff, life: _Life) -> float:
        """Log the one line about an end that nobody asked for; seconds until the next connect."""
        refusal = life.refusal
        delay_s = backoff.next(
            self._jitter(), lived_s=life.lived_s, at_least_s=refusal.at_least_s if refusal else 0.0
        )
        why = {"refusal": refusal.name} if refusal else {}
        self._log.warning(
            life.outcome, bind=life.bind, reason=life.reason, **why, retry_in_s=round(delay_s, 1)
        )
        return delay_s

    async def _live(self, kind: BindKind, life: _Life) -> None:
        """One TCP life, from the connect to the last event."""
        connection = self._new_connection(kind, life)
        self._connections.add(connection)
        self.link.attach(connection)
        try:
            await self._connect(connection)
            if self._stopping:  # it came through while another session's unbind is waited for
                return
            life.outcome = "link_bind_failed" if life.outcome == "link_connect_failed" else life.outcome
            await connection.ended.wait()
            life.reason = life.reason or connection.close_reason
        except OSError as error:
            self.link.counters.connects_failed += 1
            life.reason = _words(error)
        finally:
            await connection.aclose()
            self._connections.discard(connection)
            self.link.detach(connection)
            if life.bound_at:
                life.lived_s = self._loop.time() - life.bound_at

    def _new_connection(self, kind: BindKind, life: _Life) -> SmppConnection:
        settings = self.link.settings

        def on_events(connection: SmppConnection, events: list[Event]) -> None:
            if not life.bound_at:
                self._watch_bind(events, life)
            self.link.on_events(connection, events)

        return SmppConnection(
            EsmeSession(session_options(settings, kind)),
            on_events,
            self._loop,
            submits=kind is not BindKind.RECEIVER,
            window=settings.window,
            tick_s=min(TICK_S, settings.response_timeout_s / 4, settings.enquire_link_s / 4),
        )

    async def _connect(self, connection: SmppConnection) -> None:
        """Raises OSError, TimeoutError included, when there is no connection in time."""
        settings = self.link.settings
        connection.begin()
        async with asyncio.timeout(settings.bind_timeout_s):
            context = await asyncio.to_thread(client_context, settings) if settings.tls else None
            server_name = (settings.tls_server_name or settings.host) if context else None
            await self._loop.create_connection(
                lambda: connection, settings.host, settings.port, ssl=context, server_hostname=server_name
            )

    def _watch_bind(self, events: list[Event], life: _Life) -> None:
        """See the answer to the bind pass by on its way to the link."""
        for event in events:
            match event:
                case Bound(system_id=system_id):
                    life.bound_at = self._loop.time()
                    life.outcome = "link_down"
                    self.link.smsc_system_id = system_id
                    self.link.counters.binds += 1
                    self._log.info("link_bound", bind=life.bind, smsc_system_id=system_id)
                case BindRefused(status):
                    self.link.counters.binds_refused += 1
                    life.outcome, life.reason = "link_bind_refused", status_text(status)
                    life.refusal = bind_refusal(status)
                case _:
                    pass


def _words(error: OSError) -> str:
    """Why there is no connection, in the words of the system, TLS, or `client_context`."""
    if error.errno and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error) or "timed out"


def session_options(settings: LinkSettings, kind: BindKind) -> SessionOptions:
    """The part of a link's settings that a session needs."""
    return SessionOptions(
        kind=kind,
        system_id=settings.system_id,
        password=settings.password.text(),
        system_type=settings.system_type,
        interface_version=settings.interface_version,
        address_range=settings.address_range,
        window=settings.window,
        enquire_link_s=settings.enquire_link_s,
        response_timeout_s=settings.response_timeout_s,
        bind_timeout_s=settings.bind_timeout_s,
        allow_long_password=settings.allow_long_password,
    )
