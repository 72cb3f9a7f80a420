"""One TCP life of a link: an asyncio protocol around the pure `EsmeSession`.

It feeds octets and time to the session, hands its events on, and writes what the session wants written: all
of a loop turn in one call. It decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from smsproxy.aio.coalescer import Coalescer
from smsproxy.smpp.events import Closed, Delivered, Event
from smsproxy.smpp.session import EsmeSession, State

TICK_S = 0.25
"""How often the session's timers are looked at: fine enough for limits that are counted in seconds."""


class SmppConnection(asyncio.Protocol):
    """Drives one session. `on_events` gets every batch of events; `ended` is set once TCP is gone."""

    def __init__(
        self,
        session: EsmeSession,
        on_events: Callable[[SmppConnection, list[Event]], None],
        *,
        submits: bool = True,
    ) -> None:
        self._session = session
        self._submits = submits
        self._on_events = on_events
        self._loop = asyncio.get_running_loop()
        self._output: Coalescer[bytes] = Coalescer(self._write, max_batch=100_000, max_waiting=1_000_000)
        self._transport: asyncio.Transport | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()
        self.close_reason = ""

    def __repr__(self) -> str:
        return f"<SmppConnection {self._session!r}>"

    @property
    def bound(self) -> bool:
        return self._session.state is State.BOUND

    @property
    def can_submit(self) -> bool:
        """Bound in a way that submits: not as a receiver only."""
        return self._submits and self._session.state is State.BOUND

    @property
    def in_flight(self) -> int:
        return self._session.in_flight

    @property
    def free_slots(self) -> int:
        return self._session.free_slots

    # -- what a link asks -----------------------------------------------------------------------------------

    def reserve(self) -> bool:
        return self._session.reserve()

    def unreserve(self) -> None:
        self._session.unreserve()

    def submit(self, body: bytes, owner: object) -> None:
        """Write one submit_sm into a reserved place."""
        self._session.submit(body, owner, self._loop.time())
        self._flush()

    def answer(self, request: Delivered, command_status: int) -> None:
        """Answer a deliver_sm or data_sm; of no effect when its connection is gone."""
        self._session.answer_deliver(request, command_status, self._loop.time())
        self._flush()

    def unbind(self) -> None:
        self._session.unbind(self._loop.time())
        self._flush()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._session.start(self._loop.time())
        self._flush()
        self._ticker = self._loop.call_later(TICK_S, self._tick)

    def data_received(self, data: bytes) -> None:
        self._after(self._session.receive(data, self._loop.time()))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        events = self._session.lost(self._loop.time())
        self.ended.set()
        if not self.close_reason:
            self.close_reason = str(exc) if exc else "connection closed by the SMSC"
        self._on_events(self, events)

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_S, self._tick)
        self._after(self._session.tick(self._loop.time()))

    def _after(self, events: list[Event]) -> None:
        self._flush()
        if events:
            self._on_events(self, events)
            last = events[-1]
            if isinstance(last, Closed):
                self._close(last.reason)

    def _close(self, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        if self._transport is not None:
            self._loop.call_soon(self._transport.close)  # after this turn's octets are written

    def _flush(self) -> None:
        data = self._session.data_to_send()
        if data:
            self._output.add(data)

    def _write(self, chunks: list[bytes]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(chunks))
