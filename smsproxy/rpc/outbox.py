"""The answers of a SendMessageStream: what has not ended yet, and what has, in its order, on its way out.

    reply(tag, answer) ─> in order ─> once a turn of the loop: joined in DATA frames, as far as windows allow

Between two awaits of the stream this stays true: every tag that was read is in `tickets` (not ended), in
`behind` (ended, but an earlier one has not), or its answer went to `out` or the wire. Kept by `stream`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from smsproxy.domain.outcome import Answer
from smsproxy.pipeline.ports import Ticket
from smsproxy.rpc.codec import encode_framed_answer
from smsproxy.rpc.flow import GuardedStream
from smsproxy.rpc.options import RpcCounters
from smsproxy.rpc.status import internal_error

FRAME_ANSWERS_MAX = 100
"""Answers joined into one DATA frame."""


class _Absent:
    """Marks a tag that is not outstanding."""


_ABSENT = _Absent()


class Outbox:
    """Of one stream. Tags count its requests from 0. Nothing here awaits."""

    __slots__ = (
        "_counters",
        "_gone",
        "_head",
        "_loop",
        "_ordered",
        "_scheduled",
        "_stream",
        "_wake",
        "behind",
        "out",
        "tickets",
    )

    def __init__(
        self, stream: GuardedStream, counters: RpcCounters, wake: Callable[[], None], *, ordered: bool
    ) -> None:
        """`wake` is called once per loop turn in which answers came or could be written."""
        self.tickets: dict[int, Ticket | None] = {}
        """What has not ended; None while it is being submitted."""
        self.behind: dict[int, bytes] = {}
        self.out: list[bytes] = []
        self._stream = stream
        self._counters = counters
        self._wake = wake
        self._ordered = ordered
        self._loop = asyncio.get_running_loop()
        self._head = 0
        self._scheduled = False
        self._gone = False

    def __repr__(self) -> str:
        return f"<Outbox open={len(self.tickets)} behind={len(self.behind)} unwritten={len(self.out)}>"

    def reply(self, tag: int, answer: Answer) -> None:
        """The end of one message; called by the pipeline, perhaps from within `submit`."""
        if self.tickets.pop(tag, _ABSENT) is _ABSENT:
            self._counters.answers_dropped_total += 1
            return
        self._counters.answers_total += 1
        try:
            data = encode_framed_answer(answer)
        except ValueError as error:  # a text that is not Unicode: the message has ended, and is told so
            data = self._told_without_text(answer, error)
        if not self._ordered:
            self.out.append(data)
        elif tag != self._head:
            self.behind[tag] = data
        else:
            self.out.append(data)
            head = tag + 1
            behind = self.behind
            while head in behind:
                self.out.append(behind.pop(head))
                head += 1
            self._head = head
        if not self._scheduled:
            self.schedule()

    def _told_without_text(self, answer: Answer, error: ValueError) -> bytes:
        self._counters.internal_errors_total += 1
        text = internal_error(error)
        return encode_framed_answer(Answer(answer.status, message_id=answer.message_id, error=text))

    def schedule(self) -> None:
        """Write at the end of this turn of the loop: answers came, windows opened, or the socket drained."""
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
        out, stream = self.out, self._stream
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

    def leave(self) -> bool:
        """The stream is over. What was not begun is withdrawn, the rest is recorded by the core.

        True when there is such a rest: octets of it may have left.
        """
        self._write()
        self._gone = True
        tickets, self.tickets = self.tickets, {}
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
