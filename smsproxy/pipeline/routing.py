"""The route stage: which link takes the message, and how long it may wait for a place there (spec §4).

A link holds a job from `offer` until it grants a place, is told that the job was withdrawn, or goes down and
abandons it. How long a job may wait is decided here: a unary call `max_wait_ms`, any job its deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil

from smsproxy.domain.outcome import Answer, Status
from smsproxy.links.base import Offer
from smsproxy.pipeline.admission import BUSY_RETRY_MS
from smsproxy.pipeline.base import Routes, SubmitLink
from smsproxy.pipeline.ends import expired, refusal
from smsproxy.pipeline.job import SUBMITTING, WAITING, Job
from smsproxy.pipeline.ports import Lane
from smsproxy.text.errors import TextError
from smsproxy.text.segmentation import segment

_UNARY = Lane.UNARY
_GRANTED = Offer.GRANTED


class RouteStage:
    """Plain functions of a job; nothing here awaits."""

    def __init__(
        self,
        routes: Routes,
        max_wait_ms: int,
        *,
        placed: Callable[[Job], None],
        refused: Callable[[Job, Answer], None],
    ) -> None:
        self._routes = routes
        self._max_wait_ms = max_wait_ms
        self._placed = placed
        self._refused = refused
        self._loop = asyncio.get_running_loop()

    def reload(self, max_wait_ms: int) -> None:
        """For messages that begin to wait from now on."""
        self._max_wait_ms = max_wait_ms

    def place(self, job: Job) -> None:
        """Offer it to a link. Ends in `placed(job)`, now or later, or `refused(job, answer)`."""
        link = self._routes.pick(job.message.route_id)
        if link is None:
            self._refused(job, self._unavailable(job))
            return
        if job.lane is _UNARY:
            wait_ms = link.expected_wait_s(job.fair_key) * 1000
            if wait_ms > self._max_wait_ms:
                self._refused(job, self._limit(job, link, int(wait_ms) + 1))
                return
        options = link.text_options
        if job.text_options is not options and job.text_options != options:
            try:
                job.text, job.text_options = segment(job.message.text, options), options
            except TextError as error:  # a reload changed the link's settings since the message came in
                self._refused(job, refusal(job, Status.INVALID, f"message: {error}"))
                return
        self._offer(job, link)

    def _offer(self, job: Job, link: SubmitLink) -> None:
        job.link = link
        job.stage = WAITING
        offer = link.offer(job)
        if offer is _GRANTED:
            return
        if offer is Offer.FULL:
            self._refused(job, self._limit(job, link, BUSY_RETRY_MS))
        elif offer is Offer.UNBOUND:
            self._refused(job, self._unavailable(job))
        elif job.stage is WAITING:  # else it was granted a place, and given it back: its deadline had passed
            self._start_waiting(job)

    def _start_waiting(self, job: Job) -> None:
        """A unary call waits at most `max_wait_ms`, a pause of the link not counted; any job its deadline."""
        if job.timer is not None:  # it waited for another link before: one wait for all of them
            return
        if job.lane is _UNARY:
            give_up_at = self._loop.time() + job.link.pause_left_s + self._max_wait_ms / 1000
            if job.deadline is None or give_up_at < job.deadline:
                job.timer = self._loop.call_at(give_up_at, self._waited_too_long, job)
                return
        if job.deadline is not None:
            job.timer = self._loop.call_at(job.deadline, self._deadline_passed, job)

    def _waited_too_long(self, job: Job) -> None:
        if job.link.pause_left_s:  # it began while the job waited
            job.timer = None
            self._start_waiting(job)
        elif job.link.withdraw(job):
            self._refused(job, self._limit(job, job.link, self._max_wait_ms))

    def _deadline_passed(self, job: Job) -> None:
        if job.link.withdraw(job):
            self._refused(job, expired(job))

    def granted(self, job: Job) -> None:
        """The link gave it a further place."""
        stage = job.stage
        if stage is WAITING:
            if job.timer is not None:
                job.stop_timer()
            if job.deadline is not None and job.overdue(self._loop.time()):
                job.link.stop(job)
                self._refused(job, expired(job))
            else:
                self._placed(job)
        elif stage is SUBMITTING:
            job.link.write(job)

    def withdraw(self, job: Job) -> None:
        """Its caller left while a link held it."""
        job.link.withdraw(job)

    def _limit(self, job: Job, link: SubmitLink, retry_after_ms: int) -> Answer:
        """Come back then; while the SMSC throttles, counted from the end of the link's pause."""
        error = "the link's rate or window is used up"
        retry_after_ms = max(1, retry_after_ms) + ceil(link.pause_left_s * 1000)
        return refusal(job, Status.RATE_LIMITED, error, retry_after_ms=retry_after_ms)

    def _unavailable(self, job: Job) -> Answer:
        return refusal(job, Status.UNAVAILABLE, "no bound link")
