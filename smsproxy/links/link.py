"""A link: one account at one SMSC, its sessions, and the order in which messages get a place on it.

`pump` is the heart: one plain function that grants token and window slot to whoever's turn it is. It runs
when something is offered, when slots come free, when a token ripens, when a pause ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, fields
from typing import NamedTuple, cast

from smsproxy.domain.outcome import Accepted, InDoubt, NotSent, Refused, SegmentOutcome
from smsproxy.links.base import (
    Answered,
    Delivery,
    LinkEvents,
    Offer,
    Shaper,
    Slot,
    Submission,
)
from smsproxy.links.receipts import Receipts
from smsproxy.links.submitter import Submitter
from smsproxy.links.throttle import MAX_TRIES, Throttle
from smsproxy.links.transport import SmppConnection
from smsproxy.links.waiting import FairQueue
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESME_RMSGQFUL, ESME_ROK, ESME_RTHROTTLED, status_text
from smsproxy.smpp.errors import BadPduError
from smsproxy.smpp.events import (
    Bound,
    Delivered,
    Event,
    LateAnswer,
    Nacked,
    SubmitAnswered,
    SubmitLost,
    SubmitTimedOut,
    Unexpected,
)
from smsproxy.smpp.receipt_id import receipt_key
from smsproxy.text.segmentation import TextOptions

_Owner = tuple[Submission, int]
"""What a window slot is taken by: a message and the number of its segment."""
_NANO = 1_000_000_000
_THROTTLED = frozenset({ESME_RTHROTTLED, ESME_RMSGQFUL})


@dataclass(slots=True)
class LinkCounters:
    """Read at scrape time."""

    submits: int = 0
    accepted: int = 0
    refused: int = 0
    in_doubt: int = 0
    settled_late: int = 0
    throttled: int = 0
    receipts: int = 0
    receipts_bad: int = 0
    inbound: int = 0
    unexpected: int = 0
    waiting_full: int = 0
    binds: int = 0
    connects_failed: int = 0

    def items(self) -> list[tuple[str, int]]:
        return [(one.name, getattr(self, one.name)) for one in fields(self)]


class _Batch(NamedTuple):
    """What one read from the wire brought."""

    answered: list[Answered]
    late: list[Answered]
    deliveries: list[Delivery]


class Link:
    """See the module. Everything here runs in the loop's thread; nothing awaits."""

    def __init__(
        self,
        link_id: int,
        settings: LinkSettings,
        text: TextOptions,
        shaper: Shaper,
        handler: LinkEvents,
    ) -> None:
        self.link_id = link_id
        self.settings = settings
        self.text_options = text
        self.counters = LinkCounters()
        self.smsc_system_id = ""
        self._handler = handler
        self._shaper = shaper
        self._loop = asyncio.get_running_loop()
        self._submitter = Submitter(settings)
        self._receipts = Receipts(settings)
        self._window = settings.window * settings.sessions
        self._throttle = Throttle(self._window)
        self._waiting: FairQueue[tuple[int, str], Submission] = FairQueue()
        self._again: deque[_Owner] = deque()
        self._tries: dict[_Owner, int] = {}
        self._connections: list[SmppConnection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._turn = 0

    def __repr__(self) -> str:
        state = "bound" if self.bound else "unbound"
        paused = "yes" if self._throttle.paused_until > self._loop.time() else "no"
        return (
            f"<Link {self.link_id} {state} window={self.in_flight}/{self._window} "
            f"waiting={len(self._waiting)} throttled={paused}>"
        )

    # -- state ----------------------------------------------------------------------------------------------

    @property
    def bound(self) -> bool:
        """A message could be submitted now."""
        return any(connection.can_submit for connection in self._connections)

    @property
    def in_flight(self) -> int:
        return sum(connection.in_flight for connection in self._connections)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        return not (self._waiting or self._again or self.in_flight)

    @property
    def connections(self) -> list[SmppConnection]:
        return self._connections

    def receipt_key(self, smsc_id: str) -> str:
        """The id of a submit_sm_resp as receipts of this link will spell it."""
        return receipt_key(smsc_id, self.settings.receipt_id, "response")

    def free_now(self) -> bool:
        """Bound, with a token, a slot and nobody waiting (spec §4, pick)."""
        return (
            not self._waiting
            and not self._again
            and self._connection_with_room() is not None
            and self._shaper.wait(self._now_ns()) == 0
            and self._throttle.may_send(self._loop.time(), self.in_flight)
        )

    def expected_wait_s(self, fair_key: tuple[int, str] | None = None) -> float:
        """How long until a new message would get its token, as far as the rate decides it."""
        ahead = len(self._waiting) if fair_key is None else self._waiting.ahead(fair_key)
        rate = self.settings.rate_per_s
        return self._shaper.wait(self._now_ns()) / _NANO + (ahead / rate if rate else 0.0)

    # -- what the pipeline asks -----------------------------------------------------------------------------

    def offer(self, submission: Submission) -> Offer:
        """Take a message in: its slots are granted now or when its turn comes."""
        if not self.bound:
            return Offer.UNBOUND
        if len(self._waiting) >= self.settings.max_waiting:
            self.counters.waiting_full += 1
            return Offer.FULL
        self._waiting.push(submission.fair_key, submission)
        self.pump()
        return Offer.GRANTED if submission.slots else Offer.WAITING

    def withdraw(self, submission: Submission) -> bool:
        """Take a waiting message out. False once it has a slot: then it is too late."""
        return not submission.slots and self._waiting.remove(submission.fair_key, submission)

    def write(self, submission: Submission) -> None:
        """Put every granted, unwritten segment on the wire; the intent is stored."""
        if not submission.reference and submission.text.parts > 1:
            submission.reference = self._submitter.next_reference(submission.destination.digits)
        while submission.written < len(submission.slots) and not submission.stopped:
            connection = submission.slots[submission.written]
            submission.written += 1
            segment_no = submission.written
            if connection.bound:
                self._submit(connection, submission, segment_no)
            else:
                self._handler.answered([(submission, segment_no, NotSent("link lost before the write"))])

    def stop(self, submission: Submission) -> None:
        """A refusal is known: give back the places of segments that will not be written."""
        submission.stopped = True
        for connection in submission.slots[submission.written :]:
            connection.unreserve()
        del submission.slots[submission.written :]
        self._waiting.remove(submission.fair_key, submission)

    # -- granting -------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Grant places while there are tokens and slots; arrange to be called when there are again."""
        now = self._loop.time()
        while (self._again or self._waiting) and self._throttle.may_send(now, self.in_flight):
            connection = self._connection_with_room()
            if connection is None:
                return  # an answer will bring us back
            wait_ns = self._shaper.take(self._now_ns())
            if wait_ns:
                self._call_later(wait_ns / _NANO)
                return
            connection.reserve()
            if self._again:
                submission, segment_no = self._again.popleft()
                self._submit(connection, submission, segment_no)
            else:
                self._grant(connection)
        if self._throttle.paused_until > now and (self._again or self._waiting):
            self._call_later(self._throttle.paused_until - now)

    def _grant(self, connection: SmppConnection) -> None:
        submission = self._waiting.head()
        if submission is None:
            raise RuntimeError("pump saw a waiter that is not there")
        submission.slots.append(connection)
        if len(submission.slots) == submission.text.parts:
            self._waiting.pop()
        self._handler.granted(self.link_id, submission)

    def _submit(self, connection: Slot, submission: Submission, segment_no: int) -> None:
        self.counters.submits += 1
        connection.submit(self._submitter.body(submission, segment_no), (submission, segment_no))

    def _connection_with_room(self) -> SmppConnection | None:
        """The next session, in turn, that is bound and has a free slot."""
        count = len(self._connections)
        for step in range(count):
            connection = self._connections[(self._turn + step) % count]
            if connection.free_slots > 0 and connection.can_submit:
                self._turn = (self._turn + step + 1) % count
                return connection
        return None

    def _call_later(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, self.pump)

    def _now_ns(self) -> int:
        return int(self._loop.time() * _NANO)

    # -- what sessions tell ---------------------------------------------------------------------------------

    def attach(self, connection: SmppConnection) -> None:
        self._connections.append(connection)

    def detach(self, connection: SmppConnection) -> None:
        """The session is gone. When it was the last, those who wait are told: nothing of theirs was sent."""
        if connection in self._connections:
            self._connections.remove(connection)
        if self.bound:
            self.pump()
        else:
            self._abandon()

    def on_events(self, connection: SmppConnection, events: list[Event]) -> None:
        batch = _Batch([], [], [])
        for event in events:
            self._sort(connection, event, batch)
        if batch.answered:
            self._handler.answered(batch.answered)
        if batch.late:
            self._handler.answered_late(batch.late)
        if batch.deliveries:
            self._handler.received(batch.deliveries)
        self.pump()

    def _sort(self, connection: SmppConnection, event: Event, batch: _Batch) -> None:
        match event:
            case SubmitAnswered(owner, status, smsc_id):
                self._answer(cast(_Owner, owner), status, smsc_id, batch.answered)
            case Nacked(owner, status):
                self._answer(cast(_Owner, owner), status, "", batch.answered)
            case Delivered():
                self._deliver(connection, event, batch.deliveries)
            case SubmitTimedOut(owner):
                self._end(cast(_Owner, owner), InDoubt("no answer from the SMSC in time"), batch.answered)
            case SubmitLost(owner):
                self._end(cast(_Owner, owner), InDoubt("connection lost before the answer"), batch.answered)
            case LateAnswer(owner, status, smsc_id):
                self.counters.settled_late += 1
                late = Accepted(smsc_id) if status == ESME_ROK else _refused(status)
                batch.late.append((*cast(_Owner, owner), late))
            case Bound(system_id=system_id):
                self.smsc_system_id = system_id
                self.counters.binds += 1
            case Unexpected():
                self.counters.unexpected += 1
            case _:
                pass

    def _answer(self, owner: _Owner, status: int, smsc_id: str, answered: list[Answered]) -> None:
        if status == ESME_ROK:
            self._throttle.ok()
            self.counters.accepted += 1
            self._end(owner, Accepted(smsc_id), answered)
        elif status in _THROTTLED and self._try_again(owner):
            self._throttle.throttled(self._loop.time())
            self.counters.throttled += 1
            self._again.append(owner)
        else:
            if status in _THROTTLED:
                self._throttle.throttled(self._loop.time())
            self.counters.refused += 1
            self._end(owner, _refused(status), answered)

    def _try_again(self, owner: _Owner) -> bool:
        tries = self._tries.get(owner, 1)
        self._tries[owner] = tries + 1
        return tries < MAX_TRIES and not owner[0].stopped

    def _end(self, owner: _Owner, outcome: SegmentOutcome, answered: list[Answered]) -> None:
        if self._tries:
            self._tries.pop(owner, None)
        if isinstance(outcome, InDoubt):
            self.counters.in_doubt += 1
        answered.append((*owner, outcome))

    def _deliver(self, connection: SmppConnection, event: Delivered, deliveries: list[Delivery]) -> None:
        try:
            delivery = self._receipts.delivery(connection, event)
        except (
            BadPduError
        ) as error:  # says it is a receipt, but has no id or no state: repeated it is no better
            self.counters.receipts_bad += 1
            connection.answer(event, error.command_status)
            return
        if delivery is None:
            self.counters.inbound += 1
            connection.answer(event, ESME_ROK)
        else:
            self.counters.receipts += 1
            deliveries.append(delivery)

    def _abandon(self) -> None:
        again, self._again = list(self._again), deque()
        if again:  # the SMSC had said that it did not take them
            self._tries.clear()
            self._handler.answered([(*owner, _refused(ESME_RTHROTTLED)) for owner in again])
        for submission in self._waiting.drain():
            self._handler.abandoned(submission)


def _refused(status: int) -> Refused:
    return Refused(status, status_text(status), throttled=status in _THROTTLED)
