"""One HTTP connection with bounds on what a stranger can hold: uvicorn's h11 protocol, and a clock beside it.

uvicorn gives a connection a time limit only between two requests. Here each has HEAD_S to bring a whole
request head, counted from its start or from its last answer, and an answer as long to be read; one address
has MAX_PER_ADDRESS connections. So who says nothing, or a byte a second, keeps nobody from /oauth/token.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 5.0
"""For a request head of a few hundred octets; the gRPC port's `first_byte_s` is the same."""
MAX_PER_ADDRESS = 64
"""A proxy, or a host full of clients; the total is four times that (`server`)."""


class PatientProtocol(H11Protocol):
    """One connection, from accept to close."""

    _timer: asyncio.TimerHandle | None = None
    _answering = False
    """An answer was under way when the clock last struck."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._watch()
        if self.client is not None and self._of_this_address() > MAX_PER_ADDRESS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._answering = False
        self._watch()

    def _of_this_address(self) -> int:
        others = [each for each in self.connections if isinstance(each, PatientProtocol)]
        return sum((each.client or ())[:1] == (self.client or ())[:1] for each in others)

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_S, self._lost_patience)

    def _lost_patience(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and not self._answering:
            self._answering = True
            self._watch()
        elif answering or self.transport.get_write_buffer_size():
            self.transport.abort()  # a peer that does not read
        else:
            self.transport.close()
