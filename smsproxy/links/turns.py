"""Whose turn it is on one link: `pump`, one plain function, serves whoever may go next (spec §4).

First go the segments that the SMSC throttled, then the places that were granted before a pause (`places`
writes both), then those who wait, round-robin over the callers: each gets a token, then a slot of the next
session with room. It runs when something is offered, when places come free, when tokens have ripened (some at
a time, while none but campaigns wait: `rate`), when a pause ends. The pipeline is called in the middle of
things and may call back; a call that comes in while `pump` runs is served by that run.
"""

from __future__ import annotations

import asyncio

from smsproxy.links.base import PATIENT_LANE, LinkEvents, Submission
from smsproxy.links.places import NANO, Places
from smsproxy.links.rate import SHORTEST_REST_S, Rate
from smsproxy.links.retries import Retries
from smsproxy.links.sessions import Session, Sessions
from smsproxy.links.throttle import Throttle
from smsproxy.links.waiting import FairQueue


class Turns:
    """Grants places: in flight + granted <= the windows. Nothing here awaits."""

    __slots__ = (
        "_handler",
        "_link_id",
        "_loop",
        "_places",
        "_pumping",
        "_rate",
        "_retries",
        "_sessions",
        "_throttle",
        "_timer",
        "waiting",
    )

    def __init__(
        self,
        link_id: int,
        sessions: Sessions,
        places: Places,
        rate: Rate,
        throttle: Throttle,
        retries: Retries,
        handler: LinkEvents,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.waiting: FairQueue[tuple[int, str], Submission] = FairQueue()
        """Messages that wait for a place of their next segment. The link puts them in and takes them out."""
        self._link_id = link_id
        self._sessions = sessions
        self._places = places
        self._rate = rate
        self._throttle = throttle
        self._retries = retries
        self._handler = handler
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        """Set while whoever's turn it is waits for a token or the end of a pause, and for nothing else."""
        self._pumping = False

    def __repr__(self) -> str:
        return f"<Turns waiting={len(self.waiting)} timer={'yes' if self._timer else 'no'}>"

    def grant_at_once(self, submission: Submission) -> bool:
        """For a message of one segment when nobody is before it, the rule: as `pump`, without the queue."""
        if len(submission.text.bodies) > 1 or self._throttle.limited or self._pumping:
            return False
        sessions = self._sessions
        session = sessions.next_free()
        if session is None or self._rate.take(int(self._loop.time() * NANO)):
            return False
        sessions.reserve(session)
        self._places.granted += 1
        submission.slots = (session,)
        self._handler.granted(self._link_id, submission)
        return True

    def pump(self) -> None:
        """Serve whoever's turn it is; arrange to be called when a token or the end of a pause allows more."""
        if self._pumping:
            return
        self.stop_timer()
        self._pumping = True
        try:
            delay_s = self._serve(self._loop.time())
        finally:
            self._pumping = False
        if delay_s:
            rest_s = SHORTEST_REST_S if self.hurried else self._rate.rest_s
            self._timer = self._loop.call_later(max(delay_s, rest_s), self.pump)

    def go_on(self) -> None:
        """`pump` for what brings no token: of no effect while one, or the end of a pause, is waited for."""
        if self._timer is None or self._retries.queue or self._places.held:
            self.pump()

    def joined(self) -> None:
        """A campaign's message was put among `waiting`: as `go_on`; without a free place an answer will."""
        if self._sessions.next_free() is not None:
            self.go_on()

    @property
    def hurried(self) -> int:
        """How many unary calls wait."""
        return self.waiting.count(lambda key: key[1] != PATIENT_LANE)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fully_used(self, now: float) -> bool:
        """Whether a pause, or the slow start after one, keeps new messages back."""
        throttle = self._throttle
        return throttle.limited and self._sessions.in_flight + self._places.granted >= throttle.limit(now)

    def _serve(self, now: float) -> float:
        """Until nobody waits or no more is possible. Seconds until it will be; 0: an answer will tell."""
        retries, places, waiting = self._retries, self._places, self.waiting
        while True:
            if retries.queue or places.held:
                delay_s = places.resume(now)
                if retries.queue or places.held:
                    return delay_s
            if not waiting.size:
                return 0.0
            if self._throttle.limited and self.fully_used(now):
                return self._throttle.pause_left(now)
            session = self._sessions.next_free()
            if session is None:
                return 0.0
            wait_ns = self._rate.take(int(now * NANO))
            if wait_ns:
                return wait_ns / NANO
            self._grant(session)

    def _grant(self, session: Session) -> None:
        self._sessions.reserve(session)
        self._places.granted += 1
        waiting = self.waiting
        submission = waiting.head()
        submission.slots += (session,)
        if len(submission.slots) == len(submission.text.bodies):
            waiting.pop()
        self._handler.granted(self._link_id, submission)
