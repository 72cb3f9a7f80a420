"""What the pipeline tests share: a link, a store and a policy with faults on demand, and the bench around.

The fakes check what must hold whatever happens: nothing is written without a stored intent, a segment is
written once, no place of a window is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import structlog

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.message import Message
from smsproxy.domain.outcome import Accepted, Answer, NotSent, SegmentOutcome, Status
from smsproxy.domain.receipt import Receipt
from smsproxy.domain.record import MessageRecord
from smsproxy.limits.base import Admission
from smsproxy.limits.local import LocalLimits
from smsproxy.links.base import Delivery, Offer, Slot, Submission
from smsproxy.obs.log import Log
from smsproxy.pipeline.job import Job
from smsproxy.pipeline.pipeline import Pipeline, PipelineOptions
from smsproxy.pipeline.ports import Lane
from smsproxy.policy.base import PolicyRequest, PolicyUnavailableError, Verdict
from smsproxy.settings import LinkSettings
from smsproxy.stores.base import Intent, SegmentResult
from smsproxy.stores.memory import MemoryStore
from smsproxy.text.segmentation import TextOptions

T = TypeVar("T")
LINK, OTHER, POOL = 100, 101, 1000
LONG = "x" * 400
"""Three segments."""

Hook = Callable[[str], Awaitable[None]]
"""Awaited before a call of a store or policy, with its name; may raise what the call may raise."""


async def at_once(_call: str) -> None:
    """The hook of a part that always works."""


def failing(*calls: str) -> Hook:
    """A hook under which these calls fail as they do when the store or the engine is away."""

    async def hook(call: str) -> None:
        if call in calls:
            raise (PolicyUnavailableError if call in ("reserve", "release") else StoreUnavailableError)(call)

    return hook


def slow(delay_s: float, *calls: str) -> Hook:
    """A hook under which these calls take their time."""

    async def hook(call: str) -> None:
        if call in calls:
            await asyncio.sleep(delay_s)

    return hook


def a_message(text: str = "hello", **fields: Any) -> Message:
    values: dict[str, Any] = {"app_id": 1, "route_id": LINK, "saddr": "BRAND", "daddr": "998901234567"}
    return Message(**{**values, "text": text, **fields})


def a_caller(**fields: Any) -> Caller:
    return Caller(**{"app_id": 1, "expires_at": time.time() + 3600, **fields})


def a_log() -> tuple[Log, list[dict[str, Any]]]:
    """A log and the lines that were written to it."""
    lines: list[dict[str, Any]] = []

    def keep(_logger: object, level: str, event: dict[str, Any]) -> dict[str, Any]:
        lines.append({"level": level, **event})
        raise structlog.DropEvent

    return cast(Log, structlog.wrap_logger(None, processors=[keep])), lines


class FaultyStore(MemoryStore):
    """The memory store behind a hook. `settled` is what it has stored, `calls` what it was asked."""

    def __init__(self) -> None:
        super().__init__(retention_s=1e9)
        self.hook: Hook = at_once
        self.calls: list[str] = []
        self.intents: dict[bytes, Intent] = {}
        self.settled: list[SegmentResult] = []

    async def _asked(self, call: str) -> None:
        self.calls.append(call)
        await self.hook(call)

    async def create(self, intents: Sequence[Intent]) -> list[bool]:
        await self._asked("create")
        created = await super().create(intents)
        self.intents |= {one.message_id: one for one, ok in zip(intents, created, strict=True) if ok}
        return created

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        await self._asked("settle")
        await super().settle(results)
        self.settled += results

    async def withdraw(self, intents: Sequence[Intent]) -> None:
        await self._asked("withdraw")
        await super().withdraw(intents)
        for intent in intents:
            if self.intents.get(intent.message_id) is intent:
                del self.intents[intent.message_id]

    async def receive(self, receipts: Sequence[Receipt]) -> None:
        await self._asked("receive")
        await super().receive(receipts)

    async def find(self, message_ids: Sequence[bytes]) -> list[MessageRecord | None]:
        await self._asked("find")
        return await super().find(message_ids)

    async def sweep(self, now: float) -> int:
        await self._asked("sweep")
        return await super().sweep(now)

    async def record(self, message_id: bytes) -> MessageRecord | None:
        (record,) = await MemoryStore.find(self, [message_id])
        return record


class FakePolicy:
    """Counts by message_id, as the real ones do: one that is counted is granted and not counted again."""

    def __init__(self) -> None:
        self.hook: Hook = at_once
        self.verdicts: dict[str, Verdict] = {}
        self.counted: set[bytes] = set()
        self.calls: list[str] = []
        self.busy: set[bytes] = set()
        self.doubtful: list[PolicyRequest] = []
        self.max_batch = 1024

    def knows(self, strategy: str) -> bool:
        return strategy != "unheard-of"

    def reads_text(self, strategy: str) -> bool:
        return True

    async def reserve(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        with _alone(self.busy, batch):
            self.calls.append("reserve")
            try:
                await self.hook("reserve")
            except PolicyUnavailableError:
                return [Verdict.UNAVAILABLE] * len(batch)
            verdicts = [self.verdicts.get(one.strategy, Verdict.OK) for one in batch]
            self.counted |= {
                one.message_id for one, v in zip(batch, verdicts, strict=True) if v is Verdict.OK
            }
            return verdicts

    async def release(self, batch: Sequence[PolicyRequest]) -> None:
        with _alone(self.busy, batch):
            self.calls.append("release")
            await self.hook("release")
            self.counted -= {one.message_id for one in batch}

    async def check(self, batch: Sequence[PolicyRequest]) -> list[Verdict]:
        self.calls.append("check")
        return [self.verdicts.get(one.strategy, Verdict.OK) for one in batch]

    def take_doubtful(self) -> list[PolicyRequest]:
        taken, self.doubtful = self.doubtful, []
        return taken


@contextmanager
def _alone(busy: set[bytes], batch: Sequence[PolicyRequest]) -> Iterator[None]:
    """The engine is never asked two things of one message_id at a time: their order would be anybody's."""
    ids = [one.message_id for one in batch]
    if len(set(ids)) < len(ids) or busy.intersection(ids):  # not an Exception, which would be survived
        raise KeyboardInterrupt("two things at a time were asked of one message_id")
    busy.update(ids)
    try:
        yield
    finally:
        busy.difference_update(ids)


@dataclass(eq=False)
class FakeSlot:
    """A place of the link's window, until it is given back or its segment is answered."""

    link: FakeLink
    session: int

    @property
    def bound(self) -> bool:
        return self.link.bound and self.session == self.link.session

    def unreserve(self) -> None:
        self.link.used.remove(self)

    def submit(self, body: bytes, owner: object) -> None:
        raise AssertionError("a fake link writes by itself")


@dataclass
class End:
    """How a segment ended that was written."""

    job: Job
    intent: Intent
    segment_no: int
    outcome: SegmentOutcome

    @property
    def record(self) -> tuple[bytes, int]:
        return self.intent.message_id, self.intent.generation


Reply = Callable[[bytes, int], SegmentOutcome | None]
"""How the SMSC answers a segment, told message_id and number; None: not now."""


class FakeLink:
    """A link with a window and no rate. It answers what is written when it is told to (`answer`)."""

    def __init__(self, store: FaultyStore, link_id: int = LINK, *, window: int = 10, **settings: Any) -> None:
        self.link_id = link_id
        self.settings = LinkSettings(system_id="me", **settings)
        self.account = self.settings.account_name
        self.text_options = TextOptions(max_segments=10)
        self.smsc_system_id = "SMSC"
        self.bound = True
        self.session = 1
        self.paused_until = 0.0
        self.wait_s = 0.0
        self.max_waiting = 10_000
        self.window = window
        self.pipeline: Pipeline | None = None
        self.store = store
        self.used: list[FakeSlot] = []
        self.queue: deque[Job] = deque()
        self.written: list[tuple[bytes, int]] = []
        self.tries: set[tuple[int, int]] = set()
        self.unanswered: list[tuple[Job, int, FakeSlot]] = []
        self.ends: list[End] = []
        """The truth: how every segment ended that was written."""
        self.texts: list[bytes] = []
        self._ids = 0
        self._pumping = False

    # -- what the pipeline asks -----------------------------------------------------------------------------

    @property
    def pause_left_s(self) -> float:
        return max(0.0, self.paused_until - asyncio.get_running_loop().time())

    def pause(self, seconds: float) -> None:
        """The SMSC said "slow down"."""
        loop = asyncio.get_running_loop()
        self.paused_until = loop.time() + seconds
        loop.call_at(self.paused_until, self.pump)

    def free_now(self) -> bool:
        return self.bound and not self.queue and len(self.used) < self.window

    def receipt_key(self, smsc_id: str) -> str:
        return smsc_id

    def expected_wait_s(self, fair_key: tuple[int, str] | None = None) -> float:
        return self.wait_s

    def offer(self, submission: Submission) -> Offer:
        if not self.bound:
            return Offer.UNBOUND
        if len(self.queue) >= self.max_waiting:
            return Offer.FULL
        self.queue.append(cast(Job, submission))
        self.pump()
        return Offer.GRANTED if submission.slots else Offer.WAITING

    def withdraw(self, submission: Submission) -> bool:
        if submission.slots or submission not in self.queue:
            return False
        self.queue.remove(cast(Job, submission))
        return True

    def write(self, submission: Submission) -> None:
        job = cast(Job, submission)
        while job.written < len(job.slots) and not job.stopped:
            slot = cast(FakeSlot, job.slots[job.written])
            job.written += 1
            if slot.bound:
                self._write(job, slot)
            else:
                if slot in self.used:
                    slot.unreserve()
                self._tell().answered([(job, job.written, NotSent("link lost before the write"))])

    def _write(self, job: Job, slot: FakeSlot) -> None:
        intent = self.store.intents.get(job.message_id)
        assert intent is not None, "written without an intent"
        assert intent.generation == job.intent.generation, "written under somebody else's intent"
        once = (intent.generation, job.written)
        assert once not in self.tries, "a segment was written twice"
        self.tries.add(once)
        self.written.append((job.message_id, job.written))
        self.texts.append(job.text.bodies[job.written - 1])
        self.unanswered.append((job, job.written, slot))

    def stop(self, submission: Submission) -> None:
        submission.stopped = True
        for slot in submission.slots[submission.written :]:
            slot.unreserve()
        submission.slots = submission.slots[: submission.written]
        if submission in self.queue:
            self.queue.remove(cast(Job, submission))
        self.pump()

    # -- what the test tells --------------------------------------------------------------------------------

    def pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        while self.bound and self.queue and len(self.used) < self.window and not self.pause_left_s:
            job, slot = self.queue[0], FakeSlot(self, self.session)
            self.used.append(slot)
            job.slots += (cast(Slot, slot),)
            if len(job.slots) == job.text.parts:
                self.queue.popleft()
            self._tell().granted(self.link_id, job)
        self._pumping = False

    def answer(self, reply: Reply | SegmentOutcome | None = None, *, count: int | None = None) -> int:
        """The SMSC answers what is written, oldest first; ok when nothing else is said. How many it was."""
        told = []
        for owner in self.unanswered[:count]:
            job, segment_no, slot = owner
            outcome = reply(job.message_id, segment_no) if callable(reply) else reply or self.accepted()
            if outcome is not None:
                self.unanswered.remove(owner)
                slot.unreserve()
                self.ends.append(End(job, job.intent, segment_no, outcome))
                told.append((job, segment_no, outcome))
        if told:
            self._tell().answered(cast(Any, told))
        self.pump()
        return len(told)

    def accepted(self) -> Accepted:
        self._ids += 1
        return Accepted(f"{self.link_id}-{self._ids}")

    def lose(self, outcome: SegmentOutcome) -> None:
        """The session ends: what was written ends so, who waits is told (as links.link does)."""
        self.bound = False
        self.answer(outcome)
        waiting, self.queue = list(self.queue), deque()
        for job in waiting:
            begun = bool(job.slots)
            self._tell().abandoned(job)
            if begun and not job.stopped:  # its intent is being stored: `write` or `stop` will come
                self.queue.append(job)

    def bind(self) -> None:
        self.bound = True
        self.session += 1
        self.pump()

    def _tell(self) -> Pipeline:
        assert self.pipeline is not None
        return self.pipeline


class FakeRoutes:
    """Links by id, and one pool of all of them: the first that is free, else the first that is bound."""

    def __init__(self, links: Sequence[FakeLink]) -> None:
        self.links = {link.link_id: link for link in links}

    def knows(self, route_id: int) -> bool:
        return route_id in self.links or route_id == POOL

    def link(self, link_id: int) -> FakeLink | None:
        return self.links.get(link_id)

    def members(self, route_id: int) -> list[FakeLink]:
        if route_id == POOL:
            return list(self.links.values())
        return [self.links[route_id]] if route_id in self.links else []

    def pick(self, route_id: int) -> FakeLink | None:
        bound = [link for link in self.members(route_id) if link.bound]
        free = [link for link in bound if link.free_now()]
        return next(iter(free or bound), None)

    def text_options(self, route_id: int) -> list[TextOptions]:
        return list(dict.fromkeys(link.text_options for link in self.members(route_id)))


@dataclass
class Sent:
    """One message that was submitted, and its replies."""

    message: Message
    replies: list[Answer] = field(default_factory=list)
    job: Job = field(init=False)
    withdrawn: bool = False

    @property
    def answer(self) -> Answer:
        assert len(self.replies) == 1, self.replies
        return self.replies[0]

    @property
    def status(self) -> str:
        return self.answer.status.value

    def cancel(self) -> bool:
        self.withdrawn = self.job.cancel()
        return self.withdrawn


class Bench:
    """A pipeline and everything around it."""

    def __init__(
        self,
        *,
        links: int = 1,
        window: int = 10,
        limits: Admission | None = None,
        max_in_flight: int = 50_000,
        max_wait_ms: int = 1000,
        store: FaultyStore | None = None,
        **settings: Any,
    ) -> None:
        self.store = store or FaultyStore()
        self.policy = FakePolicy()
        self.links = [FakeLink(self.store, LINK + n, window=window, **settings) for n in range(links)]
        self.link = self.links[0]
        self.routes = FakeRoutes(self.links)
        self.log, self.lines = a_log()
        options = PipelineOptions(max_in_flight, max_wait_ms)
        limits = limits or LocalLimits(0, {})
        self.pipeline = Pipeline(options, self.store, self.routes, limits, self.policy, self.log)
        for link in self.links:
            link.pipeline = self.pipeline
        self.sent: list[Sent] = []

    def send(
        self,
        text: str = "hello",
        *,
        lane: Lane = Lane.STREAM,
        caller: Caller | None = None,
        deadline: float | None = None,
        **fields: Any,
    ) -> Sent:
        sent = Sent(a_message(text, **fields))
        self.sent.append(sent)

        number = len(self.sent)

        def reply(tag: int, answer: Answer) -> None:
            assert tag == number
            stored = {one.smsc_id for one in self.store.settled}
            assert answer.status is not Status.SUBMITTED or stored.issuperset(answer.smsc_ids)
            sent.replies.append(answer)

        sent.job = self.pipeline.submit(sent.message, caller or a_caller(), lane, reply, number, deadline)
        return sent

    async def settle(self) -> None:
        """Until nobody can do anything without an answer of the SMSC or the passing of time."""
        for _ in range(30):
            await asyncio.sleep(0)

    async def answer_all(self, reply: Reply | SegmentOutcome | None = None) -> None:
        """The SMSC answers until nothing is unanswered any more."""
        await self.settle()
        while sum([link.answer(reply) for link in self.links]):
            await self.settle()

    def assert_at_rest(self) -> None:
        """Everything has ended, exactly once, and nothing is held by anybody."""
        for sent in self.sent:
            assert len(sent.replies) == (0 if sent.withdrawn else 1), (sent.job, sent.replies)
        assert self.pipeline.in_flight == 0
        assert self.pipeline.idle
        assert len(self.pipeline._repeats) == 0
        for link in self.links:
            assert not link.used, "a place of the window is lost"
            assert not link.queue


class AnswerBox:
    """Takes the answers to deliveries of a test."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, bool]] = []

    def delivery(self, key: str, state: Any, account: str = "me@127.0.0.1:2775") -> Delivery:
        receipt = Receipt(account, key, state, "", time.time())
        return Delivery([receipt], lambda ok: self.answers.append((key, ok)))
