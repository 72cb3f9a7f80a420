"""Everything at once, in any order: callers come and leave, parts delay and fail, links come and go.

Whatever happens, the promises hold in the end (reliability §3): one end each, nothing sent twice, nothing
sent without a record, `unavailable` means not sent, the policy counts exactly what a handset may have, and
nobody holds anything.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence

from fake_time import run
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_bench import LINK, LONG, OTHER, POOL, Bench, End, FaultyStore, Hook, at_once

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.outcome import Accepted, InDoubt, Refused, SegmentOutcome
from smsproxy.domain.record import SegmentState
from smsproxy.pipeline.ends import stored_state
from smsproxy.pipeline.ports import Lane
from smsproxy.policy.base import PolicyUnavailableError, Verdict
from smsproxy.stores.base import SegmentResult

STEPS = 120
REFUSED = Refused(0x0B, "ESME_RINVDSTADR 0x0000000B")
THROTTLED = Refused(0x58, "ESME_RTHROTTLED 0x00000058", throttled=True)
SILENT = InDoubt("no answer from the SMSC in time")
LOST = InDoubt("connection lost before the answer")
NOT_SENT = {"unavailable", "expired", "daily_cp", "no_route", "invalid", "forbidden"}


class DoubtfulStore(FaultyStore):
    """Sometimes it stores results and fails to say so; they come again."""

    chance: random.Random | None = None

    async def settle(self, results: Sequence[SegmentResult]) -> None:
        await super().settle(results)
        if self.chance is not None and self.chance.random() < 0.1:
            raise StoreUnavailableError("the answer was lost")


class Chaos:
    """One run: random steps from a seed, then calm, then the reckoning."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = DoubtfulStore()
        self.bench = Bench(links=2, window=3, store=self.store, response_timeout_s=2)

    def hook(self, error: type[Exception]) -> Hook:
        failing = self.random.choice([0.0, 0.0, 0.0, 0.0, 0.3, 1.0])
        delay_s = self.random.choice([0.0, 0.0, 0.05, 0.7])

        async def hook(call: str) -> None:
            if delay_s:
                await asyncio.sleep(self.random.random() * delay_s)
            if self.random.random() < failing:
                raise error(call)

        return hook

    def outcome(self, _message_id: bytes, _segment_no: int) -> SegmentOutcome | None:
        number = self.random.random()
        if number < 0.6:
            return self.bench.link.accepted()
        return self.random.choice([REFUSED, THROTTLED, SILENT, None])

    def step(self) -> None:
        chance, bench = self.random, self.bench
        match chance.randrange(11):
            case 0 | 1 | 2 | 3:
                self.send()
            case 4:
                pending = [sent for sent in bench.sent if not sent.replies and not sent.withdrawn]
                if pending:
                    chance.choice(pending).cancel()
            case 5 | 6:
                chance.choice(bench.links).answer(self.outcome, count=chance.randrange(4))
            case 7:
                link = chance.choice(bench.links)
                if not link.bound:
                    link.bind()
                elif chance.random() < 0.5:
                    chance.choice([lambda: link.lose(LOST), lambda: link.pause(chance.random() * 3)])()
            case 8:
                self.store.hook = self.hook(StoreUnavailableError)
                self.store.chance = chance if chance.random() < 0.3 else None
            case 9:
                bench.policy.hook = self.hook(PolicyUnavailableError)
                bench.policy.verdicts["cp1"] = chance.choice([Verdict.OK, Verdict.OK, Verdict.DAILY_CP])
            case 10:
                self.answer_late()

    def answer_late(self) -> None:
        """A segment that was silent is answered after all."""
        silent = [end for end in self.ends if end.outcome is SILENT]
        if silent:
            end = self.random.choice(silent)
            end.outcome = self.random.choice([self.bench.link.accepted(), REFUSED])
            self.bench.pipeline.answered_late([(end.job, end.segment_no, end.outcome)])

    @property
    def ends(self) -> list[End]:
        return [end for link in self.bench.links for end in link.ends]

    def send(self) -> None:
        chance = self.random
        deadline = None
        if chance.random() < 0.3:
            deadline = asyncio.get_running_loop().time() + chance.random() * 3
        self.bench.send(
            chance.choice(["a", "b", LONG]),
            lane=chance.choice(list(Lane)),
            deadline=deadline,
            transaction_id=chance.choice(["", "t", "u"]),
            strategy=chance.choice(["", "cp1"]),
            route_id=chance.choice([LINK, OTHER, POOL, POOL]),
        )

    async def main(self) -> None:
        for _ in range(STEPS):
            self.step()
            if self.random.random() < 0.5:
                await asyncio.sleep(self.random.choice([0, 0, 0.01, 0.3]))
        await self.calm()
        self.bench.assert_at_rest()
        self.assert_nothing_was_sent_twice()
        self.assert_not_sent_means_not_sent()
        self.assert_the_policy_counts_what_may_have_arrived()
        await self.assert_records_tell_the_truth()

    async def calm(self) -> None:
        self.store.hook = self.bench.policy.hook = at_once
        self.store.chance = None
        for link in self.bench.links:
            if not link.bound:
                link.bind()
        for _ in range(20):
            await asyncio.sleep(0.5)
            await self.bench.answer_all()

    # -- the reckoning --------------------------------------------------------------------------------------

    def assert_nothing_was_sent_twice(self) -> None:
        """Once a handset may have a segment, its message is not begun again."""
        tries: dict[bytes, set[int]] = defaultdict(set)
        reached: dict[bytes, set[int]] = defaultdict(set)
        for end in self.ends:
            message_id, generation = end.record
            tries[message_id].add(generation)
            if isinstance(end.outcome, Accepted | InDoubt):
                reached[message_id].add(generation)
        for message_id, generations in reached.items():
            assert generations == {max(tries[message_id])}

    def assert_not_sent_means_not_sent(self) -> None:
        written = {end.job for end in self.ends}
        for sent in self.bench.sent:
            if sent.withdrawn or sent.status in NOT_SENT:
                assert sent.job not in written
                assert sent.withdrawn or not sent.answer.message_id

    def assert_the_policy_counts_what_may_have_arrived(self) -> None:
        kept = [
            sent.job
            for sent in self.bench.sent
            if sent.message.strategy
            and not sent.withdrawn
            and not sent.answer.repeated
            and sent.status in ("submitted", "unknown")
        ]
        # `unknown` may turn out to be a refusal; the next try of that message may give its count back.
        arrived = {end.job for end in self.ends if isinstance(end.outcome, Accepted | InDoubt)}
        counted = self.bench.policy.counted
        assert {job.message_id for job in kept if job in arrived} <= counted
        assert counted <= {job.message_id for job in kept}

    async def assert_records_tell_the_truth(self) -> None:
        truth: dict[tuple[bytes, int], dict[int, SegmentState]] = defaultdict(dict)
        for end in self.ends:
            truth[end.record][end.segment_no] = stored_state(end.outcome)[0]
        for message_id, intent in self.store.intents.items():
            record = await self.store.record(message_id)
            assert record is not None
            told = {number: segment.state for number, segment in enumerate(record.segments, 1)}
            ends = truth[message_id, intent.generation]
            assert ends, "an intent without a segment was left behind"
            assert {number: told[number] for number in ends} == ends
            assert {told[number] for number in told if number not in ends} <= {SegmentState.NOT_SENT}


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32))
def test_the_promises_hold_whatever_comes_in_whatever_order(seed: int) -> None:
    async def main() -> None:
        await Chaos(seed).main()

    run(main())
