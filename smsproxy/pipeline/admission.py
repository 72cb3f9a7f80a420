"""The first stage: may this message come in? Token, app_id, fields, route, permission, limits (spec §2.1).

All of it is decided at once, without I/O. What it finds out for the stages behind it (ids, the text in
segments) it leaves in the job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from smsproxy.domain.ids import derived_id
from smsproxy.domain.outcome import Answer, Status
from smsproxy.limits.base import ASK, NS_PER_S, UNAVAILABLE, Admission, ms_from_ns
from smsproxy.pipeline import fields
from smsproxy.pipeline.base import Routes
from smsproxy.pipeline.ends import expired, refusal
from smsproxy.pipeline.ids import MessageIds
from smsproxy.pipeline.job import Job
from smsproxy.text.errors import TextError
from smsproxy.text.segmentation import segment

BUSY_RETRY_MS = 1000
"""What a caller is told who meets a full pipeline or waiting room: nobody knows, a second is polite."""
PARKED = Answer(Status.INTERNAL)
"""Not an answer: the limits must be asked for, `LimitStage` has the job from here. Compared by identity."""
_STRATEGY_SHOWN = 32


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Bounds of the pipeline (spec §3)."""

    max_in_flight: int = 50_000
    """Messages between submit and answer, over all callers; beyond it `rate_limited`."""
    max_wait_ms: int = 1000
    """Unary calls: the longest wait for a link's token or slot."""


class AdmissionStage:
    """Asked once per message, in the caller's own turn."""

    def __init__(
        self,
        options: PipelineOptions,
        routes: Routes,
        limits: Admission,
        knows_strategy: Callable[[str], bool],
    ) -> None:
        self._max_in_flight = options.max_in_flight
        self._routes = routes
        self._limits = limits
        self._knows_strategy = knows_strategy
        self._loop = asyncio.get_running_loop()
        self._ids = MessageIds()

    def refusal(self, job: Job, *, in_flight: int, draining: bool) -> Answer | None:
        """Why the message may not come in, or None; then it has its ids and its text. Or PARKED."""
        now = time.time()
        message, caller = job.message, job.caller
        if message.transaction_id:
            job.repeatable = True
        else:
            job.message_id, message.transaction_id = self._ids.draw(now)
        if caller.expires_at <= now:
            return refusal(job, Status.UNAUTHENTICATED, "authentication failed")
        if message.app_id != caller.app_id and message.app_id:
            return refusal(job, Status.FORBIDDEN, "app_id: not the caller's")
        refused = self._bad_field(job)
        if refused is None and (caller.esmes or caller.senders):
            refused = self._forbidden(job)
        return refused or self._overload(job, in_flight, draining)

    def _bad_field(self, job: Job) -> Answer | None:
        """Fields, then the route, by whose links the text is judged."""
        message = job.message
        error = fields.fault(message)
        if error:
            return refusal(job, Status.INVALID, error)
        if message.strategy and not self._knows_strategy(message.strategy):
            error = f"strategy: {message.strategy[:_STRATEGY_SHOWN]!r} is not configured"
            return refusal(job, Status.INVALID, error)
        by_link = self._routes.text_options(message.route_id)
        if not by_link and not self._routes.knows(message.route_id):
            return refusal(job, Status.NO_ROUTE, f"esme: no link or pool {message.route_id}")
        try:
            # By every link that may get the message, so that none of them can refuse it. What is kept suits
            # the last; routing makes it anew where it picks a link with other settings.
            for options in by_link:
                job.text, job.text_options = segment(message.text, options), options
        except TextError as text_error:
            return refusal(job, Status.INVALID, f"message: {text_error}")
        if job.repeatable:
            job.message_id = derived_id(message.app_id, message.transaction_id, message.daddr, message.text)
        return None

    def _forbidden(self, job: Job) -> Answer | None:
        message, caller = job.message, job.caller
        if not caller.may_use(message.route_id):
            return refusal(job, Status.FORBIDDEN, f"esme: {message.route_id} is not allowed to the app")
        if not caller.may_send_as(message.saddr):
            return refusal(job, Status.FORBIDDEN, "saddr: not allowed to the app")
        return None

    def _overload(self, job: Job, in_flight: int, draining: bool) -> Answer | None:
        if draining:
            return refusal(job, Status.UNAVAILABLE, "draining")
        now = self._loop.time()
        if job.deadline is not None and job.overdue(now):
            return expired(job)
        if in_flight > self._max_in_flight:
            error = "too many messages in flight"
            return refusal(job, Status.RATE_LIMITED, error, retry_after_ms=BUSY_RETRY_MS)
        wait_ns = self._limits.admit(job.message.app_id, int(now * NS_PER_S))
        return self._limited(job, wait_ns) if wait_ns else None

    def again(self, job: Job) -> Answer | None:
        """For a job that waited for its limits: as `refusal`."""
        now = self._loop.time()
        if job.overdue(now):
            return expired(job)
        wait_ns = self._limits.admit(job.message.app_id, int(now * NS_PER_S))
        return self._limited(job, wait_ns) if wait_ns else None

    def _limited(self, job: Job, wait_ns: int) -> Answer:
        if wait_ns == ASK:
            return PARKED
        if wait_ns == UNAVAILABLE:
            return refusal(job, Status.UNAVAILABLE, "the shared limits are not available")
        error = "rate limit of the app or process"
        return refusal(job, Status.RATE_LIMITED, error, retry_after_ms=ms_from_ns(wait_ns))
