"""The repeat stage: a request sent again finds the first one, and is not submitted again (spec §2.3).

In this process a repeat waits for the one in flight; beyond it (an earlier life, another instance) the
store's record answers. The rules are in `repeat.py`; here is only who waits for whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from smsproxy.aio.coalescer import Coalescer
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.ids import id_text
from smsproxy.domain.outcome import Answer, Status
from smsproxy.obs.log import Log
from smsproxy.pipeline import repeat
from smsproxy.pipeline.ends import refusal
from smsproxy.pipeline.job import Job
from smsproxy.stores.base import Store

_GRACE_S = 5.0
"""A repeat waits for the one in flight at most the response timeout and this (spec §2.3)."""


class RepeatStage:
    """Leaders by message id, followers behind them, look-ups in batches."""

    def __init__(
        self,
        store: Store,
        log: Log,
        *,
        fresh: Callable[[Job], None],
        known: Callable[[Job, Answer], None],
        wait_s: Callable[[int], float],
    ) -> None:
        self._store = store
        self._log = log
        self._fresh = fresh
        self._known = known
        self._wait_s = wait_s
        self._leaders: dict[bytes, Job] = {}
        self._lookups: Coalescer[Job] = Coalescer(self._look_up)

    @property
    def idle(self) -> bool:
        return self._lookups.idle

    def __len__(self) -> int:
        return len(self._leaders)

    def ask(self, job: Job) -> None:
        """Is this the same request again? Ends in `fresh(job)` or `known(job, answer)`."""
        leader = self._leaders.get(job.message_id)
        if leader is None:
            self._leaders[job.message_id] = job
            self._lookups.add(job)
        elif leader is not job:
            self._follow(leader, job)
        else:
            self._lookups.add(job)

    def release(self, job: Job, answer: Answer | None) -> None:
        """`job` ended with `answer` (None: withdrawn). Those behind it get the same end, or their own try."""
        if self._leaders.get(job.message_id) is not job:
            return
        del self._leaders[job.message_id]
        followers, job.followers = job.followers or [], None
        for follower in followers:
            follower.stop_timer()
            if answer is not None and repeat.counts_as_sent(answer):
                self._known(follower, replace(answer, task_id=follower.message.task_id, repeated=True))
            else:
                self.ask(follower)

    def leave(self, job: Job) -> None:
        """A follower's caller left."""
        leader = self._leaders.get(job.message_id)
        if leader is not None and leader.followers and job in leader.followers:
            leader.followers.remove(job)

    def _follow(self, leader: Job, job: Job) -> None:
        if leader.followers is None:
            leader.followers = []
        leader.followers.append(job)
        delay_s = self._wait_s(job.message.route_id) + _GRACE_S
        job.timer = asyncio.get_running_loop().call_later(delay_s, self._waited_too_long, job)

    def _waited_too_long(self, job: Job) -> None:
        self.leave(job)
        answer = refusal(job, Status.UNKNOWN, "the first send of this request is still in flight")
        answer.message_id = id_text(job.message_id)
        answer.repeated = True
        self._known(job, answer)

    async def _look_up(self, jobs: list[Job]) -> None:
        try:
            records = await self._store.find([job.message_id for job in jobs])
        except StoreUnavailableError as error:
            self._log.error("lookups_failed", count=len(jobs), reason=str(error))
            for job in jobs:
                self._known(job, refusal(job, Status.UNAVAILABLE, "the record store is not available"))
            return
        for job, record in zip(jobs, records, strict=True):
            if record is None:
                self._fresh(job)
            elif repeat.may_try_anew(record):
                job.replaces = record.generation
                self._fresh(job)
            else:
                self._known(job, repeat.recorded_answer(record, job.message))
