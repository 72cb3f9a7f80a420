"""The contact-policy stage: asks for verdicts in batches, gives back what did not go out (spec §5).

Asking and giving back share one coalescer, so the engine never sees both for one message_id at a time. What
could not be given back is kept under its message_id and tried again, unless the same message is asked for
anew meanwhile: then its old reservation is the one it is sent under, and giving that back would leave a sent
message uncounted. The same is done with what an engine out of this process may have counted without a word.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable, Iterable
from itertools import islice

from smsproxy.aio.backlog import RETRY_S
from smsproxy.aio.coalescer import Coalescer
from smsproxy.domain.outcome import Answer, Status
from smsproxy.obs.log import Log
from smsproxy.pipeline.attempts import Attempts
from smsproxy.pipeline.ends import refusal
from smsproxy.pipeline.job import Job
from smsproxy.policy.base import PolicyEngine, PolicyRequest, PolicyUnavailableError, Verdict

LATE_MAX = 100_000
"""Reservations that wait for the engine to come back; then the oldest stays counted."""
_UNAVAILABLE = "the contact policy is not available"
_OK = Verdict.OK


class ContactStage:
    """One coalescer around one engine. Counters are read at scrape time."""

    def __init__(
        self,
        engine: PolicyEngine,
        log: Log,
        *,
        passed: Callable[[Job], None],
        refused: Callable[[Job, Answer], None],
        released: Callable[[Job], None],
    ) -> None:
        self._engine = engine
        self._passed = passed
        self._refused = refused
        self._released = released
        self._reserves = Attempts(log, "policy_reserve")
        self._releases = Attempts(log, "policy_release")
        # Bounded by max_in_flight: a job is in here at most once.
        self._turns: Coalescer[Job | None] = Coalescer(
            self._turn, max_batch=engine.max_batch, max_waiting=sys.maxsize
        )
        self._late: dict[bytes, PolicyRequest] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.delayed = 0
        self.lost = 0

    @property
    def idle(self) -> bool:
        return self._turns.idle

    @property
    def late(self) -> int:
        """Reservations that could not be given back yet. A drain does not wait long for them."""
        return len(self._late)

    def ask(self, job: Job) -> None:
        """Ends in `passed(job)`, with a reservation, or `refused(job, answer)`, without."""
        self._turns.add(job)

    def give_back(self, job: Job) -> None:
        """Undo its reservation; `released(job)` follows, at the latest once the engine has failed to."""
        self._turns.add(job)

    def hand_back(self, requests: Iterable[PolicyRequest]) -> None:
        """Give back what these hold, if anything, as soon as can be. Nobody waits for it."""
        for request in requests:
            self._keep(request)
            self.delayed += 1
        if self._late and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RETRY_S, self._late_are_due)

    async def _turn(self, batch: list[Job | None]) -> None:
        """One batch: jobs with a reservation give it back, the others ask. None: the late ones are due."""
        jobs = [job for job in batch if job is not None]
        asking = [job for job in jobs if job.reservation is None]
        giving = [job for job in jobs if job.reservation is not None]
        late = self._late_but(asking) if len(jobs) < len(batch) else []
        released = False
        if asking and (giving or late):
            released, _ = await asyncio.gather(self._release(giving, late), self._reserve(asking))
        elif asking:
            await self._reserve(asking)
        elif giving or late:
            released = await self._release(giving, late)
        if self._late and self._timer is None:
            delay_s = 0.0 if late and released else RETRY_S
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._late_are_due)

    def _late_but(self, asking: list[Job]) -> list[PolicyRequest]:
        """The next of the late ones to give back; not those that are just being asked for again."""
        wanted = {job.message_id for job in asking}
        late = (one for message_id, one in self._late.items() if message_id not in wanted)
        return list(islice(late, self._engine.max_batch))

    async def _reserve(self, jobs: list[Job]) -> None:
        requests = [self._request(job) for job in jobs]  # and nothing between: no reload, by other rules
        verdicts = await self._reserves.result(self._engine.reserve(requests))
        if verdicts is None:
            verdicts = [Verdict.UNAVAILABLE] * len(jobs)
        late, passed = self._late, self._passed
        for job, request, verdict in zip(jobs, requests, verdicts, strict=True):
            if verdict is _OK:
                if late:
                    late.pop(request.message_id, None)
                job.reservation = request
                passed(job)
            elif verdict is Verdict.UNAVAILABLE:
                self._refused(job, refusal(job, Status.UNAVAILABLE, _UNAVAILABLE))
            else:
                error = f"refused by the contact policy: {verdict.value}"
                self._refused(job, refusal(job, Status(verdict.value), error))
        self.hand_back(self._engine.take_doubtful())

    async def _release(self, jobs: list[Job], late: list[PolicyRequest]) -> bool:
        """Whether the engine has given any of them back. What it has not is kept for later, behind what waits
        already: one that an engine will never take back must not stand before the others."""
        fresh = [job.reservation for job in jobs if job.reservation is not None]
        asked = [*late, *fresh]
        left = await self._not_given_back(asked)
        for request in late:
            self._late.pop(request.message_id, None)
        for request in asked:
            if request.message_id in left:
                self._keep(request)
        self.delayed += len(left.intersection(one.message_id for one in fresh))
        for job in jobs:
            job.reservation = None
            self._released(job)
        return len(left) < len(asked)

    async def _not_given_back(self, asked: list[PolicyRequest]) -> set[bytes]:
        """The message_ids that are still to be given back."""
        left = {request.message_id for request in asked}

        async def release() -> None:
            try:
                await self._engine.release(asked)
            except PolicyUnavailableError as error:
                left.difference_update(error.given_back)
                raise
            left.clear()

        await self._releases.done(release())
        return left

    def _keep(self, request: PolicyRequest) -> None:
        self._late[request.message_id] = request
        if len(self._late) > LATE_MAX:
            del self._late[next(iter(self._late))]
            self.lost += 1

    def _late_are_due(self) -> None:
        self._timer = None
        self._turns.add(None)

    def _request(self, job: Job) -> PolicyRequest:
        message = job.message
        strategy = message.strategy
        reads_text = self._engine.reads_text(strategy)
        return PolicyRequest(
            job.message_id,
            strategy,
            message.app_id,
            message.daddr,
            message.saddr,
            hashlib.sha256(message.text.encode()).digest() if reads_text else b"",
            message.task_id,
        )
