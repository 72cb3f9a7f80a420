"""Intent → write → result, in that order on every path, in batches (spec §6, promises P1-P3).

Nothing is written to an SMSC before its intent is stored; nobody is answered before the result is. The three
coalescers let the store commit everything that came while it was busy in one go.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from smsproxy.aio.coalescer import Coalescer
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.outcome import NotSent, Refused, SegmentOutcome
from smsproxy.obs.log import Log
from smsproxy.pipeline.base import SubmitLink
from smsproxy.pipeline.ends import stored_state
from smsproxy.pipeline.job import Job, Stage
from smsproxy.stores.base import Intent, ReceiptMode, SegmentResult, Store

_RECEIPT_MODES = {"all": ReceiptMode.ALL, "last": ReceiptMode.LAST, "none": ReceiptMode.NONE}
_RETRY_S = 0.25
"""Between two tries to store a result while the store is away. At most the windows wait."""


class Ends(Protocol):
    """Who is told when a job leaves the recorder."""

    def ended(self, job: Job) -> None:
        """All segments ended; their results are stored (or `job.recorded` is False)."""
        ...

    def not_recorded(self, job: Job, reason: str) -> None:
        """The intent could not be stored: nothing was sent."""
        ...

    def exists(self, job: Job) -> None:
        """Somebody else's record has this message_id: nothing was sent."""
        ...

    def withdrawn(self, job: Job) -> None:
        """The link was lost between intent and write: nothing was sent, the intent is gone."""
        ...


class Recorder:
    """Walks jobs from their first slot to their stored end."""

    def __init__(self, store: Store, log: Log, ends: Ends) -> None:
        self._store = store
        self._log = log
        self._ends = ends
        self._intents: Coalescer[Job] = Coalescer(self._store_intents)
        self._results: Coalescer[tuple[Job, SegmentResult]] = Coalescer(self._store_results)
        self._withdrawals: Coalescer[Job] = Coalescer(self._withdraw)
        self._retries: set[asyncio.Task[None]] = set()
        self.results_delayed = 0

    @property
    def idle(self) -> bool:
        coalescers = (self._intents, self._results, self._withdrawals)
        return not self._retries and all(one.idle for one in coalescers)

    # -- intents --------------------------------------------------------------------------------------------

    def record(self, job: Job) -> None:
        """A job got its first slot: store its intent, then write."""
        job.stage = Stage.RECORDING
        self._intents.add(job)

    async def _store_intents(self, jobs: list[Job]) -> None:
        now = time.time()
        intents = [_intent(job, now) for job in jobs]
        try:
            created = await self._store.create(intents)
        except StoreUnavailableError as error:
            self._log.error("intents_refused", count=len(jobs), reason=str(error))
            for job in jobs:
                _link(job).stop(job)
                self._ends.not_recorded(job, "the record store is not available")
            return
        for job, intent, ok in zip(jobs, intents, created, strict=True):
            if ok:
                job.intent = intent
                job.stage = Stage.SUBMITTING
                parts = job.text.parts
                job.outcomes = [None] * parts
                job.unanswered = job.unstored = parts
                _link(job).write(job)
            else:
                _link(job).stop(job)
                self._ends.exists(job)

    # -- answers --------------------------------------------------------------------------------------------

    def answered(self, job: Job, segment_no: int, outcome: SegmentOutcome) -> None:
        """One segment ended. A refusal, or a place lost before the write, ends the unwritten rest with it."""
        if job.outcomes[segment_no - 1] is not None:
            return
        if segment_no == 1 and isinstance(outcome, NotSent):
            _link(job).stop(job)
            self._withdrawals.add(job)
            return
        self._note(job, segment_no, outcome)
        if job.unanswered and isinstance(outcome, Refused | NotSent) and not job.stopped:
            _link(job).stop(job)
            for number in range(job.written + 1, job.text.parts + 1):
                self._note(job, number, NotSent("an earlier segment was not taken"))

    def late(self, job: Job, segment_no: int, outcome: SegmentOutcome) -> None:
        """An answer after the time-out: it settles the record; the caller was told `unknown` long ago."""
        self._results.add((job, self._result(job, segment_no, outcome)))

    def _note(self, job: Job, segment_no: int, outcome: SegmentOutcome) -> None:
        job.outcomes[segment_no - 1] = outcome
        job.unanswered -= 1
        self._results.add((job, self._result(job, segment_no, outcome)))

    def _result(self, job: Job, segment_no: int, outcome: SegmentOutcome) -> SegmentResult:
        state, smsc_id, reason = stored_state(outcome)
        link = _link(job)
        key = link.receipt_key(smsc_id) if smsc_id else ""
        return SegmentResult(_intent_of(job), segment_no, state, smsc_id, key, reason, time.time())

    async def _store_results(self, batch: list[tuple[Job, SegmentResult]]) -> None:
        results = [result for _, result in batch]
        stored = True
        try:
            await self._store.settle(results)
        except StoreUnavailableError as error:
            stored = False
            self.results_delayed += len(batch)
            self._log.error("results_delayed", count=len(batch), reason=str(error))
            self._retries.add(task := asyncio.create_task(self._settle_until_stored(results)))
            task.add_done_callback(self._retries.discard)
        for job, _ in batch:
            if job.stage is not Stage.SUBMITTING:
                continue  # a late answer: its caller has been answered
            job.recorded &= stored
            job.unstored -= 1
            if not job.unstored:
                self._ends.ended(job)

    async def _settle_until_stored(self, results: list[SegmentResult]) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                await self._store.settle(results)
            except StoreUnavailableError:
                continue
            return

    async def _withdraw(self, jobs: list[Job]) -> None:
        """Nothing of these left: their intents go, and they may be sent another way."""
        try:
            await self._store.withdraw([_intent_of(job) for job in jobs])
        except StoreUnavailableError as error:
            self._log.error("withdrawals_failed", count=len(jobs), reason=str(error))
        for job in jobs:
            self._ends.withdrawn(job)


def _intent(job: Job, now: float) -> Intent:
    message, link = job.message, _link(job)
    return Intent(
        job.message_id,
        message.app_id,
        link.link_id,
        link.settings.account_name,
        message.transaction_id,
        message.task_id,
        message.sent_at,
        job.text.parts,
        _RECEIPT_MODES[link.settings.registered_delivery],
        now,
        job.replaces,
    )


def _intent_of(job: Job) -> Intent:
    if job.intent is None:
        raise RuntimeError("this job has no intent yet")
    return job.intent


def _link(job: Job) -> SubmitLink:
    if job.link is None:
        raise RuntimeError("this job has no link yet")
    return job.link
