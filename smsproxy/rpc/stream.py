"""SendMessageStream: one slotted object per stream, plain functions per message (spec §2.2).

    read a batch ─> decode ─> Gateway.submit ─> ... ─> Outbox.reply(tag, answer) ─> in order ─> DATA frames

Nothing is awaited per message. Here is the reader's side, in `outbox` that of the answers, which wakes the
reader. Reading stops at `stream_window` messages not yet ended, at as many answers not yet written, and at
`stream_reorder_max` answers that wait behind an earlier one; HTTP/2 flow control then slows the sender.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from grpclib.const import Status

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import UnauthenticatedError
from smsproxy.domain.outcome import Answer
from smsproxy.domain.outcome import Status as AnswerStatus
from smsproxy.pipeline.ports import Gateway, Lane
from smsproxy.rpc.call import Call
from smsproxy.rpc.codec import MalformedRequestError, decode_request
from smsproxy.rpc.details import Reason
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.outbox import Outbox
from smsproxy.rpc.status import DRAINING, RefusalError, in_doubt, internal_error

BATCH_MAX = 128
"""Messages begun before other work gets its turn: about a millisecond."""
_LANE = Lane.STREAM  # an attribute of an Enum costs more than a name of the module


class SmsStream:
    """One open SendMessageStream. Tags count its requests from 0."""

    __slots__ = (
        "_again",
        "_call",
        "_caller",
        "_counters",
        "_gateway",
        "_loop",
        "_next_tag",
        "_options",
        "_outbox",
        "_waiter",
    )

    def __init__(
        self,
        call: Call,
        gateway: Gateway,
        caller: Caller,
        again: Callable[[], Caller],
        options: RpcOptions,
        counters: RpcCounters,
        *,
        ordered: bool,
    ) -> None:
        """`caller` opened the stream; `again` tells for every batch who it is now: a token can be revoked."""
        self._call = call
        self._gateway = gateway
        self._again = again
        self._caller = caller
        self._options = options
        self._counters = counters
        self._outbox = Outbox(call.stream, counters, self._wake, ordered=ordered)
        self._next_tag = 0
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<SmsStream read={self._next_tag} {self._outbox!r}>"

    async def run(self) -> None:
        """Until every request read has its answer. Raises RefusalError when the stream ends otherwise."""
        outbox = self._outbox
        self._call.stream.on_writable = outbox.schedule
        self._call.on_drain = self._wake
        refusal: RefusalError | None = None
        try:
            try:
                await self._read_all()
            except RefusalError as error:  # told after the answers to the messages before it
                refusal = error
            while outbox.tickets or outbox.out:
                await self._wait()
        except asyncio.CancelledError:
            if outbox.leave() and self._call.timeout.expired():
                raise in_doubt() from None
            raise
        finally:
            outbox.leave()
        if refusal is not None:
            raise refusal
        if self._call.draining:
            raise RefusalError(Status.UNAVAILABLE, DRAINING, Reason.DRAINING)

    async def _read_all(self) -> None:
        buffer = self._call.buffer
        while not self._call.draining:
            room = self._room()
            if room <= 0:
                await self._wait()
                continue
            batch = await buffer.read_batch(min(room, BATCH_MAX))
            if not batch:
                return
            self._take(batch)
            if buffer.readable:
                await asyncio.sleep(0)

    def _room(self) -> int:
        """How many more messages may be begun now. Every outstanding one may come to wait behind the head."""
        options, outbox = self._options, self._outbox
        outstanding = len(outbox.tickets)
        window = options.stream_window - max(outstanding, len(outbox.out))
        reorder = options.stream_reorder_max - len(outbox.behind) - outstanding
        crowd = max(self._gateway.stream_room, 0 if outstanding else 1)
        if window <= 0:
            self._counters.window_full_total += 1
        elif reorder <= 0:
            self._counters.reorder_full_total += 1
        elif crowd <= 0:
            self._counters.crowded_total += 1
        return min(window, reorder, crowd)

    def _take(self, batch: list[bytes]) -> None:
        """Begin every message of the batch. A bad one is answered in its place."""
        submit, reply, caller = self._gateway.submit, self._outbox.reply, self._current_caller()
        tickets, deadline = self._outbox.tickets, self._call.deadline_at
        tag = self._next_tag
        self._counters.messages_total += len(batch)
        for data in batch:
            tickets[tag] = None
            try:
                ticket = submit(decode_request(data), caller, _LANE, reply, tag, deadline)
            except MalformedRequestError as error:
                self._counters.messages_malformed_total += 1
                reply(tag, Answer(AnswerStatus.INVALID, str(uuid4()), error=str(error)))
            except Exception as error:  # the supervised loop of a stream: one message must not end it
                self._counters.internal_errors_total += 1
                reply(tag, Answer(AnswerStatus.INTERNAL, str(uuid4()), error=internal_error(error)))
            else:
                if tag in tickets:
                    tickets[tag] = ticket
            tag += 1
        self._next_tag = tag

    def _current_caller(self) -> Caller:
        """Who sends now. One whose token or app was revoked is expired: told in band, message by message."""
        try:
            self._caller = self._again()
        except (UnauthenticatedError, RefusalError):
            return replace(self._caller, expires_at=0.0)
        return self._caller

    async def _wait(self) -> None:
        """Until something changed: answers ended, were written, or the drain began."""
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def response_order(value: str | None) -> bool:
    """True for answers in request order. Raises RefusalError for a word that is neither order."""
    if value in (None, "request"):
        return True
    if value == "completion":
        return False
    raise RefusalError(Status.INVALID_ARGUMENT, "x-response-order must be request or completion")
