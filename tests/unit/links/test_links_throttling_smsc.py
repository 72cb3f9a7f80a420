"""An SMSC that takes 50 a second while 200 are offered, over the whole link, in simulated time."""

from __future__ import annotations

from typing import Any

import pytest
from links_kit import Bench, CountingSession, Message

from smsproxy.domain.outcome import Accepted
from smsproxy.simulator.plan import Bucket
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_ROK, ESME_RTHROTTLED
from smsproxy.smpp.events import SubmitAnswered

OFFERED_PER_S = 200
TAKEN_PER_S = 50


class BucketSession(CountingSession):
    """Answers everything after `answer_s`, by a bucket; keeps (second, status) of all it was sent."""

    def __init__(self, bench: Bench, burst: int, answer_s: float) -> None:
        super().__init__(bench.settings.window)
        self._bench = bench
        self._burst = burst
        self._answer_s = answer_s
        self._bucket = Bucket()
        self.full_from = self.full_until = 0.0
        self.statuses: list[tuple[float, int]] = []
        self.oks: list[Any] = []

    def submit(self, body: bytes, owner: Any) -> None:
        super().submit(body, owner)
        now = self._bench.loop.now
        if self.full_from <= now < self.full_until:
            status = ESME_RMSGQFUL
        else:
            status = ESME_ROK if self._bucket.take(now, TAKEN_PER_S, self._burst) else ESME_RTHROTTLED
        self.statuses.append((now, status))
        self._bench.loop.call_later(self._answer_s, lambda: self._answer(owner, status))

    def _answer(self, owner: Any, status: int) -> None:
        self.on_wire.remove(owner)
        if status == ESME_ROK:
            self.oks.append((owner[1], owner[2]))
        self._bench.link.on_events(self, [SubmitAnswered(owner, status, f"id-{len(self.statuses)}")])

    def between(self, first: float, last: float) -> tuple[float, float]:
        """(sent per second, share refused) of these seconds of the test."""
        seen = [status for at, status in self.statuses if 1000 + first <= at < 1000 + last]
        return len(seen) / (last - first), sum(status != ESME_ROK for status in seen) / len(seen)


class Load:
    """200 messages a second at one link, as long as fewer than a thousand wait (a stream's window)."""

    def __init__(self, burst: int = 50, answer_s: float = 0.05) -> None:
        self.bench = Bench(sessions=0, window=50, rate_per_s=200, burst=200, max_waiting=10_000)
        self.session = BucketSession(self.bench, burst, answer_s)
        self.bench.link.attach(self.session)
        self.messages: list[Message] = []
        self._offer()

    def _offer(self) -> None:
        if self.bench.link.waiting < 1000:
            self.messages.append(self.bench.offer())
        self.bench.loop.call_later(1 / OFFERED_PER_S, self._offer)


@pytest.mark.parametrize(("burst", "answer_s"), [(50, 0.05), (50, 0.005), (5, 0.05), (5, 0.2)])
def test_an_smsc_that_takes_fifty_a_second_is_sent_fifty_a_second(burst: int, answer_s: float) -> None:
    load = Load(burst, answer_s)
    load.bench.loop.advance(70)
    rate, refused = load.session.between(10, 40)
    assert rate == pytest.approx(TAKEN_PER_S, rel=0.1)
    assert refused <= 0.05
    rate, refused = load.session.between(40, 70)
    assert rate == pytest.approx(TAKEN_PER_S, rel=0.1)
    assert refused <= 0.01


def test_a_queue_that_is_full_for_ten_seconds_does_not_cost_the_rate_that_was_found() -> None:
    load = Load()
    load.bench.loop.advance(40)
    load.session.full_from, load.session.full_until = 1040, 1050
    load.bench.loop.advance(60)
    assert load.bench.link.rate_per_s >= 40
    rate, refused = load.session.between(60, 100)
    assert rate == pytest.approx(TAKEN_PER_S, rel=0.1)
    assert refused <= 0.01


def test_nothing_is_sent_more_than_three_times_and_nothing_after_an_ok() -> None:
    load = Load()
    load.bench.loop.advance(30)
    assert len(load.session.oks) == len(set(load.session.oks))
    tries: dict[tuple[str, int], int] = {}
    for segment in load.session.written:
        tries[segment] = tries.get(segment, 0) + 1
    assert max(tries.values()) <= 3
    ended = [message for message in load.messages if message.ended]
    assert all(isinstance(message.outcomes[1], Accepted) for message in ended)


def test_the_rate_that_was_found_survives_a_reconnect_and_is_seen_in_the_repr() -> None:
    load = Load()
    load.bench.loop.advance(30)
    found = load.bench.link.rate_per_s
    assert 40 <= found <= 60
    assert f"rate={found}/200>" in repr(load.bench.link)
    load.session.state = "closed"
    load.bench.link.detach(load.session)
    assert load.bench.link.rate_per_s == found
    assert load.bench.link.shrinks > 0
