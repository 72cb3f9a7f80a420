"""Intent → write → result, in that order on every path, in batches (spec §6, promises P1-P3).

Nothing is written to an SMSC before its intent is stored; nobody is answered before the result is. The three
coalescers let the store commit everything that came while it was busy in one go.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterable
from typing import Protocol

from smsproxy.aio.backlog import Backlog
from smsproxy.aio.coalescer import Coalescer
from smsproxy.domain.outcome import NotSent, Refused, SegmentOutcome
from smsproxy.obs.log import Log
from smsproxy.pipeline.attempts import Attempts
from smsproxy.pipeline.ends import expired, stored_state
from smsproxy.pipeline.job import RECORDING, SUBMITTING, Job
from smsproxy.stores.base import Intent, ReceiptMode, SegmentResult, Store

_RECEIPT_MODES = {"all": ReceiptMode.ALL, "last": ReceiptMode.LAST, "none": ReceiptMode.NONE}
_STORE_AWAY = "the record store is not available"
_new = tuple.__new__  # half the price of a NamedTuple's own constructor
# Coalescers here are bounded by max_in_flight and the segments of a message: a job waits in one of them.
_UNBOUNDED = sys.maxsize


class Ends(Protocol):
    """Who is told when a job leaves the recorder."""

    def ended(self, job: Job) -> None:
        """All segments ended; their results are stored (or `job.recorded` is False)."""
        ...

    def not_recorded(self, job: Job, reason: str) -> None:
        """The store could not do it: nothing was sent."""
        ...

    def exists(self, job: Job) -> None:
        """Somebody else's record has this message_id: nothing was sent."""
        ...

    def withdrawn(self, job: Job) -> None:
        """Nothing was sent and the intent is gone: the link was lost, or `job.answer` says why."""
        ...


class Recorder:
    """Walks jobs from their first slot to their stored end. Counters are read at scrape time."""

    def __init__(self, store: Store, log: Log, ends: Ends) -> None:
        self._store = store
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._creates = Attempts(log, "store_create")
        self._settles = Attempts(log, "store_settle")
        self._withdraws = Attempts(log, "store_withdraw")
        self._intents: Coalescer[Job] = Coalescer(self._store_intents, max_waiting=_UNBOUNDED)
        self._results: Coalescer[tuple[Job | None, SegmentResult]] = Coalescer(
            self._store_results, max_waiting=_UNBOUNDED
        )
        self._withdrawals: Coalescer[Job] = Coalescer(self._withdraw, max_waiting=_UNBOUNDED)
        self.delayed_results = Backlog(self._settle)
        self.delayed_withdrawals = Backlog(self._take_back)

    @property
    def idle(self) -> bool:
        coalescers = (self._intents, self._results, self._withdrawals)
        backlogs = (self.delayed_results, self.delayed_withdrawals)
        return all(one.idle for one in coalescers) and all(one.idle for one in backlogs)

    # -- intents --------------------------------------------------------------------------------------------

    def record(self, job: Job) -> None:
        """A job got its first slot: store its intent, then write."""
        job.stage = RECORDING
        self._intents.add(job)

    async def _store_intents(self, jobs: list[Job]) -> None:
        now = time.time()
        intents = [_intent(job, now) for job in jobs]
        created = await self._creates.result(self._store.create(intents))
        if created is None:
            for job in jobs:
                job.link.stop(job)
                self._ends.not_recorded(job, _STORE_AWAY)
            return
        loop_now = self._loop.time()
        for job, intent, ok in zip(jobs, intents, created, strict=True):
            if ok:
                job.intent = intent
                self._begin(job, loop_now)
            else:
                job.link.stop(job)
                self._ends.exists(job)

    def _begin(self, job: Job, now: float) -> None:
        """The intent is stored: write, unless the deadline passed while it was being stored."""
        job.stage = SUBMITTING
        if job.deadline is not None and job.overdue(now):
            job.answer = expired(job)
            self._never_written(job)
            return
        parts = job.intent.segments
        job.outcomes = [None] * parts
        job.unanswered = job.unstored = parts
        job.link.write(job)

    # -- answers --------------------------------------------------------------------------------------------

    def answered(self, answers: Iterable[tuple[Job, int, SegmentOutcome]]) -> None:
        """Segments ended. A refusal, or a place lost before the write, ends the unwritten rest with it."""
        now = time.time()
        for job, segment_no, outcome in answers:
            if isinstance(outcome, NotSent) and segment_no == 1:
                self._never_written(job)
                continue
            self._note(job, segment_no, outcome, now)
            if job.unanswered and isinstance(outcome, Refused | NotSent):
                self._cut(job, now, "an earlier segment was not taken")

    def late(self, answers: Iterable[tuple[Job, int, SegmentOutcome]]) -> None:
        """Answers after the time-out: they settle the record; the caller was, or will be, told `unknown`."""
        now = time.time()
        for job, segment_no, outcome in answers:
            self._results.add((None, _result(job, segment_no, outcome, now)))

    def _never_written(self, job: Job) -> None:
        job.link.stop(job)
        self._withdrawals.add(job)

    def abandoned(self, job: Job) -> None:
        """The link went down with some segments still unwritten. They never will be: all go over one link."""
        if job.stopped:
            return
        if job.written:
            self._cut(job, time.time(), "the link was lost before it was written")
        else:
            self._never_written(job)

    def _cut(self, job: Job, now: float, reason: str) -> None:
        """What is not written yet never will be."""
        if job.stopped:
            return
        job.link.stop(job)
        for number in range(job.written + 1, len(job.outcomes) + 1):
            self._note(job, number, NotSent(reason), now)

    def _note(self, job: Job, segment_no: int, outcome: SegmentOutcome, now: float) -> None:
        job.outcomes[segment_no - 1] = outcome
        job.unanswered -= 1
        self._results.add((job, _result(job, segment_no, outcome, now)))

    async def _store_results(self, batch: list[tuple[Job | None, SegmentResult]]) -> None:
        results = [result for _, result in batch]
        stored = await self._settle(results)
        if not stored:
            self.delayed_results.add(results)
        for job, _ in batch:
            if job is None:  # a late answer: its segment has been counted
                continue
            job.recorded &= stored
            job.unstored -= 1
            if not job.unstored:
                self._ends.ended(job)

    async def _settle(self, results: list[SegmentResult]) -> bool:
        return await self._settles.done(self._store.settle(results))

    # -- nothing was written --------------------------------------------------------------------------------

    async def _withdraw(self, jobs: list[Job]) -> None:
        """Nothing of these left: their intents go, and they may be sent another way."""
        intents = [job.intent for job in jobs]
        if await self._take_back(intents):
            for job in jobs:
                self._ends.withdrawn(job)
            return
        self.delayed_withdrawals.add(intents)
        for job in jobs:
            self._ends.not_recorded(job, _STORE_AWAY)

    async def _take_back(self, intents: list[Intent]) -> bool:
        return await self._withdraws.done(self._store.withdraw(intents))


def _intent(job: Job, now: float) -> Intent:
    message, link = job.message, job.link
    return Intent(
        job.message_id,
        message.app_id,
        link.link_id,
        link.account,
        message.transaction_id,
        message.task_id,
        message.sent_at,
        len(job.text.bodies),
        _RECEIPT_MODES[link.settings.registered_delivery],
        now,
        job.replaces,
    )


def _result(job: Job, segment_no: int, outcome: SegmentOutcome, now: float) -> SegmentResult:
    state, smsc_id, reason = stored_state(outcome)
    key = job.link.receipt_key(smsc_id) if smsc_id else ""
    return _new(SegmentResult, (job.intent, segment_no, state, smsc_id, key, reason, now))
