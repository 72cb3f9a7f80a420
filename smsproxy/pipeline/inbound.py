"""Messages from handsets: joined, handed to the sink in batches, acknowledged once the sink has them.

The segment that completes a message is told ok after the sink took it. The ones before it are told ok when
they are held here: an SMSC with one deliver_sm under way sends the next segment only then. What the sink
cannot take within five seconds is sent back (ESME_RX_T_APPN), and its earlier segments are held again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from smsproxy.aio.coalescer import Coalescer, CoalescerFullError
from smsproxy.domain.inbound import InboundMessage
from smsproxy.links.base import Inbound
from smsproxy.obs.log import Log
from smsproxy.pipeline.attempts import Attempts
from smsproxy.pipeline.joining import Joined, Joiner
from smsproxy.pipeline.ports import InboundSink

HOLD_S = 5.0
RETRY_S = 0.25
_BATCH_MAX = 1000
_WAITING_MAX = 10_000
_NEVER = float("inf")


@dataclass(slots=True)
class _Held:
    """A message on its way to the sink."""

    joined: Joined
    answer: Callable[[bool], None] | None
    """None: all of it was acknowledged before, nobody waits."""
    give_up_at: float


class Inbox:
    """Takes segments from links to the sink. Counters are read at scrape time."""

    def __init__(self, sink: InboundSink, log: Log, joiner: Joiner | None = None) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._joiner = joiner or Joiner()
        self._takes = Attempts(log, "inbound_take")
        self._batches: Coalescer[_Held] = Coalescer(
            self._keep, max_batch=_BATCH_MAX, max_waiting=_WAITING_MAX
        )
        self._timer: asyncio.TimerHandle | None = None
        self.taken = 0
        self.sent_back = 0
        self.lost = 0

    @property
    def idle(self) -> bool:
        """Nothing is on its way to the sink. Segments that wait for others do not count."""
        return self._batches.idle

    @property
    def counters(self) -> Mapping[str, int]:
        return {
            "inbound_taken": self.taken,
            "inbound_incomplete": self._joiner.lapsed_total,
            "inbound_overflowed": self._joiner.overflowed_total,
            "inbound_sent_back": self.sent_back,
            "inbound_lost": self.lost,
        }

    def received(self, link_id: int, segments: list[Inbound]) -> None:
        """Each will be answered once."""
        now = self._loop.time()
        for one in segments:
            joined = self._joiner.add(one.segment, link_id, now)
            if joined is None:
                one.answer(True)
            else:
                self._hand_over(joined, one.answer)
        self._give_out_until(now)

    def give_out(self) -> None:
        """Hand over all that is not whole; nothing more will come."""
        self._give_out_until(_NEVER)

    def _give_out_until(self, now: float) -> None:
        """Hand over what is not whole and waits no longer; come back when the next one's time is over."""
        for joined in self._joiner.lapsed(now):
            self._hand_over(joined, None)
        if self._timer is not None:
            self._timer.cancel()
        lapses_at = self._joiner.next_lapse()
        self._timer = None if lapses_at is None else self._loop.call_at(lapses_at, self._lapse)

    def _lapse(self) -> None:
        self._give_out_until(self._loop.time())

    def _hand_over(self, joined: Joined, answer: Callable[[bool], None] | None) -> None:
        held = _Held(joined, answer, self._loop.time() + HOLD_S)
        try:
            self._batches.add(held)
        except CoalescerFullError:
            self._send_back(held)

    async def _keep(self, held: list[_Held]) -> None:
        while held:
            if await self._takes.done(self._take([one.joined.message for one in held])):
                self.taken += len(held)
                for one in held:
                    if one.answer is not None:
                        one.answer(True)
                return
            last_chance = self._loop.time() + RETRY_S
            for one in held:
                if one.give_up_at < last_chance:
                    self._send_back(one)
            held = [one for one in held if one.give_up_at >= last_chance]
            if held:
                await asyncio.sleep(RETRY_S)

    async def _take(self, messages: list[InboundMessage]) -> None:
        async with asyncio.timeout(HOLD_S):
            await self._sink.take(messages)

    def _send_back(self, held: _Held) -> None:
        if held.answer is None:
            self.lost += 1
            return
        self.sent_back += 1
        held.answer(False)
        now = self._loop.time()
        for segment in held.joined.others:
            again = self._joiner.add(segment, held.joined.message.link_id, now)
            if again is not None:  # the one that was sent back came again meanwhile
                self._hand_over(again, None)
        self._give_out_until(now)


class LogSink:
    """A sink for a gateway whose messages from handsets nobody asked for yet: one line each, no text.

    At INFO, against the habit of no line a message: nothing else is left of it.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    async def take(self, messages: list[InboundMessage]) -> None:
        for one in messages:
            self._log.info(
                "inbound_message",
                link_id=one.link_id,
                source=masked(one.source.digits),
                symbols=None if one.text is None else len(one.text),
                segments=one.segments,
                complete=one.complete,
            )


def masked(number: str) -> str:
    """``998*******67``: enough to see a country and to tell two apart; a short one is all stars."""
    return f"{number[:3]}{'*' * (len(number) - 5)}{number[-2:]}" if len(number) > 7 else "*" * len(number)
