"""One TCP life of a link: an asyncio protocol around the pure `EsmeSession`.

It feeds octets and time to the session, hands its events on, and writes what the session wants written: all
of a loop turn in one call. It decides nothing. The runner makes one for every connect; to the link it is a
`Session`.

Write buffers are bounded: submits by the window, everything else by not reading from a peer that does not
read from us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from smsproxy.smpp.events import Closed, Delivered, Event
from smsproxy.smpp.session import EsmeSession, State

TICK_S = 0.25
"""How often the session's timers are looked at: fine enough for limits that are counted in seconds."""
_LATE_S = 0.1
"""A tick this late was held up with everything else: once, what came meanwhile is read before time is judged
(uvloop runs timers before it reads)."""
_CATCH_UP_S = 0.005
CLOSE_S = 1.0
"""How long the last octets may take to leave before the connection is cut."""
_UNSENT_MAX = 1 << 20
"""Octets for a peer that does not read; a window of submits comes on top, so that it never stops reading."""
_SUBMIT_OCTETS = 512
_BOUND = State.BOUND
"""A name of this module: an enum's attribute costs more, and this one is read for every segment."""


class SmppConnection(asyncio.Protocol):
    """Drives one session. `on_events` gets every batch of events; `ended` is set once TCP is gone."""

    def __init__(
        self,
        session: EsmeSession,
        on_events: Callable[[SmppConnection, list[Event]], None],
        loop: asyncio.AbstractEventLoop,
        *,
        submits: bool = True,
        window: int = 0,
        tick_s: float = TICK_S,
    ) -> None:
        self._session = session
        self.reserve = session.reserve
        """What a `Slot` and a `Session` are asked for, done by the session without a step between."""
        self.unreserve = session.unreserve
        self._submits = submits
        self._on_events = on_events
        self._loop = loop
        self._unsent_max = _UNSENT_MAX + window * _SUBMIT_OCTETS
        self._tick_s = tick_s
        self._tick_at = 0.0
        self._catching_up = False
        self._transport: asyncio.Transport | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._flushing = False
        self.ended = asyncio.Event()
        self.close_reason = ""

    def __repr__(self) -> str:
        return f"<SmppConnection {self._session!r}>"

    @property
    def bound(self) -> bool:
        return self._session.state is _BOUND

    @property
    def can_submit(self) -> bool:
        return self._submits and self._session.state is _BOUND

    @property
    def in_flight(self) -> int:
        return self._session.in_flight

    @property
    def free_slots(self) -> int:
        return self._session.free_slots

    # -- what link and runner ask ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Time starts to run for connect and bind. Raises ValueError for a bind that cannot be written."""
        self._session.start(self._loop.time())

    def submit(self, body: bytes, owner: object) -> None:
        """Write one submit_sm into a reserved place."""
        self._session.submit(body, owner, self._loop.time())
        if not self._flushing:
            self._flush_soon()

    def answer(self, request: Delivered, command_status: int) -> None:
        """Answer a deliver_sm or data_sm; of no effect when its connection is gone."""
        self._session.answer_deliver(request, command_status)
        self._flush_soon()

    def answer_receipts(self, sequence_numbers: Sequence[int], command_status: int) -> None:
        """As `answer`, for many receipts at once."""
        self._session.answer_receipts(sequence_numbers, command_status)
        self._flush_soon()

    def unbind(self) -> None:
        """Ask for the end; one that is not bound is cut."""
        if self.bound:
            self._session.unbind(self._loop.time())
            self._flush_soon()
        else:
            self._abort()

    def rebind(self, reason: str) -> None:
        """Unbind for a reason that is to be logged; of no effect when the end has begun already."""
        if self.bound:
            self.close_reason = reason
            self.unbind()

    async def aclose(self) -> None:
        """Cut it, if it is still there, and wait until everybody has been told."""
        if self._transport is not None:
            self._transport.abort()
            await self.ended.wait()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._unsent_max)
        self._flush()
        self._tick_in(self._tick_s)

    def data_received(self, data: bytes) -> None:
        self._tell(self._session.receive(data, self._loop.time()))

    def eof_received(self) -> None:
        self._lose("connection closed by the SMSC")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._ticker, self._cut):
            if timer is not None:
                timer.cancel()
        self._lose(f"connection lost: {exc}" if exc else "connection cut")
        self.ended.set()

    def pause_writing(self) -> None:
        transport = cast(asyncio.Transport, self._transport)
        if not transport.is_closing():
            transport.pause_reading()

    def resume_writing(self) -> None:
        transport = cast(asyncio.Transport, self._transport)
        if not transport.is_closing():
            transport.resume_reading()

    # -- inside ---------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._loop.time()
        self._catching_up = now - self._tick_at > _LATE_S and not self._catching_up
        if self._catching_up:
            self._tick_in(_CATCH_UP_S)
            return
        self._tick_in(self._tick_s)
        self._tell(self._session.tick(now))

    def _tick_in(self, delay_s: float) -> None:
        self._tick_at = self._loop.time() + delay_s
        self._ticker = self._loop.call_later(delay_s, self._tick)

    def _tell(self, events: list[Event]) -> None:
        """Hand events on; at the end of the session let the last octets out and close."""
        if events:
            self._on_events(self, events)
            last = events[-1]
            if isinstance(last, Closed):
                self._close(last.reason)
                return
        self._flush_soon()

    def _lose(self, reason: str) -> None:
        """The connection is gone, or as good as gone."""
        self.close_reason = self.close_reason or reason
        events = self._session.lost()
        if events:
            self._on_events(self, events)
        self._abort()

    def _close(self, reason: str) -> None:
        self.close_reason = self.close_reason or reason
        self._flush()
        transport = cast(asyncio.Transport, self._transport)
        self._loop.call_soon(transport.close)  # asyncio's TLS does not bear it inside data_received
        self._cut = self._loop.call_later(CLOSE_S, transport.abort)  # close() waits for a deaf peer for ever

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _flush_soon(self) -> None:
        """Once in a loop turn, whatever the turn has to say."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        data = self._session.data_to_send()
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
