"""A link without sockets and without time: sessions that only count, a loop turned by hand, a pipeline."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any

from smsproxy.domain.address import Address
from smsproxy.domain.outcome import NotSent, SegmentOutcome
from smsproxy.domain.receipt import Receipt
from smsproxy.limits.gcra import Gcra
from smsproxy.limits.lease import LINK_PACE_NS
from smsproxy.limits.shared import LinkBucket
from smsproxy.limits.source import Fillable
from smsproxy.links.base import Answered, Delivery, Inbound, Shaper, text_options
from smsproxy.links.link import Link
from smsproxy.links.references import References
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESME_ROK, ESME_RTHROTTLED
from smsproxy.smpp.errors import NotBoundError
from smsproxy.smpp.events import Delivered, SubmitAnswered, SubmitLost, SubmitTimedOut
from smsproxy.text.segmentation import SegmentedText, segment

SOURCE = Address(5, 0, "MYBRAND")
PHONE = Address(1, 1, "998901234567")
APP = (1, "stream")


class Timer:
    """What call_later gives."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class HandLoop:
    """A loop whose clock stands still until `advance`, and whose turns end with `turn`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = count()
        self._timers: list[tuple[float, int, Timer]] = []
        self._soon: list[Callable[[], object]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        assert delay_s >= 0
        timer = Timer(callback)
        heapq.heappush(self._timers, (self.now + delay_s, next(self._order), timer))
        return timer

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._soon.append(callback)

    def turn(self) -> None:
        """Turn until nothing is left to do now."""
        while self._soon:
            self._soon.pop(0)()

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping at every timer on the way."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until + 1e-9:
            at, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            if not timer.cancelled:
                timer.callback()
                self.turn()
        self.now = until

    @property
    def timers(self) -> list[float]:
        """When those are due that were not cancelled."""
        return sorted(at for at, _, timer in self._timers if not timer.cancelled)


class EarlyLoop(HandLoop):
    """As uvloop, whose clock ticks in milliseconds and whose timers are rounded to them: some come early."""

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        return super().call_later(round(delay_s * 1000) / 1000, callback)


class HandSource:
    """What a `TokenSource` is to a bucket, over a server that answers in two milliseconds."""

    instances = 1
    refuse_when_away = False
    away = False

    def __init__(self, loop: HandLoop, rate_per_s: int, burst: int) -> None:
        self._loop = loop
        self._there = Gcra(rate_per_s, burst)

    def ask(self, bucket: Fillable) -> bool:
        self._loop.call_later(0.002, partial(self._answer, bucket))
        return True

    def _answer(self, bucket: Fillable) -> None:
        now_ns = int(self._loop.time() * 1e9)
        _, _, wanted = bucket.demand(now_ns)
        granted = 0
        while granted < wanted and not self._there.take(now_ns):
            granted += 1
        bucket.filled(now_ns, granted, self._there.wait(now_ns) if granted < wanted else 0)
        self._loop.call_soon(bucket.tell)


class CountingSession:
    """A session as a link sees it. What is written to it stays `on_wire` until a test answers."""

    def __init__(self, window: int = 10, *, submits: bool = True) -> None:
        self.window = window
        self.state = "bound"
        self.submits = submits
        self.held = 0
        self.on_wire: list[Any] = []
        self.written: list[tuple[str, int]] = []
        self.most_at_once = 0
        self.answers: list[tuple[Delivered, int]] = []
        self.receipts_answered: list[tuple[Sequence[int], int]] = []
        self.why = ""

    @property
    def bound(self) -> bool:
        return self.state == "bound"

    @property
    def can_submit(self) -> bool:
        return self.submits and self.bound

    @property
    def in_flight(self) -> int:
        return len(self.on_wire)

    @property
    def free_slots(self) -> int:
        return self.window - self.held - len(self.on_wire) if self.can_submit else 0

    def reserve(self) -> bool:
        assert self.free_slots > 0, "a place that is not there"
        self.held += 1
        return True

    def unreserve(self) -> None:
        assert self.held > 0, "given back twice"
        self.held -= 1

    def submit(self, body: bytes, owner: Any) -> None:
        self.unreserve()
        if not self.bound:
            raise NotBoundError("closed")
        assert body
        self.on_wire.append(owner)
        self.written.append((owner[1].name, owner[2]))
        self.most_at_once = max(self.most_at_once, len(self.on_wire))

    def answer(self, request: Delivered, command_status: int) -> None:
        self.answers.append((request, command_status))

    def answer_receipts(self, sequence_numbers: Sequence[int], command_status: int) -> None:
        self.receipts_answered.append((sequence_numbers, command_status))

    def rebind(self, reason: str) -> None:
        self.state = "unbinding"
        self.why = reason


class Message:
    """A Submission, and what became of it."""

    def __init__(self, name: str, parts: int, fair_key: tuple[int, str]) -> None:
        self.name = name
        self.fair_key = fair_key
        self.source = SOURCE
        self.destination = PHONE
        self.text = a_text(parts)
        self.reference = 0
        self.slots: tuple[Any, ...] = ()
        self.written = 0
        self.stopped = False
        self.recorded = False
        self.outcomes: dict[int, SegmentOutcome] = {}
        self.abandoned = False

    def __repr__(self) -> str:
        return f"<{self.name} {self.written}/{len(self.slots)}/{self.text.parts} {self.outcomes}>"

    @property
    def ended(self) -> bool:
        return len(self.outcomes) == self.text.parts

    @property
    def ends(self) -> list[str]:
        return [type(self.outcomes[number]).__name__ for number in sorted(self.outcomes)]


def a_text(parts: int) -> SegmentedText:
    return segment("x" * (160 if parts == 1 else 153 * parts))


class Desk:
    """The pipeline in small: stores intents at once or when told, and ends messages as the recorder does.

    Each segment ends exactly once, or an assertion here says so.
    """

    def __init__(self) -> None:
        self.link: Link
        self.store_at_once = True
        self.unstored: list[Message] = []
        self.grants: list[tuple[str, int]] = []
        self.late: list[Answered] = []
        self.deliveries: list[Delivery] = []
        self.inbounds: list[Inbound] = []
        self.on_answer: Callable[[Message], None] = lambda _: None
        self.on_abandon: Callable[[Message], None] = lambda _: None

    def granted(self, link_id: int, submission: Any) -> None:
        assert link_id == self.link.link_id
        assert not submission.stopped
        self.grants.append((submission.name, len(submission.slots)))
        if submission.recorded:
            self.link.write(submission)
        elif self.store_at_once:
            submission.recorded = True
            self.link.write(submission)
        elif submission not in self.unstored:
            self.unstored.append(submission)

    def store(self) -> None:
        """The intents are stored now."""
        messages, self.unstored = self.unstored, []
        for message in messages:
            message.recorded = True
            self.link.write(message)

    def fail_to_store(self) -> None:
        messages, self.unstored = self.unstored, []
        for message in messages:
            self.link.stop(message)

    def answered(self, answers: list[Any]) -> None:
        for message, number, outcome in answers:
            assert number not in message.outcomes, f"{message} segment {number} ended twice"
            message.outcomes[number] = outcome
            if type(outcome).__name__ in ("Refused", "NotSent"):
                self.cut(message)
            self.on_answer(message)

    def cut(self, message: Message) -> None:
        if message.stopped:
            return
        self.link.stop(message)
        for number in range(message.written + 1, message.text.parts + 1):
            assert number not in message.outcomes
            message.outcomes[number] = NotSent("an earlier segment was not taken")

    def answered_late(self, answers: list[Answered]) -> None:
        self.late += answers

    def received(self, deliveries: list[Delivery]) -> None:
        self.deliveries += deliveries

    @property
    def receipts(self) -> list[Receipt]:
        return [receipt for delivery in self.deliveries for receipt in delivery.receipts]

    def inbound(self, link_id: int, segments: list[Inbound]) -> None:
        assert link_id == self.link.link_id
        self.inbounds += segments

    def abandoned(self, submission: Any) -> None:
        submission.abandoned = True
        if submission.recorded:
            self.cut(submission)
        elif not submission.slots:
            self.on_abandon(submission)


class Bench:
    """A link, its loop, its pipeline and its sessions."""

    def __init__(
        self,
        *,
        sessions: int = 1,
        randomly: Callable[[], float] = lambda: 0.0,
        shaper: Shaper | None = None,
        loop: HandLoop | None = None,
        **settings: Any,
    ) -> None:
        values = {"system_id": "esme", "window": 10, "rate_per_s": 0, "max_waiting": 100, **settings}
        self.settings = LinkSettings(**values, sessions=max(1, sessions))
        self.loop = loop or HandLoop()
        self.desk = Desk()
        shaper = shaper or Gcra(self.settings.rate_per_s, self.settings.burst)
        turned: Any = self.loop
        text = text_options(self.settings, 10)
        self.link = Link(7, self.settings, text, shaper, self.desk, turned, References())
        self.desk.link = self.link
        self.sessions = [self.a_session() for _ in range(sessions)]
        self._names = count(1)

    @property
    def session(self) -> CountingSession:
        return self.sessions[0]

    def a_session(self, *, submits: bool = True) -> CountingSession:
        session = CountingSession(self.settings.window, submits=submits)
        self.link.attach(session)
        return session

    def offer(self, parts: int = 1, key: tuple[int, str] = APP, name: str = "") -> Message:
        message = Message(name or f"m{next(self._names)}", parts, key)
        self.offered = self.link.offer(message)
        return message

    def answer(
        self,
        *messages: Message,
        status: int = ESME_ROK,
        number: int = 0,
        session: CountingSession | None = None,
    ) -> None:
        """The SMSC answers these (all segments of them that are on the wire, or one), in one read."""
        session = session or self.session
        owners = [owner for owner in session.on_wire if owner[1] in messages and number in (0, owner[2])]
        assert owners, "nothing of it is on the wire"
        for owner in owners:
            session.on_wire.remove(owner)
        events = [SubmitAnswered(owner, status, f"id-{owner[1].name}-{owner[2]}") for owner in owners]
        self.link.on_events(session, events)

    def answer_all(self, status: int = ESME_ROK) -> None:
        for session in self.sessions:
            if session.on_wire:
                self.answer(*{owner[1] for owner in session.on_wire}, status=status, session=session)

    def throttle(self, *messages: Message) -> None:
        self.answer(*messages, status=ESME_RTHROTTLED)

    def time_out(self, message: Message) -> None:
        owner = next(owner for owner in self.session.on_wire if owner[1] is message)
        self.session.on_wire.remove(owner)
        self.link.on_events(self.session, [SubmitTimedOut(owner)])

    def cut(self, session: CountingSession | None = None) -> None:
        """The connection is lost: first what was in flight is told, then the session is taken off."""
        session = session or self.session
        session.state = "closed"
        lost, session.on_wire = session.on_wire, []
        self.link.on_events(session, [SubmitLost(owner) for owner in lost])
        self.link.detach(session)
        self.sessions.remove(session)

    def assert_at_rest(self) -> None:
        """Every place was written or given back, nobody waits, no timer is left."""
        assert self.link.idle, self.link
        assert all(session.held == 0 for session in self.sessions)
        assert self.loop.timers == []


def leased_bench(rate_per_s: int, burst: int, *, loop: HandLoop | None = None, **more: Any) -> Bench:
    """A link whose rate is shared with others through a server."""
    loop = loop or HandLoop()
    source: Any = HandSource(loop, rate_per_s, burst)
    bench: Bench
    bucket = LinkBucket(
        "link:7",
        rate_per_s,
        burst or rate_per_s,
        source,
        waiting=lambda: bench.link.tokens_wanted,
        hurried=lambda: bench.link.hurried,
        wake=lambda: bench.link.pump(),
        pace_ns=LINK_PACE_NS,
    )
    bench = Bench(shaper=bucket, loop=loop, rate_per_s=rate_per_s, burst=burst, **more)
    return bench
