"""A link under everything that can happen to it, in any order: nobody waits while he could go.

Walks of random steps over the links' kit. After each step whoever could go has gone, or a timer is set for
the moment when he can; in the end everything has ended, once (the kit's desk sees to that).
"""

from __future__ import annotations

import random

import pytest
from links_kit import Bench, CountingSession, Message, leased_bench

from smsproxy.limits.shared import SharedBucket
from smsproxy.links.base import Offer
from smsproxy.links.rate import SHORTEST_REST_S
from smsproxy.smpp.constants import ESME_RINVBNDSTS, ESME_RINVDSTADR, ESME_ROK, ESME_RTHROTTLED
from smsproxy.smpp.events import SubmitTimedOut, Unexpected

NANO = 1_000_000_000
CALLERS = [(1, "stream"), (2, "unary"), (3, "stream"), (4, "unary")]
RATES = [(0, 0), (1, 1), (10, 1), (100, 5), (1000, 1), (1000, 200)]
WALKS = 200
LEASED_LATE_S = 0.030
"""A link's pace of asking, and a timer."""


class Walk:
    """One link and what happens to it. The methods that STEPS names are the steps."""

    def __init__(self, seed: int) -> None:
        self.random = dice = random.Random(seed)
        rate, burst = dice.choice(RATES)
        values = {"window": dice.randint(1, 4), "sessions": dice.randint(1, 2)}
        self.leased = bool(rate) and dice.random() < 0.5
        self.bench = (
            leased_bench(rate, burst, **values)
            if self.leased
            else Bench(rate_per_s=rate, burst=burst, **values)
        )
        self.link, self.loop, self.desk = self.bench.link, self.bench.loop, self.bench.desk
        self.desk.on_answer = self.desk.on_abandon = self._in_the_middle
        self.messages: list[Message] = []
        self.offered = 0
        self.depth = 0

    def _in_the_middle(self, _: Message) -> None:
        """The pipeline does something while the link tells it something else."""
        step = self.random.choice(["", "", "", "", "offer", "withdraw", "stop"])
        if step and self.depth < 4:
            self.depth += 1
            getattr(self, step)()
            self.depth -= 1

    # -- steps ----------------------------------------------------------------------------------------------

    def offer(self) -> None:
        self.offered += 1
        message = Message(f"m{self.offered}", self.random.randint(1, 3), self.random.choice(CALLERS))
        self.messages.append(message)
        if self.link.offer(message) not in (Offer.GRANTED, Offer.WAITING):
            assert not message.slots
            self.messages.remove(message)

    def crowd(self) -> None:
        for _ in range(self.random.randint(1, 8)):
            self.offer()

    def withdraw(self) -> None:
        waiting = [one for one in self.messages if not (one.slots or one.stopped or one.abandoned)]
        if waiting and self.link.withdraw(message := self.random.choice(waiting)):
            self.messages.remove(message)

    def stop(self) -> None:
        begun = [one for one in self.messages if not one.stopped and one in self.desk.unstored]
        if begun:
            message = self.random.choice(begun)
            self.desk.unstored.remove(message)
            self.link.stop(message)
            self.messages.remove(message)

    def store_slowly(self) -> None:
        self.desk.store_at_once = False

    def store(self) -> None:
        self.desk.store_at_once = self.random.random() < 0.5
        self.desk.store()

    def store_one(self) -> None:
        if self.desk.unstored:
            message = self.desk.unstored.pop(self.random.randrange(len(self.desk.unstored)))
            message.recorded = True
            self.link.write(message)

    def fail_to_store(self) -> None:
        for message in self.desk.unstored:
            self.messages.remove(message)
        self.desk.fail_to_store()
        self.desk.unstored = [one for one in self.desk.unstored if not one.stopped]

    def accept(self) -> None:
        self._answer(ESME_ROK)

    def accept_all(self) -> None:
        self.bench.answer_all()

    def throttle(self) -> None:
        self._answer(ESME_RTHROTTLED)

    def refuse(self) -> None:
        self._answer(ESME_RINVDSTADR)

    def rebind(self) -> None:
        self._answer(ESME_RINVBNDSTS)

    def time_out(self) -> None:
        if session := self._busy_session():
            self.link.on_events(session, [SubmitTimedOut(session.on_wire.pop(0))])

    def cut(self) -> None:
        if self.bench.sessions:
            self.bench.cut(self.random.choice(self.bench.sessions))

    def connect(self) -> None:
        if len(self.bench.sessions) < self.link.settings.sessions:
            session = CountingSession(self.bench.settings.window)
            session.state = "binding"
            self.link.attach(session)
            self.bench.sessions.append(session)

    def bind(self) -> None:
        for session in self.bench.sessions:
            if session.state == "binding":
                session.state = "bound"
                self.link.on_events(session, [Unexpected("whatever tells of the bind")])

    def come_back(self) -> None:
        self.connect()
        self.bind()

    def time_passes(self) -> None:
        self.loop.advance(self.random.choice([0.0004, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0, 2.5]))

    def _busy_session(self) -> CountingSession | None:
        busy = [session for session in self.bench.sessions if session.on_wire]
        return self.random.choice(busy) if busy else None

    def _answer(self, status: int) -> None:
        if session := self._busy_session():
            _, message, number = self.random.choice(session.on_wire)
            self.bench.answer(message, number=number, status=status, session=session)

    # -- what is true after each ----------------------------------------------------------------------------

    def check(self) -> None:
        self.loop.turn()
        link = self.link
        assert link._places.granted == sum(len(one.slots) - one.written for one in self.messages)
        if not link.bound:
            assert all(one.slots for line in link._waiting._lines.values() for one in line)
        elif link._throttle.pause_left(self.loop.now):
            if link._waiting or link._held or link._retries:
                self._assert_looks_again_within(max(link.pause_left_s, 0.010))
        elif self._could_go():
            self._assert_looks_again_within(self._patience_s())

    def _could_go(self) -> bool:
        """Somebody waits who needs only a token."""
        link, now = self.link, self.loop.now
        free = link._sessions.next_free() is not None
        full = link._throttle.limited and link.in_flight >= link._throttle.limit(now)
        if link._retries:
            return free and not full
        if link._held:
            assert full or not (free or any(one.slots[one.written].bound for one in link._held))
            return False
        return bool(link._waiting) and free and not link._turns.fully_used(now)

    def _patience_s(self) -> float:
        now = self.loop.now
        token_s = self.link._rate.wait(int(now * NANO)) / NANO
        if not self.leased:
            return max(token_s, SHORTEST_REST_S if self.link.hurried else self.link._rate.rest_s)
        bucket = self.link._rate._shaper
        assert isinstance(bucket, SharedBucket)
        if not self.link.hurried:
            return max(token_s + 0.010, LEASED_LATE_S)
        paced_s = self.link._rate._pace.wait(int(now * NANO)) / NANO
        return max(0.011, paced_s, bucket._lease.empty_for(int(now * NANO), hurried=True) / NANO + 0.001)

    def _assert_looks_again_within(self, seconds: float) -> None:
        timer = self.link._turns._timer
        due = [at for at, _, one in self.loop._timers if one is timer and not one.cancelled]
        assert due, f"they wait, and nobody looks again: {self.link}"
        assert due[0] <= self.loop.now + seconds + 1e-6

    def finish(self) -> None:
        """The link is there, the store stores, the SMSC takes all: then everything ends."""
        self.desk.store_at_once = True
        self.desk.on_answer = self.desk.on_abandon = lambda _: None
        self.desk.store()
        for session in [one for one in self.bench.sessions if one.state == "unbinding"]:
            self.bench.cut(session)
        self.come_back()
        while not self.link.idle and self.loop.now < 4000:
            self.check()
            self.bench.answer_all()
            self.check()
            self.loop.advance(0.5)
        assert all(one.ended or (one.abandoned and not one.slots) for one in self.messages)
        self.loop.advance(5)
        self.bench.assert_at_rest()


STEPS = [
    *("offer", "offer", "crowd", "crowd", "withdraw", "stop", "store_slowly", "store", "store_one"),
    *(
        "fail_to_store",
        "accept",
        "accept",
        "accept_all",
        "throttle",
        "throttle",
        "refuse",
        "rebind",
        "time_out",
    ),
    *("cut", "connect", "bind", "come_back", "time_passes", "time_passes", "time_passes"),
]


@pytest.mark.parametrize("first", range(0, WALKS, 50))
def test_whatever_happens_nobody_waits_who_could_go_and_all_end_once(first: int) -> None:
    for seed in range(first, first + 50):
        walk = Walk(seed)
        some = walk.random.sample(STEPS, k=walk.random.randint(4, len(STEPS)))
        steps = walk.random.choices(some, k=walk.random.choice([5, 20, 60, 150]))
        try:
            for step in steps:
                getattr(walk, step)()
                walk.check()
            walk.finish()
        except BaseException as error:
            error.add_note(f"seed {seed}: {' '.join(steps)}")
            raise
