"""From what a session tells to the ends of segments, receipts and inbound messages (spec §6).

A throttled segment does not end here: it goes to the retries, while it may. Called by the link with every
batch of events; decides, and changes nothing but the link's counters, throttle and retries; a session that
the SMSC does not take for bound is asked to bind anew.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, cast

from smsproxy.domain.outcome import Accepted, InDoubt, Refused, SegmentOutcome
from smsproxy.links.base import Answered, Delivery, Inbound, text_options
from smsproxy.links.counters import LinkCounters
from smsproxy.links.receipts import Receipts, answer_with
from smsproxy.links.retries import Owner, Retries
from smsproxy.links.sessions import Session
from smsproxy.links.statuses import Meaning, submit_meaning
from smsproxy.links.throttle import Throttle
from smsproxy.settings import LinkSettings
from smsproxy.smpp.constants import (
    ESME_ROK,
    ESME_RSYSERR,
    status_text,
)
from smsproxy.smpp.errors import BadPduError
from smsproxy.smpp.events import (
    Delivered,
    Event,
    LateAnswer,
    Nacked,
    ReceiptDelivered,
    SubmitAnswered,
    SubmitLost,
    SubmitTimedOut,
    Unexpected,
)
from smsproxy.smpp.inbound import read_inbound
from smsproxy.text.handset import Alphabets


class Batch(NamedTuple):
    """What one read from the wire brought."""

    answered: list[Answered]
    late: list[Answered]
    deliveries: list[Delivery]
    inbound: list[Inbound]


def refused(status: int) -> Refused:
    return Refused(status, status_text(status), throttled=submit_meaning(status) is Meaning.THROTTLED)


class Answers:
    """Sorts the events of one link."""

    __slots__ = ("_account", "_alphabets", "_counters", "_receipts", "_retries", "_throttle")

    def __init__(
        self, settings: LinkSettings, counters: LinkCounters, throttle: Throttle, retries: Retries
    ) -> None:
        self._account = settings.account_name
        self._alphabets = Alphabets(text_options(settings, max_segments=1))
        self._receipts = Receipts(settings)
        self._counters = counters
        self._throttle = throttle
        self._retries = retries

    def sort(self, session: Session, events: list[Event], now: float) -> Batch:
        """One batch of events of one session, in their order."""
        batch = Batch([], [], [], [])
        receipts: list[ReceiptDelivered] = []
        for event in events:
            match event:
                case SubmitAnswered(owner, status, smsc_id):
                    self._answer(session, cast(Owner, owner), status, smsc_id, batch, now)
                case ReceiptDelivered():
                    receipts.append(event)
                case Delivered():
                    if receipts:  # two of one segment count in their order
                        batch.deliveries.append(self._take(session, receipts))
                        receipts = []
                    self._deliver(session, event, batch)
                case Nacked(owner, status):
                    # It is never an ok, whatever its status says.
                    self._answer(session, cast(Owner, owner), status or ESME_RSYSERR, "", batch, now)
                case SubmitTimedOut(owner):
                    self._doubt(cast(Owner, owner), "no answer from the SMSC in time", batch)
                case SubmitLost(owner):
                    self._doubt(cast(Owner, owner), "connection lost before the answer", batch)
                case LateAnswer(owner, status, smsc_id):
                    self._settle(cast(Owner, owner), status, smsc_id, batch)
                case Unexpected():
                    self._counters.unexpected += 1
                case _:
                    pass  # the runner's: bound, refused, closed
        if receipts:
            batch.deliveries.append(self._take(session, receipts))
        return batch

    def _answer(
        self, session: Session, owner: Owner, status: int, smsc_id: str, batch: Batch, now: float
    ) -> None:
        _, submission, number = owner
        outcome: SegmentOutcome
        if status == ESME_ROK:
            self._counters.accepted += 1
            self._throttle.ok(now)
            outcome = Accepted(smsc_id)
        else:
            meaning = submit_meaning(status)
            if meaning is Meaning.THROTTLED:
                self._counters.throttled += 1
                self._throttle.throttled(now, session.in_flight)
                if not submission.stopped and self._retries.add(owner):
                    return
            self._refuse(session, status, meaning)
            outcome = refused(status)
        self._retries.ended(owner)
        batch.answered.append((submission, number, outcome))

    def _refuse(self, session: Session, status: int, meaning: Meaning) -> None:
        """Count a refusal; a session that the SMSC does not take for bound is of no use as it is."""
        self._counters.refused += 1
        if meaning is Meaning.TEMPORARY:
            self._counters.refused_temporary += 1
        elif meaning is Meaning.LINK_FAULT:
            self._counters.link_faults += 1
            session.rebind(status_text(status))

    def _doubt(self, owner: Owner, reason: str, batch: Batch) -> None:
        self._counters.in_doubt += 1
        self._retries.ended(owner)
        batch.answered.append((owner[1], owner[2], InDoubt(reason)))

    def _settle(self, owner: Owner, status: int, smsc_id: str, batch: Batch) -> None:
        """An answer after all. A throttled one is not tried again: its caller was told `unknown`."""
        self._counters.settled_late += 1
        outcome = Accepted(smsc_id) if status == ESME_ROK else refused(status)
        batch.late.append((owner[1], owner[2], outcome))

    def _take(self, session: Session, receipts: list[ReceiptDelivered]) -> Delivery:
        self._counters.receipts += len(receipts)
        return self._receipts.of_one_read(session, receipts)

    def _deliver(self, session: Session, event: Delivered, batch: Batch) -> None:
        try:
            delivery = self._receipts.delivery(session, event)
        except BadPduError as error:  # it names no segment or no state: repeated it would be no better
            self._counters.receipts_bad += 1
            session.answer(event, error.command_status)
            return
        if delivery is None:
            self._counters.inbound += 1
            segment = read_inbound(event.pdu, self._account, self._alphabets)
            batch.inbound.append(Inbound(segment, partial(answer_with, session, event)))
        else:
            self._counters.receipts += 1
            batch.deliveries.append(delivery)
