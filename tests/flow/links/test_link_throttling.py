"""A link and an SMSC that says "slow down", over real sockets and in real time."""

from __future__ import annotations

import asyncio
import os

import pytest
from links_flow_kit import LiveLink, ended, until
from raw_smsc import RawSmsc, Seen

from smsproxy.simulator.script import Script
from smsproxy.simulator.smsc import Smsc
from tests.unit.links.links_kit import Message

RTHROTTLED = 0x58
SECONDS = 60 if os.environ.get("SMSPROXY_SOAK") else 12
TAKEN_PER_S = 50


async def test_a_throttled_link_has_a_smaller_rate_after_it_binds_again(smsc: RawSmsc) -> None:
    taken = 0

    def ten_then_throttled(_: Seen) -> int:
        nonlocal taken
        taken += 1
        return 0 if taken <= 10 else RTHROTTLED

    smsc.submit_status = ten_then_throttled
    async with LiveLink(smsc.port, rate_per_s=1000) as live:
        await live.bound()
        await ended(*[live.offer() for _ in range(10)])
        assert (live.link.rate_per_s, live.link.shrinks) == (1000, 0)
        live.offer()
        await until(lambda: live.link.shrinks)
        shrunk = live.link.rate_per_s
        assert 1 <= shrunk < 500
        smsc.submit_status = lambda _: 0
        smsc.sessions[0].cut()
        await live.waits.begun()
        live.waits.end()
        await live.bound()
        assert live.link.rate_per_s == shrunk
        assert f"rate={shrunk}/1000" in repr(live.link)


class Stream:
    """Offers 200 messages a second; like a stream it stops while a thousand wait."""

    def __init__(self, live: LiveLink) -> None:
        self._live = live
        self._loop = asyncio.get_running_loop()
        self.messages: list[Message] = []
        self._begun = self._loop.time()
        self._offered = 0
        self._timer = self._loop.call_later(0, self._offer)

    def _offer(self) -> None:
        due = int((self._loop.time() - self._begun) * 200)
        while self._offered < due:
            self._offered += 1
            if self._live.link.waiting < 1000:
                self.messages.append(self._live.offer(name=f"m{self._offered}"))
        self._timer = self._loop.call_later(0.01, self._offer)

    def stop(self) -> None:
        self._timer.cancel()
        for message in self.messages:
            self._live.link.withdraw(message)


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_an_smsc_that_takes_fifty_a_second_is_sent_fifty_a_second() -> None:
    smsc = Smsc(Script(throttle_per_s=TAKEN_PER_S, answer_delay_s=0.02))
    port = await smsc.start()
    async with LiveLink(port, rate_per_s=200, window=50) as live:
        await live.bound()
        stream = Stream(live)
        await asyncio.sleep(10)  # the promise is about what is sent ten seconds after the beginning
        submits, throttled = smsc.counters.submits, smsc.counters.throttled
        await asyncio.sleep(SECONDS)
        rate = (smsc.counters.submits - submits) / SECONDS
        refused = (smsc.counters.throttled - throttled) / (smsc.counters.submits - submits)
        stream.stop()
        await until(lambda: live.link.idle)
        assert rate == pytest.approx(TAKEN_PER_S, rel=0.1)
        assert refused <= 0.05
        assert smsc.counters.taken == sum(message.ends == ["Accepted"] for message in stream.messages)
        print(f"\n{rate:.1f}/s sent, {refused:.2%} refused, {live.link!r}")
    await smsc.aclose()
