"""The pipeline: its stages in the order of spec §2.1, and what each end leads to.

    submit ─> admission ─> [limits] ─> [repeat?] ─> [policy]
           ─> route ─> (slot) ─> intent ─> write ─> result ─> answer

Stages are plain functions of one job; where I/O is needed the job goes into a coalescer and comes out in a
batch. Everything runs in the loop's thread, so what a function changes is never seen half done. Called by
the doors (through `gateway.Core`) and by the links (as their `LinkEvents`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from smsproxy.domain.caller import Caller
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Answer, SegmentOutcome, Status
from smsproxy.limits.base import Admission
from smsproxy.links.base import Answered, Delivery, Inbound, Submission
from smsproxy.obs.log import Log
from smsproxy.pipeline.admission import PARKED, AdmissionStage, PipelineOptions
from smsproxy.pipeline.base import Routes
from smsproxy.pipeline.contact import ContactStage
from smsproxy.pipeline.ends import answer_of, keeps_reservation, refusal
from smsproxy.pipeline.inbound import Inbox, LogSink
from smsproxy.pipeline.job import CHECKING, ENDED, FOLLOWING, SUBMITTING, WAITING, WITHDRAWN, Job
from smsproxy.pipeline.limiting import LimitStage
from smsproxy.pipeline.lookups import LookUps
from smsproxy.pipeline.ports import InboundSink, Lane
from smsproxy.pipeline.receiver import Receiver
from smsproxy.pipeline.recorder import Recorder
from smsproxy.pipeline.repeats import RepeatStage
from smsproxy.pipeline.routing import RouteStage
from smsproxy.pipeline.screening import Screening
from smsproxy.policy.base import PolicyEngine
from smsproxy.stores.base import Store

__all__ = ["Pipeline", "PipelineOptions"]

_JobAnswers = list[tuple[Job, int, SegmentOutcome]]
"""What `Answered` is here: every submission that a link knows is a job of ours."""


class Pipeline:
    """See the module. Built by app.py out of the parts it is given. Counters are read at scrape time."""

    def __init__(
        self,
        options: PipelineOptions,
        store: Store,
        routes: Routes,
        limits: Admission,
        policy: PolicyEngine,
        log: Log,
        sink: InboundSink | None = None,
    ) -> None:
        """`sink`: where messages from handsets go; None: into the log, without their texts."""
        self._routes = routes
        self._max_in_flight = options.max_in_flight
        self._admission = AdmissionStage(options, routes, limits, policy.knows)
        self._limits = LimitStage(
            limits, again=self._admission.again, passed=self._admitted, refused=self._finish
        )
        self._repeats = RepeatStage(
            store, log, fresh=self._screen, known=self._finish, wait_s=self._response_timeout_s
        )
        self._contact = ContactStage(
            policy, log, passed=self._route, refused=self._finish, released=self._released
        )
        self.lookups = LookUps(store)
        self.screening = Screening(policy, self._contact.hand_back)
        self._recorder = Recorder(store, log, self)
        self._routing = RouteStage(
            routes, options.max_wait_ms, placed=self._recorder.record, refused=self._finish
        )
        self._receiver = Receiver(store, log)
        self._inbox = Inbox(sink or LogSink(log), log)
        self.draining = False
        self.submitted = 0
        self.withdrawn_total = 0
        self.in_flight = 0
        """Jobs that some part still holds, withdrawn ones included: what bounds every queue in here."""
        self.ended_by_status: dict[Status, int] = dict.fromkeys(Status, 0)

    def __repr__(self) -> str:
        return f"<Pipeline in_flight={self.in_flight} draining={self.draining}>"

    @property
    def idle(self) -> bool:
        """Nothing on its way, nothing left to store."""
        parts = (self._recorder, self._receiver, self._inbox, self._contact, self._repeats)
        return not self.in_flight and all(part.idle for part in parts)

    @property
    def late_releases(self) -> int:
        """Counts of the contact policy that are still to be given back, its engine being away."""
        return self._contact.late

    @property
    def counters(self) -> Mapping[str, int]:
        """What became rare: waits that were bounded, and work that had to be done later or was given up."""
        results, withdrawals = self._recorder.delayed_results, self._recorder.delayed_withdrawals
        return {
            "withdrawn": self.withdrawn_total,
            "limits_awaited": self._limits.parked,
            "repeats_followed": self._repeats.followed,
            "repeats_timed_out": self._repeats.timed_out,
            "results_delayed": results.taken,
            "results_lost": results.lost,
            "withdrawals_delayed": withdrawals.taken,
            "withdrawals_lost": withdrawals.lost,
            "policy_releases_delayed": self._contact.delayed,
            "policy_releases_lost": self._contact.lost,
            "screened_numbers": self.screening.numbers,
            "screenings_refused": self.screening.refused,
            "lookups_refused": self.lookups.refused,
            "receipts_sent_back": self._receiver.sent_back,
            **self._inbox.counters,
        }

    @property
    def stream_room(self) -> int:
        """See ports.Gateway.stream_room: a tenth of the places is for unary calls alone."""
        return self._max_in_flight - self._max_in_flight // 10 - self.in_flight

    def reload(self, options: PipelineOptions) -> None:
        """SIGHUP. What is in flight goes on by the bounds it began with."""
        self._routing.reload(options.max_wait_ms)

    # -- the way in -----------------------------------------------------------------------------------------

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
        refused = self._admission.refusal(job, in_flight=self.in_flight, draining=self.draining)
        if refused is not None:
            if refused is PARKED:
                self._limits.park(job)
            else:
                self._finish(job, refused)
        elif job.repeatable:
            self._repeats.ask(job)
        else:
            self._screen(job)
        return job

    def _admitted(self, job: Job) -> None:
        """It waited for its limits, and was granted."""
        if job.stage is not WITHDRAWN and job.repeatable:
            self._repeats.ask(job)
        else:
            self._screen(job)

    def _screen(self, job: Job) -> None:
        """No repeat: ask the contact policy."""
        if job.stage is WITHDRAWN:
            self._let_go(job)
        elif job.message.strategy:
            self._contact.ask(job)
        else:
            self._routing.place(job)

    def _route(self, job: Job) -> None:
        """The contact policy let it pass."""
        if job.stage is WITHDRAWN:
            self._let_go(job)
        else:
            self._routing.place(job)

    # -- links.base.LinkEvents ------------------------------------------------------------------------------

    def granted(self, link_id: int, submission: Submission) -> None:
        assert isinstance(submission, Job)  # what a link knows came from here; `cast` would be a call
        self._routing.granted(submission)

    def answered(self, answers: list[Answered]) -> None:
        self._recorder.answered(cast(_JobAnswers, answers))

    def answered_late(self, answers: list[Answered]) -> None:
        self._recorder.late(cast(_JobAnswers, answers))

    def received(self, deliveries: list[Delivery]) -> None:
        self._receiver.received(deliveries)

    def inbound(self, link_id: int, segments: list[Inbound]) -> None:
        self._inbox.received(link_id, segments)

    def give_out_inbound(self) -> None:
        """The links have stopped: hand what is not whole to the sink as far as it came."""
        self._inbox.give_out()

    def abandoned(self, submission: Submission) -> None:
        """Its link went down while it waited for a place.

        For its first: another member of the pool may have one. For a further one: the rest is cut off. While
        its intent is being stored nothing: what is then written finds the link gone.
        """
        job = cast(Job, submission)
        if job.stage is WAITING:
            self._routing.place(job)
        elif job.stage is SUBMITTING:
            self._recorder.abandoned(job)

    # -- recorder.Ends --------------------------------------------------------------------------------------

    def ended(self, job: Job) -> None:
        answer = answer_of(job)
        if answer.retry_after_ms:  # the SMSC throttles: the link's pause tells when it is worth a try
            answer.retry_after_ms = max(answer.retry_after_ms, int(job.link.pause_left_s * 1000))
        self._finish(job, answer)

    def not_recorded(self, job: Job, reason: str) -> None:
        self._finish(job, job.answer or refusal(job, Status.UNAVAILABLE, reason))

    def exists(self, job: Job) -> None:
        """Another instance has this request: ask its record for the end."""
        if not job.repeatable:  # 74 random bits met twice: not in this universe, but not a hang either
            self.not_recorded(job, "message_id collision")
            return
        job.reservation = None  # from now on it stands for the other's record, which has the same message_id
        job.reset_submission()
        self._repeats.ask_again(job)

    def withdrawn(self, job: Job) -> None:
        """Provably not sent: another member of the pool may take it."""
        if job.answer is not None:
            self._finish(job, job.answer)
            return
        job.stage = CHECKING
        job.reset_submission()
        job.replaces = 0  # the refused record that it took over is gone
        self._routing.place(job)

    # -- the end --------------------------------------------------------------------------------------------

    def _finish(self, job: Job, answer: Answer) -> None:
        """The one end of a job: give back what the policy counted for nothing, then answer."""
        if job.reservation is not None and keeps_reservation(answer.status):
            job.reservation = None
        if job.stage is WITHDRAWN:
            self._let_go(job)
            return
        job.stage = ENDED
        if job.timer is not None:
            job.stop_timer()
        if job.reservation is None:
            self._reply(job, answer)
        else:
            job.answer = answer
            self._contact.give_back(job)

    def _reply(self, job: Job, answer: Answer) -> None:
        self.in_flight -= 1
        self.ended_by_status[answer.status] += 1
        if job.repeatable:
            self._repeats.release(job, answer)
        job.reply(job.tag, answer)

    def _cancelled(self, job: Job) -> None:
        """Ticket.cancel: the caller left before anything was sent."""
        stage, job.stage = job.stage, WITHDRAWN
        job.stop_timer()
        self.withdrawn_total += 1
        if stage is FOLLOWING:
            self._repeats.leave(job)
            self._let_go(job)
        elif stage is WAITING:
            self._routing.withdraw(job)
            self._let_go(job)
        # else the limits, a look-up or the policy holds it, and lets it go when it comes out

    def _let_go(self, job: Job) -> None:
        """No part holds this withdrawn job any more."""
        if job.reservation is not None:
            self._contact.give_back(job)
        else:
            self._left(job)

    def _left(self, job: Job) -> None:
        self.in_flight -= 1
        if job.repeatable:
            self._repeats.release(job, None)

    def _released(self, job: Job) -> None:
        """The policy has given back what it counted for this job, or will."""
        if job.answer is None:
            self._left(job)
        else:
            self._reply(job, job.answer)

    def _response_timeout_s(self, route_id: int) -> float:
        return max((link.settings.response_timeout_s for link in self._routes.members(route_id)), default=0.0)
