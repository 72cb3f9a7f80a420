"""The pipeline: one method per stage, in the order of spec §2.1, and what each end leads to.

    submit ─> admit ─> [repeat?] ─> [contact policy] ─> route ─> (slot) ─> record ─> write ─> result ─> answer

Stages are plain functions of one job; where I/O is needed the job goes into a coalescer and comes out in a
batch. Everything runs in the loop's thread, so what a function changes is never seen half done.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from smsproxy.domain.caller import Caller
from smsproxy.domain.ids import derived_id, id_text, time_ordered_id
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, Status
from smsproxy.limits.base import Admission, ms_from_ns
from smsproxy.links.base import Answered, Delivery, Offer, Submission
from smsproxy.obs.log import Log
from smsproxy.pipeline import ends, fields
from smsproxy.pipeline.base import Routes, SubmitLink
from smsproxy.pipeline.contact import ContactStage
from smsproxy.pipeline.job import Job, Stage
from smsproxy.pipeline.ports import Lane
from smsproxy.pipeline.receiver import Receiver
from smsproxy.pipeline.recorder import Recorder
from smsproxy.pipeline.repeats import RepeatStage
from smsproxy.policy.base import PolicyEngine
from smsproxy.stores.base import Store
from smsproxy.text.errors import TextError
from smsproxy.text.segmentation import segment

_NANO = 1_000_000_000
_RANDOM_POOL = 4096
_BUSY_RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Bounds of the pipeline (spec §3)."""

    max_in_flight: int = 50_000
    """Messages between submit and answer, over all callers; beyond it `rate_limited`."""
    max_wait_ms: int = 1000
    """Unary calls: the longest wait for a link's token or slot."""


class Pipeline:
    """See the module. Built by app.py out of the parts it is given."""

    def __init__(
        self,
        options: PipelineOptions,
        store: Store,
        routes: Routes,
        limits: Admission,
        policy: PolicyEngine,
        log: Log,
    ) -> None:
        self._options = options
        self._routes = routes
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._recorder = Recorder(store, log, self)
        self._receiver = Receiver(store, log)
        self._contact = ContactStage(
            policy, log, passed=self._route, refused=self._refuse, released=self._reply
        )
        self._repeats = RepeatStage(
            store, log, fresh=self._screen, known=self._finish, wait_s=self._response_timeout_s
        )
        self._random = b""
        self.draining = False
        self.in_flight = 0
        self.ended_by_status: dict[str, int] = {status.value: 0 for status in Status}
        self.submitted = 0

    def __repr__(self) -> str:
        return f"<Pipeline in_flight={self.in_flight} draining={self.draining}>"

    @property
    def idle(self) -> bool:
        """Nothing on its way, nothing left to store."""
        parts = (self._recorder, self._receiver, self._contact, self._repeats)
        return not self.in_flight and all(part.idle for part in parts)

    @property
    def results_delayed(self) -> int:
        return self._recorder.results_delayed

    @property
    def receipts_sent_back(self) -> int:
        return self._receiver.sent_back

    # -- stage 1: admission ---------------------------------------------------------------------------------

    def submit(
        self,
        message: Message,
        caller: Caller,
        lane: Lane,
        reply: Callable[[int, Answer], None],
        tag: int = 0,
        deadline: float | None = None,
    ) -> Job:
        """See ports.Gateway.submit."""
        job = Job(message, caller, lane, reply, tag, deadline, self._cancelled)
        self.submitted += 1
        self.in_flight += 1
        refused = self._admit(job)
        if refused is not None:
            self._finish(job, refused)
        elif job.repeatable:
            self._repeats.ask(job)
        else:
            self._screen(job)
        return job

    def _admit(self, job: Job) -> Answer | None:
        """Token, app_id, fields, route, permission, limits: in this order (spec §2.1)."""
        message, caller = job.message, job.caller
        self._identify(job)
        if caller.expires_at < time.time():
            return ends.refusal(job, Status.UNAUTHENTICATED, "authentication failed")
        if message.app_id != caller.app_id and message.app_id:
            return ends.refusal(job, Status.FORBIDDEN, "app_id: not the caller's")
        error = fields.fault(message) or self._text_fault(job)
        if error:
            return ends.refusal(job, Status.INVALID, error)
        if not self._routes.knows(message.route_id):
            return ends.refusal(job, Status.NO_ROUTE, f"esme: no link or pool {message.route_id}")
        if not caller.may_use(message.route_id):
            return ends.refusal(job, Status.FORBIDDEN, f"esme: {message.route_id} is not allowed to the app")
        if not caller.may_send_as(message.saddr):
            return ends.refusal(job, Status.FORBIDDEN, "saddr: not allowed to the app")
        return self._overload(job)

    def _overload(self, job: Job) -> Answer | None:
        if self.draining:
            return ends.refusal(job, Status.UNAVAILABLE, "draining")
        now = self._loop.time()
        if job.deadline is not None and job.deadline <= now:
            return ends.refusal(job, Status.EXPIRED, "the deadline passed before the submission")
        if self.in_flight > self._options.max_in_flight:
            error = "too many messages in flight"
            return ends.refusal(job, Status.RATE_LIMITED, error, retry_after_ms=_BUSY_RETRY_MS)
        wait_ns = self._limits.admit(job.message.app_id, int(now * _NANO))
        if wait_ns:
            return ends.refusal(
                job,
                Status.RATE_LIMITED,
                "rate limit of the app or process",
                retry_after_ms=ms_from_ns(wait_ns),
            )
        return None

    def _identify(self, job: Job) -> None:
        message = job.message
        if message.transaction_id:
            job.repeatable = True
            return
        if len(self._random) < 10:
            self._random = os.urandom(_RANDOM_POOL)
        entropy, self._random = self._random[:10], self._random[10:]
        job.message_id = time_ordered_id(int(time.time() * 1000), entropy)
        message.transaction_id = id_text(job.message_id)

    def _text_fault(self, job: Job) -> str:
        """Segment by the rules of the route; the segments of a link are final, a pool's are chosen later."""
        message = job.message
        if message.strategy and not self._contact.engine.knows(message.strategy):
            return f"strategy: {message.strategy[:32]!r} is not configured"
        try:
            for options in self._routes.text_options(message.route_id):
                job.text = segment(message.text, options)
        except TextError as error:
            return f"message: {error}"
        if job.repeatable:
            job.message_id = derived_id(message.app_id, message.transaction_id, message.daddr, message.text)
        return ""

    # -- stage 2: contact policy ----------------------------------------------------------------------------

    def _screen(self, job: Job) -> None:
        if job.stage is Stage.ENDED:
            self._repeats.release(job, None)
        elif job.message.strategy:
            self._contact.ask(job)
        else:
            self._route(job)

    # -- stage 3: route and the link's limit ----------------------------------------------------------------

    def _route(self, job: Job) -> None:
        if job.stage is Stage.ENDED:  # its caller left while the policy was asked
            self._forget(job)
            return
        message = job.message
        link = self._routes.pick(message.route_id)
        if link is None:
            self._finish(job, ends.refusal(job, Status.UNAVAILABLE, "no bound link"))
            return
        if job.lane is Lane.UNARY:
            wait_ms = link.expected_wait_s(job.fair_key) * 1000
            if wait_ms > self._options.max_wait_ms:
                self._limited(job, int(wait_ms) + 1)
                return
        self._offer(job, link)

    def _offer(self, job: Job, link: SubmitLink) -> None:
        job.link = link
        job.stage = Stage.WAITING
        job.source = fields.source(job.message)
        job.destination = fields.destination(job.message)
        if len(self._routes.text_options(job.message.route_id)) > 1:
            job.text = segment(job.message.text, link.text_options)
        match link.offer(job):
            case Offer.WAITING if job.lane is Lane.UNARY:
                delay_s = self._options.max_wait_ms / 1000
                job.timer = self._loop.call_later(delay_s, self._waited_too_long, job)
            case Offer.FULL:
                self._limited(job, _BUSY_RETRY_MS)
            case Offer.UNBOUND:
                self._finish(job, ends.refusal(job, Status.UNAVAILABLE, "no bound link"))
            case _:
                pass

    def _waited_too_long(self, job: Job) -> None:
        if job.link is not None and job.link.withdraw(job):
            self._limited(job, self._options.max_wait_ms)

    def _limited(self, job: Job, retry_after_ms: int) -> None:
        error = "the link's rate or window is used up"
        self._finish(job, ends.refusal(job, Status.RATE_LIMITED, error, retry_after_ms=retry_after_ms))

    # -- links.base.LinkEvents ------------------------------------------------------------------------------

    def granted(self, link_id: int, submission: Submission) -> None:
        job = cast(Job, submission)
        if job.stage is Stage.SUBMITTING and job.link is not None:
            job.link.write(job)
        elif job.stage is Stage.WAITING:
            job.stop_timer()
            if job.deadline is not None and job.deadline <= self._loop.time() and job.link is not None:
                job.link.stop(job)
                self._finish(
                    job, ends.refusal(job, Status.EXPIRED, "the deadline passed before the submission")
                )
            else:
                self._recorder.record(job)

    def answered(self, answers: list[Answered]) -> None:
        for submission, segment_no, outcome in answers:
            self._recorder.answered(cast(Job, submission), segment_no, outcome)

    def answered_late(self, answers: list[Answered]) -> None:
        for submission, segment_no, outcome in answers:
            self._recorder.late(cast(Job, submission), segment_no, outcome)

    def received(self, deliveries: list[Delivery]) -> None:
        self._receiver.received(deliveries)

    def abandoned(self, submission: Submission) -> None:
        """Its link went down while it waited. A pool may have another way; nothing was sent yet."""
        job = cast(Job, submission)
        if job.stage is Stage.WAITING and not job.slots:
            job.stop_timer()
            self._route(job)

    # -- recorder.Ends --------------------------------------------------------------------------------------

    def ended(self, job: Job) -> None:
        self._finish(job, ends.answer_of(job))

    def not_recorded(self, job: Job, reason: str) -> None:
        self._finish(job, ends.refusal(job, Status.UNAVAILABLE, reason))

    def exists(self, job: Job) -> None:
        """Another instance has this request: ask its record for the end."""
        if not job.repeatable:  # 74 random bits met twice: not in this universe, but not a hang either
            self.not_recorded(job, "message_id collision")
            return
        job.stage = Stage.CHECKING
        job.reset_submission()
        self._repeats.ask(job)

    def withdrawn(self, job: Job) -> None:
        """Provably not sent: another member of the pool may take it."""
        job.stage = Stage.CHECKING
        job.reset_submission()
        job.intent = None
        job.replaces = 0
        self._route(job)

    # -- the end --------------------------------------------------------------------------------------------

    def _refuse(self, job: Job, status: Status, error: str) -> None:
        self._finish(job, ends.refusal(job, status, error))

    def _finish(self, job: Job, answer: Answer) -> None:
        """The one end of a job: give back what the policy counted for nothing, then answer."""
        if job.stage is Stage.ENDED:
            self._forget(job)
            return
        job.stage = Stage.ENDED
        job.stop_timer()
        if job.reserved and answer.status not in (Status.SUBMITTED, Status.UNKNOWN):
            self._contact.give_back(job, answer)
        else:
            self._reply(job, answer)

    def _reply(self, job: Job, answer: Answer) -> None:
        self.in_flight -= 1
        self.ended_by_status[answer.status.value] += 1
        if job.repeatable:
            self._repeats.release(job, answer)
        job.reply(job.tag, answer)

    def _cancelled(self, job: Job) -> None:
        """Ticket.cancel: the caller left before anything was sent."""
        if job.stage is Stage.ENDED:
            return
        waiting = job.stage is Stage.WAITING
        job.stage = Stage.ENDED
        job.stop_timer()
        self.in_flight -= 1
        if waiting and job.link is not None:
            job.link.withdraw(job)
            self._forget(job)
        else:  # a look-up or the policy still holds it, and will notice; or it waits behind another
            self._repeats.leave(job)

    def _forget(self, job: Job) -> None:
        """A withdrawn job has come out of the stage that held it."""
        if job.reserved:
            self._contact.give_back(job, None)
        if job.repeatable:
            self._repeats.release(job, None)

    def _response_timeout_s(self, route_id: int) -> float:
        return max((link.settings.response_timeout_s for link in self._routes.members(route_id)), default=0.0)
