"""The contact-policy stage: asks for verdicts in batches, gives back what did not go out (spec §5)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from smsproxy.aio.coalescer import Coalescer
from smsproxy.domain.outcome import Answer, Status
from smsproxy.obs.log import Log
from smsproxy.pipeline.job import Job
from smsproxy.policy.base import PolicyEngine, PolicyRequest, PolicyUnavailableError, Verdict

GIVE_BACK_S = 1.0
"""A count is given back before the answer where the engine is reachable, within this otherwise."""
_RETRY_S = 0.25
_GIVE_UP_S = 60.0


class ContactStage:
    """Two coalescers around one engine: reservations in, releases out."""

    def __init__(
        self,
        engine: PolicyEngine,
        log: Log,
        *,
        passed: Callable[[Job], None],
        refused: Callable[[Job, Status, str], None],
        released: Callable[[Job, Answer], None],
    ) -> None:
        self.engine = engine
        self._log = log
        self._passed = passed
        self._refused = refused
        self._released = released
        self._reservations: Coalescer[Job] = Coalescer(self._reserve)
        self._releases: Coalescer[tuple[Job, Answer | None]] = Coalescer(self._release)
        self._late: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        return self._reservations.idle and self._releases.idle and not self._late

    def ask(self, job: Job) -> None:
        self._reservations.add(job)

    def give_back(self, job: Job, answer: Answer | None) -> None:
        """Undo the reservation, then hand `answer` on (None: nobody waits for one)."""
        job.reserved = False
        self._releases.add((job, answer))

    async def _reserve(self, jobs: list[Job]) -> None:
        verdicts = await self.engine.reserve([_request(job) for job in jobs])
        for job, verdict in zip(jobs, verdicts, strict=True):
            if verdict is Verdict.OK:
                job.reserved = True
                self._passed(job)
            elif verdict is Verdict.UNAVAILABLE:
                self._refused(job, Status.UNAVAILABLE, "the contact policy is not available")
            else:
                self._refused(job, Status(verdict.value), f"refused by the contact policy: {verdict.value}")

    async def _release(self, batch: list[tuple[Job, Answer | None]]) -> None:
        requests = [_request(job) for job, _ in batch]
        try:
            await self.engine.release(requests)
        except PolicyUnavailableError as error:
            self._log.warning("policy_release_delayed", count=len(batch), reason=str(error))
            self._late.add(task := asyncio.create_task(self._release_until_done(requests)))
            task.add_done_callback(self._late.discard)
        for job, answer in batch:
            if answer is not None:
                self._released(job, answer)

    async def _release_until_done(self, requests: list[PolicyRequest]) -> None:
        give_up_at = asyncio.get_running_loop().time() + _GIVE_UP_S
        while asyncio.get_running_loop().time() < give_up_at:
            await asyncio.sleep(_RETRY_S)
            try:
                await self.engine.release(requests)
            except PolicyUnavailableError:
                continue
            return
        self._log.error("policy_release_lost", count=len(requests))


def _request(job: Job) -> PolicyRequest:
    message = job.message
    return PolicyRequest(
        job.message_id,
        message.strategy,
        message.app_id,
        message.daddr,
        message.saddr,
        hashlib.sha256(message.text.encode()).digest(),
        message.task_id,
    )
