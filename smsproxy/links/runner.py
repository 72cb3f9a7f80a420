"""Keeps the sessions of one link alive: connect, bind, wait for the end, back off, again (spec §3).

One coroutine per session, for life; it ends when it is cancelled or the link is told to stop.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from smsproxy.links.backoff import Backoff
from smsproxy.links.link import Link
from smsproxy.links.tls import client_context
from smsproxy.links.transport import SmppConnection
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


class LinkRunner:
    """Owns the tasks of one link."""

    def __init__(self, link: Link, log: Log, jitter: Callable[[], float] = random.random) -> None:
        self.link = link
        self._log = log.bind(link_id=link.link_id)
        self._jitter = jitter
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        settings = self.link.settings
        if not settings.enabled:
            return
        for number in range(settings.sessions):
            for kind in _BINDS[settings.bind]:
                name = f"link-{self.link.link_id}-{kind.name.lower()}-{number}"
                self._tasks.append(asyncio.create_task(self._run_session(kind), name=name))

    async def stop(self, timeout_s: float) -> None:
        """Unbind every session and end; what is in flight has been waited for by the drain."""
        self._stopping = True
        for connection in self.link.connections:
            connection.unbind()
        ends = [connection.ended.wait() for connection in self.link.connections]
        if ends:
            await asyncio.wait([asyncio.ensure_future(end) for end in ends], timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run_session(self, kind: BindKind) -> None:
        backoff = Backoff(self.link.settings.reconnect_max_s)
        while not self._stopping:
            refused = await self._live_once(kind, backoff)
            if not self._stopping:
                delay_s = backoff.next(self._jitter(), refused=refused)
                await asyncio.sleep(delay_s)

    async def _live_once(self, kind: BindKind, backoff: Backoff) -> bool:
        """One TCP life. True when the SMSC refused the bind."""
        bind = kind.name.lower()
        watch = _BindWatch(self, backoff, bind)
        session = EsmeSession(session_options(self.link.settings, kind))
        connection = SmppConnection(session, watch.on_events, submits=kind is not BindKind.RECEIVER)
        try:
            await self._connect(connection)
        except (OSError, TimeoutError) as error:
            self.link.counters.connects_failed += 1
            self._log.warning("link_connect_failed", bind=bind, reason=str(error) or "timed out")
            return False
        self.link.attach(connection)
        try:
            await connection.ended.wait()
        finally:
            connection.abort()
            self.link.detach(connection)
            self._log.warning("link_down", bind=bind, reason=connection.close_reason or "stopping")
        return watch.refused

    async def _connect(self, connection: SmppConnection) -> None:
        settings = self.link.settings
        context = client_context(settings)
        server_name = (settings.tls_server_name or settings.host) if context else None
        async with asyncio.timeout(settings.bind_timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: connection, settings.host, settings.port, ssl=context, server_hostname=server_name
            )

    def bound(self, bind: str, system_id: str) -> None:
        self._log.info("link_bound", bind=bind, smsc_system_id=system_id)

    def bind_refused(self, bind: str, command_status: int) -> None:
        self._log.warning("link_bind_refused", bind=bind, command_status=status_text(command_status))


class _BindWatch:
    """Sees the bind's answer pass by on its way to the link."""

    def __init__(self, runner: LinkRunner, backoff: Backoff, bind: str) -> None:
        self._runner = runner
        self._backoff = backoff
        self._bind = bind
        self.refused = False

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        match events[0] if events else None:
            case Bound(system_id=system_id):
                self._backoff.reset()
                self._runner.bound(self._bind, system_id)
            case BindRefused(status):
                self.refused = True
                self._runner.bind_refused(self._bind, status)
        self._runner.link.on_events(connection, events)


def session_options(settings: LinkSettings, kind: BindKind) -> SessionOptions:
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
