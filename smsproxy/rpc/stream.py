"""SendMessageStream: one slotted object per stream, plain functions per message (spec §2.2).

    read a batch ─> decode ─> Gateway.submit ─> ... ─> reply(tag, answer) ─> in order ─> joined in DATA frames

Nothing is awaited per message. `_turn` runs once per loop turn in which answers came: it writes what the
peer's windows allow and wakes the reader. Reading stops at `stream_window` messages not yet ended, at as many
answers not yet written, and at `stream_reorder_max` answers that wait behind an earlier one; HTTP/2 flow
control then slows the sender.
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
from smsproxy.pipeline.ports import Gateway, Lane, Ticket
from smsproxy.rpc.call import Call
from smsproxy.rpc.codec import MalformedRequestError, decode_request, encode_framed_answer
from smsproxy.rpc.details import Reason
from smsproxy.rpc.options import RpcCounters, RpcOptions
from smsproxy.rpc.status import DRAINING, RefusalError, in_doubt, internal_error

BATCH_MAX = 128
"""Messages begun before other work gets its turn: about a millisecond."""
_LANE = Lane.STREAM  # an attribute of an Enum costs more than a name of the module
FRAME_ANSWERS_MAX = 100
"""Answers joined into one DATA frame."""


class _Absent:
    """Marks a tag that is not outstanding."""


_ABSENT = _Absent()


class SmsStream:
    """One open SendMessageStream. Tags count its requests from 0.

    Between two awaits this stays true: every tag read is in `_tickets` (not ended), in `_waiting` (ended,
    behind an earlier one), or its answer went to `_out` or the wire.
    """

    __slots__ = (
        "_again",
        "_call",
        "_caller",
        "_counters",
        "_gateway",
        "_gone",
        "_head",
        "_loop",
        "_next_tag",
        "_options",
        "_ordered",
        "_out",
        "_scheduled",
        "_tickets",
        "_waiter",
        "_waiting",
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
        self._ordered = ordered
        self._loop = asyncio.get_running_loop()
        self._next_tag = 0
        self._head = 0
        self._tickets: dict[int, Ticket | None] = {}
        self._waiting: dict[int, bytes] = {}
        self._out: list[bytes] = []
        self._scheduled = False
        self._gone = False
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<SmsStream open={len(self._tickets)} behind={len(self._waiting)} unwritten={len(self._out)}>"

    async def run(self) -> None:
        """Until every request read has its answer. Raises RefusalError when the stream ends otherwise."""
        self._call.stream.on_writable = self._schedule
        self._call.on_drain = self._wake
        refusal: RefusalError | None = None
        try:
            try:
                await self._read_all()
            except RefusalError as error:  # told after the answers to the messages before it
                refusal = error
            while self._tickets or self._out:
                await self._wait()
        except asyncio.CancelledError:
            if self._leave() and self._call.timeout.expired():
                raise in_doubt() from None
            raise
        finally:
            self._leave()
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
        options = self._options
        outstanding = len(self._tickets)
        window = options.stream_window - max(outstanding, len(self._out))
        reorder = options.stream_reorder_max - len(self._waiting) - outstanding
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
        submit, reply, caller = self._gateway.submit, self._reply, self._current_caller()
        tickets, deadline = self._tickets, self._call.deadline_at
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

    def _reply(self, tag: int, answer: Answer) -> None:
        """The end of one message; called by the pipeline, perhaps from within `submit`."""
        if self._tickets.pop(tag, _ABSENT) is _ABSENT:
            self._counters.answers_dropped_total += 1
            return
        self._counters.answers_total += 1
        try:
            data = encode_framed_answer(answer)
        except ValueError as error:  # a text that is not Unicode: the message has ended, and is told so
            data = self._told_without_text(answer, error)
        if not self._ordered:
            self._out.append(data)
        elif tag != self._head:
            self._waiting[tag] = data
        else:
            self._out.append(data)
            head = tag + 1
            waiting = self._waiting
            while head in waiting:
                self._out.append(waiting.pop(head))
                head += 1
            self._head = head
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _told_without_text(self, answer: Answer, error: ValueError) -> bytes:
        self._counters.internal_errors_total += 1
        text = internal_error(error)
        return encode_framed_answer(Answer(answer.status, message_id=answer.message_id, error=text))

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Once per loop turn: write, and wake whoever waits for room or for the end."""
        self._scheduled = False
        if not self._gone:
            self._write()
            self._wake()

    def _write(self) -> None:
        out, stream = self._out, self._call.stream
        while out:
            room = stream.room()
            if not room:
                return
            count = _fitting(out, room)
            frame = b"".join(out[:count])
            if len(frame) <= room:
                del out[:count]
                stream.write(frame)
            else:  # DATA may be cut anywhere; the rest goes first next time
                out[:count] = [frame[room:]]
                stream.write(frame[:room])

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

    def _leave(self) -> bool:
        """The stream is over. What was not begun is withdrawn, the rest is recorded by the core.

        True when there is such a rest: octets of it may have left.
        """
        self._write()
        self._gone = True
        tickets, self._tickets = self._tickets, {}
        begun = [ticket for ticket in tickets.values() if ticket is not None and not ticket.cancel()]
        return bool(begun)


def _fitting(answers: list[bytes], room: int) -> int:
    """How many answers go into one frame: enough to fill it, at most FRAME_ANSWERS_MAX."""
    size = 0
    for count, answer in enumerate(answers, 1):
        size += len(answer)
        if size >= room or count == FRAME_ANSWERS_MAX:
            return count
    return len(answers)


def response_order(value: str | None) -> bool:
    """True for answers in request order. Raises RefusalError for a word that is neither order."""
    if value in (None, "request"):
        return True
    if value == "completion":
        return False
    raise RefusalError(Status.INVALID_ARGUMENT, "x-response-order must be request or completion")
