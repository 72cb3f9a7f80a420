"""A link: one account at one SMSC, what the pipeline asks of it and what its sessions tell it.

A message is offered, waits for its turn, is granted a place for a segment (token, then window slot: `turns`),
and written once its intent is stored (`places`). `runner` keeps the sessions alive, `answers` reads what they
bring. The pipeline calls in and is called back in the middle of things.
"""

from __future__ import annotations

import asyncio

from smsproxy.links.answers import Answers
from smsproxy.links.base import PATIENT_LANE, LinkEvents, Offer, Shaper, Submission
from smsproxy.links.counters import LinkCounters
from smsproxy.links.places import NANO, Places
from smsproxy.links.rate import Rate
from smsproxy.links.references import References
from smsproxy.links.retries import Retries
from smsproxy.links.sessions import Session, Sessions
from smsproxy.links.submitter import Submitter
from smsproxy.links.throttle import Throttle
from smsproxy.links.turns import Turns
from smsproxy.settings import LinkSettings
from smsproxy.smpp.events import Event
from smsproxy.smpp.receipt_id import receipt_key
from smsproxy.text.segmentation import TextOptions

_GRANTED = Offer.GRANTED


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
        self._loop = loop
        self._references = references
        self._window = settings.window * settings.sessions
        self._throttle = throttle = Throttle(self._window, settings.rate_per_s)
        self._rate = rate = Rate(settings.rate_per_s, settings.burst, shaper, throttle.pace)
        self._sessions = sessions = Sessions()
        self._retries = retries = Retries()
        submitter, counters = Submitter(settings), self.counters
        self._places = Places(sessions, submitter, rate, throttle, retries, counters, handler)
        self._turns = Turns(link_id, sessions, self._places, rate, throttle, retries, handler, loop)
        self._waiting = self._turns.waiting
        self._held = self._places.held
        self._answers = Answers(settings, counters, throttle, retries)
        self.pump = self._turns.pump
        """Serve whoever's turn it is: something may have come free."""

    def __repr__(self) -> str:
        state = "bound" if self.bound else "unbound"
        paused = "yes" if self.pause_left_s else "no"
        shrunk = f" rate={self.rate_per_s}/{self.settings.rate_per_s}" if self._rate.shrunk else ""
        return (
            f"<Link {self.link_id} {state} window={self.in_flight}/{self._window} "
            f"granted={self._places.granted} waiting={len(self._waiting)} throttled={paused}{shrunk}>"
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
        return not (self._waiting or self._retries or self._places.granted or self.in_flight)

    @property
    def pause_left_s(self) -> float:
        """Seconds until the SMSC's "slow down" is over. It does not count as waiting (spec §6)."""
        return self._throttle.pause_left(self._loop.time())

    @property
    def rate_per_s(self) -> int:
        """Segments per second at most, 0 = unlimited: the setting, or less since the SMSC throttled."""
        return self._rate.per_s

    @property
    def shrinks(self) -> int:
        """How often the effective rate was decreased."""
        return self._rate.shrinks

    @property
    def tokens_wanted(self) -> int:
        """Segments that only want a token: of those who wait, as many as there are places for."""
        return min(self.waiting, max(0, self._window - self.in_flight - self._places.granted))

    @property
    def hurried(self) -> bool:
        """A unary call waits."""
        return self._turns.hurried > 0

    def receipt_key(self, smsc_id: str) -> str:
        """The id of a submit_sm_resp as receipts of this link will spell it."""
        return receipt_key(smsc_id, self.settings.receipt_id, "response")

    def free_now(self) -> bool:
        """Bound, with a token, a slot and nobody waiting (spec §4, pick)."""
        return (
            not (self._waiting.size or self._retries.queue or self._held)
            and not self._turns.fully_used(now := self._loop.time())
            and self._sessions.have_room
            and self._rate.wait(int(now * NANO)) == 0
        )

    def expected_wait_s(self, fair_key: tuple[int, str] | None = None) -> float:
        """How long until a new message would get its token, as far as the rate decides it."""
        ahead = len(self._waiting) if fair_key is None else self._waiting.ahead(fair_key)
        rate = self.rate_per_s
        wait_s = self._rate.wait(int(self._loop.time() * NANO)) / NANO
        return wait_s + (ahead + len(self._retries)) / rate if rate else wait_s

    def free_in(self) -> tuple[float, float]:
        """For a choice among links that are not free: the seconds that can be told, then the crowd."""
        crowd = (self.waiting + self.in_flight + self._places.granted) / self._window
        return max(self.pause_left_s, self.expected_wait_s()), crowd

    # -- what the pipeline asks -----------------------------------------------------------------------------

    def offer(self, submission: Submission) -> Offer:
        """Take a message in: its places are granted now or when its turn comes."""
        nobody_before = not (self._waiting.size or self._retries.queue or self._held)
        if nobody_before and self._turns.grant_at_once(submission):
            return _GRANTED
        if not self._sessions.can_submit:
            return Offer.UNBOUND
        patient = submission.fair_key[1] == PATIENT_LANE
        if not patient and self._is_full():
            self.counters.waiting_full += 1
            return Offer.FULL
        self._waiting.push(submission.fair_key, submission)
        if patient:
            self._turns.joined()
        else:
            self.pump()
        return _GRANTED if submission.slots or submission.stopped else Offer.WAITING

    def _is_full(self) -> bool:
        return self._turns.hurried >= self.settings.max_waiting and not self.free_now()

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
            if self._places.hold(submission):
                self.pump()
            return
        self._places.write(submission)

    def stop(self, submission: Submission) -> None:
        """A refusal is known, or it is not wanted any more: nothing of it is written from here on.

        Its unwritten places are given back; segments that waited for another try end as they were answered.
        """
        submission.stopped = True
        self._waiting.remove(submission.fair_key, submission)
        self._places.give_back(submission)
        self.pump()

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
            self._turns.go_on()
        else:
            self._abandon()

    def _abandon(self) -> None:
        """The last session is gone. Whoever waits is told so: nothing further of theirs was sent."""
        self._turns.stop_timer()
        self._places.abandon()
        for submission in self._waiting.drain():
            begun = bool(submission.slots)
            self._handler.abandoned(submission)
            if begun and not submission.stopped:  # its intent is being stored: `write` or `stop` will come
                self._waiting.push(submission.fair_key, submission)
