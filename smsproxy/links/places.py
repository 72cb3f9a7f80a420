"""Granted places of one link, from the grant to the write.

A segment is written into its place; into another one when the session of that is gone; not at all, and
provably so, when the link is down. What may not be written yet, because the link pauses or no session has
room, is held here beside the segments that the SMSC throttled, and `resume` writes both when their turn
comes. What stays true: every granted place is written or given back. Called by the link and by `turns`.
"""

from __future__ import annotations

from itertools import count

from smsproxy.domain.outcome import NotSent
from smsproxy.links.answers import refused
from smsproxy.links.base import LinkEvents, Submission
from smsproxy.links.counters import LinkCounters
from smsproxy.links.rate import Rate
from smsproxy.links.retries import Owner, Retries
from smsproxy.links.sessions import Sessions
from smsproxy.links.submitter import Submitter
from smsproxy.links.throttle import Throttle
from smsproxy.smpp.constants import ESME_RTHROTTLED

NANO = 1_000_000_000


class Places:
    """Nothing here awaits. Whom it tells of an end may call back in the middle of things."""

    __slots__ = (
        "_ages",
        "_counters",
        "_handler",
        "_rate",
        "_retries",
        "_sessions",
        "_submitter",
        "_throttle",
        "granted",
        "held",
    )

    def __init__(
        self,
        sessions: Sessions,
        submitter: Submitter,
        rate: Rate,
        throttle: Throttle,
        retries: Retries,
        counters: LinkCounters,
        handler: LinkEvents,
    ) -> None:
        self.granted = 0
        """Places granted and neither written nor given back yet: `turns` counts up, this class down."""
        self.held: dict[Submission, None] = {}
        """Messages with granted places that may not be written yet; changed in here alone."""
        self._sessions = sessions
        self._submitter = submitter
        self._rate = rate
        self._throttle = throttle
        self._retries = retries
        self._counters = counters
        self._handler = handler
        self._ages = count()

    def __repr__(self) -> str:
        return f"<Places granted={self.granted} held={len(self.held)} throttled={len(self._retries)}>"

    def write(self, submission: Submission) -> None:
        """Put every granted, unwritten segment on the wire; from the first without a place they are held."""
        while submission.written < len(submission.slots) and not submission.stopped:
            if not self._write_next(submission):
                self.held[submission] = None
                return

    def hold(self, submission: Submission) -> bool:
        """Keep what is unwritten for `resume`. False when there is nothing to keep."""
        unwritten = submission.written < len(submission.slots) and not submission.stopped
        if unwritten:
            self.held[submission] = None
        return unwritten

    def resume(self, now: float) -> float:
        """Write what is throttled, then what is held, as far as it may go.

        Seconds until more of it may; 0: nothing is left, or an answer will tell.
        """
        while self._retries or self.held:
            if self._throttle.limited and self._sessions.in_flight >= self._throttle.limit(now):
                return self._throttle.pause_left(now)
            session = self._sessions.next_free() if self._retries else None
            if session is not None:
                wait_ns = self._rate.take(int(now * NANO))
                if wait_ns:
                    return wait_ns / NANO
                self._sessions.reserve(session)
                owner = self._retries.pop()
                self._counters.submits += 1
                session.submit(self._submitter.body(owner[1], owner[2]), owner)
            elif not any(self._write_held(submission) for submission in self.held):
                return 0.0
        return 0.0

    def give_back(self, submission: Submission) -> None:
        """Nothing more of this message is written: its unwritten places are free again.

        Segments that waited for another try end as they were answered.
        """
        unwritten = submission.slots[submission.written :]
        submission.slots = submission.slots[: submission.written]
        for slot in unwritten:
            slot.unreserve()
        self.granted -= len(unwritten)
        self.held.pop(submission, None)
        self._end_throttled(self._retries.take(submission))

    def abandon(self) -> None:
        """The last session is gone: what is throttled or held ends now."""
        self._end_throttled(self._retries.drain())
        while self.held:
            self._write_held(next(iter(self.held)))

    def _write_held(self, submission: Submission) -> bool:
        """One segment of a message that is held. False: no session has room for it now."""
        written = self._write_next(submission)
        if submission.written >= len(submission.slots) or submission.stopped:
            self.held.pop(submission, None)
        return written

    def _write_next(self, submission: Submission) -> bool:
        """Write a segment into its place, or into another one when the session of that is gone.

        False: there is no other place now, but there will be.
        """
        index = submission.written
        if not submission.slots[index].bound and not self._replace(submission, index):
            if self._sessions.can_submit:
                return False
            self._lose_next(submission)
            return True
        submission.written = number = index + 1
        self.granted -= 1
        self._counters.submits += 1
        body = self._submitter.body(submission, number)
        submission.slots[index].submit(body, (next(self._ages), submission, number))
        return True

    def _replace(self, submission: Submission, index: int) -> bool:
        """Find another place for one that is gone: a free one, else that of a later segment."""
        slots = list(submission.slots)
        session = self._sessions.next_free()
        if session is not None:
            slots[index].unreserve()
            self._sessions.reserve(session)
            slots[index] = session
            submission.slots = tuple(slots)
            return True
        for later in range(index + 1, len(slots)):
            if slots[later].bound:
                slots[index], slots[later] = slots[later], slots[index]
                submission.slots = tuple(slots)
                return True
        return False

    def _lose_next(self, submission: Submission) -> None:
        """The link is down: this segment is provably not sent."""
        submission.slots[submission.written].unreserve()
        submission.written += 1
        self.granted -= 1
        self._counters.lost_before_write += 1
        self._handler.answered([(submission, submission.written, NotSent("link lost before the write"))])

    def _end_throttled(self, owners: list[Owner]) -> None:
        """They will not be tried again, and the SMSC had said that it did not take them."""
        if owners:
            self._counters.refused += len(owners)
            outcome = refused(ESME_RTHROTTLED)
            self._handler.answered([(submission, number, outcome) for _, submission, number in owners])
