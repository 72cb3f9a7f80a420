"""The repeat stage: a request sent again finds the first one, and is not submitted again (spec §2.3).

In this process a repeat waits for the one in flight; beyond it (an earlier life, another instance) the
store's record answers. The rules are in `repeat.py`; here is only who waits for whom.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace

from smsproxy.aio.coalescer import Coalescer
from smsproxy.domain.outcome import Answer, Status
from smsproxy.obs.log import Log
from smsproxy.pipeline import repeat
from smsproxy.pipeline.attempts import Attempts
from smsproxy.pipeline.ends import refusal
from smsproxy.pipeline.job import CHECKING, FOLLOWING, SUBMITTING, Job
from smsproxy.stores.base import Store

GRACE_S = 5.0
"""A repeat waits for the one in flight at most the response timeout and this (spec §2.3)."""
_TAKEOVERS_MAX = 3
"""A message_id that is taken whenever we store it, and gone whenever we look, is somebody else's fight."""


class RepeatStage:
    """Leaders by message id, followers behind them, look-ups in batches. Counters are read at scrape time.

    Between two calls this stays true: a repeatable job on its way is a leader, or follows one.
    """

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
        self._fresh = fresh
        self._known = known
        self._wait_s = wait_s
        self._finds = Attempts(log, "store_find")
        self._leaders: dict[bytes, Job] = {}
        # Bounded by max_in_flight: a job is in here at most once.
        self._lookups: Coalescer[Job] = Coalescer(self._look_up, max_waiting=sys.maxsize)
        self.followed = 0
        self.timed_out = 0

    @property
    def idle(self) -> bool:
        return self._lookups.idle and not self._leaders

    def __len__(self) -> int:
        return len(self._leaders)

    def ask(self, job: Job) -> None:
        """Is this the same request again? Ends in `fresh(job)` or `known(job, answer)`."""
        leader = self._leaders.setdefault(job.message_id, job)
        if leader is job:
            job.stage = CHECKING
            job.stop_timer()
            self._lookups.add(job)
        else:
            self._follow(leader, job)

    def ask_again(self, job: Job) -> None:
        """Its message_id was taken while it was being stored: by another instance, so its record answers."""
        job.takeovers += 1
        if job.takeovers > _TAKEOVERS_MAX:
            self._known(job, refusal(job, Status.UNAVAILABLE, "others send the same request"))
        else:
            self.ask(job)

    def release(self, job: Job, answer: Answer | None) -> None:
        """`job` ended with `answer` (None: withdrawn). Those behind it get the same end, or one new try.

        What was sent, or may have been, is the end of all of them. Of those behind a message that was not,
        the first tries anew for the rest (spec §2.3); when that is not sent either, they all hear so: a storm
        of repeats costs two submits, whatever its size.
        """
        if self._leaders.get(job.message_id) is not job:
            return
        del self._leaders[job.message_id]
        followers, job.followers = job.followers, None
        if not followers:
            return
        if answer is not None and (job.tries_anew or repeat.counts_as_sent(answer)):
            sent = repeat.counts_as_sent(answer)
            for follower in followers:
                self._known(follower, replace(answer, task_id=follower.message.task_id, repeated=sent))
            return
        successor = next(iter(followers))
        del followers[successor]
        successor.followers = followers or None
        successor.tries_anew = answer is not None
        self.ask(successor)

    def leave(self, job: Job) -> None:
        """A follower does not wait any longer."""
        leader = self._leaders[job.message_id]
        if leader.followers is not None:
            leader.followers.pop(job, None)

    def _follow(self, leader: Job, job: Job) -> None:
        if leader.followers is None:
            leader.followers = {}
        leader.followers[job] = None
        job.stage = FOLLOWING
        if job.timer is None:  # else it followed another one before: one wait for all of them
            self.followed += 1
            loop = asyncio.get_running_loop()
            give_up_at = loop.time() + self._wait_s(job.message.route_id) + GRACE_S
            if job.deadline is not None:
                give_up_at = min(give_up_at, job.deadline)
            job.timer = loop.call_at(give_up_at, self._waited_too_long, job)

    def _waited_too_long(self, job: Job) -> None:
        """Not `expired`, even by its deadline: the first send may reach the handset yet."""
        self.timed_out += 1
        leader = self._leaders.get(job.message_id)
        self.leave(job)
        answer = refusal(job, Status.UNKNOWN, "the first send of this request is still in flight")
        if leader is not None and leader.stage is SUBMITTING:  # it has a record
            answer.message_id = job.shown_id
        answer.repeated = True
        self._known(job, answer)

    async def _look_up(self, jobs: list[Job]) -> None:
        records = await self._finds.result(self._store.find([job.message_id for job in jobs]))
        if records is None:
            for job in jobs:
                self._known(job, refusal(job, Status.UNAVAILABLE, "the record store is not available"))
            return
        for job, record in zip(jobs, records, strict=True):
            if record is not None and not repeat.may_try_anew(record):
                self._known(job, repeat.recorded_answer(record, job.message))
            else:
                job.replaces = 0 if record is None else record.generation
                self._fresh(job)
