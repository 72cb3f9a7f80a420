"""A link: one account at one SMSC, its sessions, and the order in which messages get a place on it.

A message is offered, waits for its turn, is granted a place for a segment (token, then window slot), and
written once its intent is stored. `pump` is the heart: one plain function that serves whoever's turn it is.
It runs when something is offered, when places come free, when a token ripens, when a pause ends.

Who goes first: segments that the SMSC throttled, then places that were granted before the pause, then those
who wait. What stays true: in flight + granted <= the windows; every granted place is written or given back.
The pipeline calls in and is called back in the middle of things; a call that comes in while `pump` runs is
served by that run.
"""

from __future__ import annotations

import asyncio
from itertools import count

from smsproxy.domain.outcome import NotSent
from smsproxy.links.answers import Answers, refused
from smsproxy.links.base import PATIENT_LANE, LinkEvents, Offer, Shaper, Slot, Submission
from smsproxy.links.counters import LinkCounters
from smsproxy.links.references import References
from smsproxy.links.retries import Owner, Retries
from smsproxy.links.sessions import Session, Sessions
from smsproxy.links.submitter import Submitter
from smsproxy.links.throttle import Throttle
from smsproxy.links.waiting import FairQueue
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import ESME_RTHROTTLED
from smsproxy.smpp.events import Event
from smsproxy.smpp.receipt_id import receipt_key
from smsproxy.text.segmentation import TextOptions

_NANO = 1_000_000_000
_GRANTED = Offer.GRANTED
_SHORTEST_TIMER_S = 0.001
"""uvloop's clock ticks in milliseconds: a shorter timer would only turn the loop until it does."""


class Link:
    """See the module. Everything here runs in the loop's thread; nothing awaits."""

    def __init__(
        self,
        link_id: int,
        settings: LinkSettings,
        text: TextOptions,
        shaper: Shaper,
        handler: LinkEvents,
        loop: asyncio.AbstractEventLoop,
        references: References,
    ) -> None:
        self.link_id = link_id
        self.settings = settings
        self.account = settings.account_name
        """What the SMSC's ids are unique within."""
        self.text_options = text
        self.counters = LinkCounters()
        self.smsc_system_id = ""
        """What the SMSC called itself in the last bind that it accepted; the runner sets it."""
        self._handler = handler
        self._shaper = shaper
        self._loop = loop
        self._submitter = Submitter(settings)
        self._references = references
        self._window = settings.window * settings.sessions
        self._throttle = Throttle(self._window, settings.rate_per_s)
        self._pace = self._throttle.pace
        self._sessions = Sessions()
        self._waiting: FairQueue[tuple[int, str], Submission] = FairQueue()
        self._retries = Retries()
        self._held: dict[Submission, None] = {}
        """Messages with granted places that may not be written yet: paused, or their session is gone."""
        self._granted = 0
        """Places granted and neither written nor given back yet."""
        self._ages = count()
        self._answers = Answers(settings, self.counters, self._throttle, self._retries)
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False

    def __repr__(self) -> str:
        state = "bound" if self.bound else "unbound"
        paused = "yes" if self.pause_left_s else "no"
        shrunk = f" rate={self.rate_per_s}/{self.settings.rate_per_s}" if self._pace.rate else ""
        return (
            f"<Link {self.link_id} {state} window={self.in_flight}/{self._window} granted={self._granted} "
            f"waiting={len(self._waiting)} throttled={paused}{shrunk}>"
        )

    # -- state ----------------------------------------------------------------------------------------------

    @property
    def bound(self) -> bool:
        """A message could be submitted now."""
        return self._sessions.can_submit

    @property
    def in_flight(self) -> int:
        """Segments on the wire without an answer."""
        return self._sessions.in_flight

    @property
    def waiting(self) -> int:
        """Messages that wait for a place, segments that wait for another try."""
        return len(self._waiting) + len(self._retries)

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is granted, nothing is on the wire."""
        return not (self._waiting or self._retries or self._granted or self.in_flight)

    @property
    def pause_left_s(self) -> float:
        """Seconds until the SMSC's "slow down" is over. It does not count as waiting (spec §6)."""
        return self._throttle.pause_left(self._loop.time())

    @property
    def rate_per_s(self) -> int:
        """Segments per second at most, 0 = unlimited: the setting, or less since the SMSC throttled."""
        return self._pace.per_s or self.settings.rate_per_s

    @property
    def shrinks(self) -> int:
        """How often the effective rate was decreased."""
        return self._pace.shrinks

    @property
    def tokens_wanted(self) -> int:
        """Segments that only want a token: of those who wait, as many as there are places for."""
        return min(self.waiting, max(0, self._window - self.in_flight - self._granted))

    def receipt_key(self, smsc_id: str) -> str:
        """The id of a submit_sm_resp as receipts of this link will spell it."""
        return receipt_key(smsc_id, self.settings.receipt_id, "response")

    def free_now(self) -> bool:
        """Bound, with a token, a slot and nobody waiting (spec §4, pick)."""
        return (
            not (self._waiting or self._retries or self._held)
            and not self._fully_used(self._loop.time())
            and self._sessions.have_room
            and self._token_wait(self._now_ns()) == 0
        )

    def expected_wait_s(self, fair_key: tuple[int, str] | None = None) -> float:
        """How long until a new message would get its token, as far as the rate decides it."""
        ahead = len(self._waiting) if fair_key is None else self._waiting.ahead(fair_key)
        rate = self.rate_per_s
        wait_s = self._token_wait(self._now_ns()) / _NANO
        return wait_s + (ahead + len(self._retries)) / rate if rate else wait_s

    def free_in(self) -> tuple[float, float]:
        """For a choice among links that are not free: the seconds that can be told, then the crowd."""
        crowd = (self.waiting + self.in_flight + self._granted) / self._window
        return max(self.pause_left_s, self.expected_wait_s()), crowd

    # -- what the pipeline asks -----------------------------------------------------------------------------

    def offer(self, submission: Submission) -> Offer:
        """Take a message in: its places are granted now or when its turn comes."""
        if not (self._waiting.size or self._retries.queue or self._held) and self._grant_at_once(submission):
            return _GRANTED
        if not self._sessions.can_submit:
            return Offer.UNBOUND
        if submission.fair_key[1] != PATIENT_LANE and self._is_full():
            self.counters.waiting_full += 1
            return Offer.FULL
        self._waiting.push(submission.fair_key, submission)
        self.pump()
        return _GRANTED if submission.slots or submission.stopped else Offer.WAITING

    def _grant_at_once(self, submission: Submission) -> bool:
        """For a message of one segment when nobody is before it, the rule: as `pump`, without the queue."""
        if len(submission.text.bodies) > 1 or self._throttle.limited or self._pumping:
            return False
        session = self._sessions.next_free()
        if session is None or self._take_token(self._now_ns()):
            return False
        self._sessions.reserve(session)
        self._granted += 1
        submission.slots.append(session)
        self._handler.granted(self.link_id, submission)
        return True

    def _is_full(self) -> bool:
        crowd = self._waiting.count(lambda key: key[1] != PATIENT_LANE)
        return crowd >= self.settings.max_waiting and not self.free_now()

    def withdraw(self, submission: Submission) -> bool:
        """Take a waiting message out. False once it has a place: then it is too late."""
        return not submission.slots and self._waiting.remove(submission.fair_key, submission)

    def write(self, submission: Submission) -> None:
        """Put every granted, unwritten segment on the wire; the intent is stored.

        In a pause they are held until it ends. A segment whose session is gone gets a place in another one,
        or ends as NotSent when the link is down.
        """
        if len(submission.text.bodies) > 1 and not submission.reference:
            submission.reference = self._references.draw(submission.destination.digits)
        if (self._throttle.limited or self._retries.queue or self._held) and self.bound:
            if submission.written < len(submission.slots) and not submission.stopped:
                self._held[submission] = None
                self.pump()
            return
        while submission.written < len(submission.slots) and not submission.stopped:
            if not self._write_next(submission):
                self._held[submission] = None
                return

    def stop(self, submission: Submission) -> None:
        """A refusal is known, or it is not wanted any more: nothing of it is written from here on.

        Its unwritten places are given back; segments that waited for another try end as they were answered.
        """
        submission.stopped = True
        unwritten = submission.slots[submission.written :]
        del submission.slots[submission.written :]
        for slot in unwritten:
            slot.unreserve()
        self._granted -= len(unwritten)
        self._waiting.remove(submission.fair_key, submission)
        self._held.pop(submission, None)
        self._end_throttled(self._retries.take(submission))
        self.pump()

    # -- granting and writing -------------------------------------------------------------------------------

    def pump(self) -> None:
        """Serve whoever's turn it is; arrange to be called when a token or the end of a pause allows more."""
        if self._pumping:
            return
        self._pumping = True
        try:
            delay_s = self._serve(self._loop.time())
        finally:
            self._pumping = False
        if delay_s:
            self._stop_timer()
            self._timer = self._loop.call_later(max(delay_s, _SHORTEST_TIMER_S), self.pump)

    def _serve(self, now: float) -> float:
        """Until nobody waits or no more is possible. Seconds until it will be; 0: an answer will tell."""
        while True:
            if self._retries.queue or self._held:
                delay_s = self._resume(now)
                if self._retries.queue or self._held:
                    return delay_s
            if not self._waiting.size:
                return 0.0
            if self._throttle.limited and self._fully_used(now):
                return self._throttle.pause_left(now)
            session = self._sessions.next_free()
            if session is None:
                return 0.0
            wait_ns = self._take_token(int(now * _NANO))
            if wait_ns:
                return wait_ns / _NANO
            self._grant(session)

    def _fully_used(self, now: float) -> bool:
        """Whether a pause, or the slow start after one, keeps new messages back."""
        throttle = self._throttle
        return throttle.limited and self.in_flight + self._granted >= throttle.limit(now)

    def _grant(self, session: Session) -> None:
        self._sessions.reserve(session)
        self._granted += 1
        submission = self._waiting.head()
        submission.slots.append(session)
        if len(submission.slots) == len(submission.text.bodies):
            self._waiting.pop()
        self._handler.granted(self.link_id, submission)

    def _resume(self, now: float) -> float:
        """Write what is throttled, then what is held, as far as it may go. As `_serve`."""
        while self._retries or self._held:
            if self._throttle.limited and self.in_flight >= self._throttle.limit(now):
                return self._throttle.pause_left(now)
            session = self._sessions.next_free() if self._retries else None
            if session is not None:
                wait_ns = self._take_token(int(now * _NANO))
                if wait_ns:
                    return wait_ns / _NANO
                self._sessions.reserve(session)
                self._submit(session, self._retries.pop())
            elif not any(self._write_held(submission) for submission in self._held):
                return 0.0
        return 0.0

    def _write_held(self, submission: Submission) -> bool:
        """One segment of a message that is held. False: no session has room for it now."""
        written = self._write_next(submission)
        if submission.written >= len(submission.slots) or submission.stopped:
            self._held.pop(submission, None)
        return written

    def _write_next(self, submission: Submission) -> bool:
        """Write a segment into its place, or into another one when the session of that is gone.

        False: there is no other place now, but there will be.
        """
        slots, index = submission.slots, submission.written
        if not slots[index].bound and not self._replace(slots, index):
            if self.bound:
                return False
            self._lose_next(submission)
            return True
        submission.written += 1
        self._granted -= 1
        self._submit(slots[index], (next(self._ages), submission, submission.written))
        return True

    def _replace(self, slots: list[Slot], index: int) -> bool:
        """Find another place for one that is gone: a free one, else that of a later segment."""
        session = self._sessions.next_free()
        if session is not None:
            slots[index].unreserve()
            self._sessions.reserve(session)
            slots[index] = session
            return True
        for later in range(index + 1, len(slots)):
            if slots[later].bound:
                slots[index], slots[later] = slots[later], slots[index]
                return True
        return False

    def _lose_next(self, submission: Submission) -> None:
        """The link is down: this segment is provably not sent."""
        submission.slots[submission.written].unreserve()
        submission.written += 1
        self._granted -= 1
        self.counters.lost_before_write += 1
        self._handler.answered([(submission, submission.written, NotSent("link lost before the write"))])

    def _submit(self, slot: Slot, owner: Owner) -> None:
        self.counters.submits += 1
        slot.submit(self._submitter.body(owner[1], owner[2]), owner)

    def _take_token(self, now_ns: int) -> int:
        """One token of the link's rate, and of the smaller one it is shrunk to. As `Shaper.take`."""
        pace = self._pace
        if not pace.rate:
            return self._shaper.take(now_ns)
        wait_ns = pace.wait(now_ns) or self._shaper.take(now_ns)
        if not wait_ns:
            pace.take(now_ns)
        return wait_ns

    def _token_wait(self, now_ns: int) -> int:
        return max(self._pace.wait(now_ns), self._shaper.wait(now_ns))

    def _now_ns(self) -> int:
        return int(self._loop.time() * _NANO)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- what sessions tell ---------------------------------------------------------------------------------

    def attach(self, session: Session) -> None:
        """A session begins; it counts once it is bound."""
        self._sessions.add(session)

    def detach(self, session: Session) -> None:
        """A session is gone for good."""
        self._sessions.remove(session)
        self._go_on()

    def on_events(self, session: Session, events: list[Event]) -> None:
        """What one read, tick or end of a session brought. Answers first, then who waits."""
        batch = self._answers.sort(session, events, self._loop.time())
        if batch.answered:
            self._handler.answered(batch.answered)
        if batch.late:
            self._handler.answered_late(batch.late)
        if batch.deliveries:
            self._handler.received(batch.deliveries)
        if batch.inbound:
            self._handler.inbound(self.link_id, batch.inbound)
        self._go_on()

    def _go_on(self) -> None:
        if self._sessions.can_submit:
            self.pump()
        else:
            self._abandon()

    def _abandon(self) -> None:
        """The last session is gone. Whoever waits is told so: nothing further of theirs was sent."""
        self._stop_timer()
        self._end_throttled(self._retries.drain())
        while self._held:
            self._write_held(next(iter(self._held)))
        for submission in self._waiting.drain():
            begun = bool(submission.slots)
            self._handler.abandoned(submission)
            if begun and not submission.stopped:  # its intent is being stored: `write` or `stop` will come
                self._waiting.push(submission.fair_key, submission)

    def _end_throttled(self, owners: list[Owner]) -> None:
        """They will not be tried again, and the SMSC had said that it did not take them."""
        if owners:
            self.counters.refused += len(owners)
            outcome = refused(ESME_RTHROTTLED)
            self._handler.answered([(submission, number, outcome) for _, submission, number in owners])
