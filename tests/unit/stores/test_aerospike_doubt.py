"""Writes that nobody answers: settled by reading back, tried at most twice (reliability row 32)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

import pytest
from contract.store.aerospike_fake import (
    TIMEOUT_AFTER,
    TIMEOUT_BEFORE,
    TIMEOUT_LATE,
    TOO_BIG,
    FakeServer,
    Fault,
)
from contract.store.store_kit import (
    DELIVERED,
    EXPIRED,
    NOT_SENT,
    NOW,
    REJECTED,
    SUBMITTED,
    SUBMITTING,
    UNKNOWN,
    a_receipt,
    a_result,
    an_intent,
    created,
    record_of,
    states,
)
from unit.stores.aerospike_bench import Chance, Script, opened

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores.aerospike import AerospikeStore
from smsproxy.stores.base import Intent
from smsproxy.stores.memory import MemoryStore

T = TypeVar("T")

DOUBTS = [TIMEOUT_BEFORE, TIMEOUT_AFTER]


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_an_intent_in_doubt_is_ours_whether_the_first_try_was_done_or_not(doubt: Fault) -> None:
    server = FakeServer()
    async with opened(server) as store:
        server.fault = Script(doubt)
        intent = await created(store, an_intent())
        assert (await record_of(store, intent)).generation == intent.generation
        assert await store.create([an_intent()]) == [False]
        assert store.cluster is not None
        assert store.cluster.writes_in_doubt == 1


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_an_intent_in_doubt_is_not_taken_for_ours_where_another_was_first(doubt: Fault) -> None:
    server = FakeServer()
    async with opened(server) as one, opened(server, instance="two") as two:
        first = await created(one, an_intent())
        server.fault = Script(doubt)
        assert await two.create([an_intent()]) == [False]
        assert (await record_of(two, first)).generation == first.generation


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_a_takeover_in_doubt_is_ours_and_nobody_elses(doubt: Fault) -> None:
    server = FakeServer()
    async with opened(server) as store:
        old = await created(store, an_intent())
        await store.settle([a_result(old, REJECTED)])
        server.fault = Script(doubt)
        new = await created(store, an_intent(replaces=old.generation))
        assert await store.create([an_intent(replaces=old.generation)]) == [False]
        assert (await record_of(store, new)).generation == new.generation


@pytest.mark.parametrize("first", DOUBTS)
@pytest.mark.parametrize("second", DOUBTS)
async def test_two_tries_without_an_answer_are_settled_too_if_one_of_them_was_done(
    first: Fault, second: Fault
) -> None:
    server = FakeServer()
    async with opened(server) as store:
        server.fault = Script(first, second)
        intent = an_intent()
        if TIMEOUT_AFTER in (first, second):
            assert await store.create([intent]) == [True]
        else:
            with pytest.raises(StoreUnavailableError, match="1 of 1 writes got no answer in 2 tries"):
                await store.create([intent])
            assert await store.find([intent.message_id]) == [None]


async def test_a_creation_that_failed_in_doubt_is_blocked_even_if_it_lands_later() -> None:
    server = FakeServer()
    async with opened(server) as store:
        server.fault = Script(TIMEOUT_LATE, TIMEOUT_LATE)
        with pytest.raises(StoreUnavailableError):
            await store.create([an_intent()])
        assert server.land() == 2
        assert await store.find([an_intent().message_id]) == [None]
        assert await store.create([an_intent()]) == [True]
        assert server.land() == 0


class LandsAtTheSecondTry:
    """The first write is heard late: after it was read back in vain, and before it is tried again."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._writes = 0

    def __call__(self, kind: str, _record: object) -> Fault | None:
        self._writes += kind == "write"
        if kind == "write" and self._writes == 2:
            self._server.land()
        return TIMEOUT_LATE if kind == "write" and self._writes == 1 else None


async def test_a_second_try_that_is_refused_because_the_first_has_landed_is_ours_all_the_same() -> None:
    server = FakeServer()
    async with opened(server) as store:
        server.fault = LandsAtTheSecondTry(server)
        intent = await created(store, an_intent())
        server.fault = LandsAtTheSecondTry(server)
        await store.settle([a_result(intent, SUBMITTED, "a")])
        server.fault = LandsAtTheSecondTry(server)
        await store.receive([a_receipt("a")])
        assert await states(store, intent) == [DELIVERED]
        assert (store.counters["results_stored"], store.counters["receipts_repeated"]) == (1, 0)
        server.fault = LandsAtTheSecondTry(server)
        await store.withdraw([intent])
        assert store.counters["intents_withdrawn"] == 1


async def test_what_cannot_be_blocked_at_once_is_blocked_at_a_sweep() -> None:
    server = FakeServer()
    async with opened(server) as store:
        server.fault = Script(TIMEOUT_LATE, TIMEOUT_LATE, TIMEOUT_LATE, TIMEOUT_LATE)
        with pytest.raises(StoreUnavailableError):
            await store.create([an_intent()])
        server.land()
        await store.sweep(NOW)
        assert await store.find([an_intent().message_id]) == [None]


async def test_a_batch_that_fails_in_part_leaves_nothing_that_reads_as_stored() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intents = [an_intent(n) for n in range(1, 6)]
        server.fault = Script(None, None, Fault(TOO_BIG))
        with pytest.raises(StoreUnavailableError, match=r"^aerospike: the record is too big \(code 13\)$"):
            await store.create(intents)
        assert await store.find([one.message_id for one in intents]) == [None] * 5
        assert store.counters["intents_stored"] == 0
        assert await store.create([an_intent(n) for n in range(1, 6)]) == [True] * 5


@pytest.mark.parametrize("doubt", DOUBTS)
async def test_a_withdrawal_in_doubt_is_done_and_counted_once(doubt: Fault) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.fault = Script(doubt)
        await store.withdraw([intent])
        assert await store.find([intent.message_id]) == [None]
        assert store.counters["intents_withdrawn"] == 1


# Writes of one result: the segment's end, the claim of its key; and of its receipt, which closes it, too.
@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("doubt", [*DOUBTS, TIMEOUT_LATE])
async def test_a_result_in_doubt_is_stored_once_and_meets_its_receipt(doubt: Fault, step: int) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.fault = Script(*[None] * step, doubt)
        await store.settle([a_result(intent, SUBMITTED, "a")])
        server.land()
        await store.receive([a_receipt("a")])
        assert await states(store, intent) == [DELIVERED]
        assert store.counters["results_stored"] == 1


@pytest.mark.parametrize("step", range(2))
async def test_a_result_that_failed_half_way_is_completed_by_its_repetition(step: int) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        result = a_result(intent, SUBMITTED, "a")
        server.fault = Script(*[None] * step, TIMEOUT_BEFORE, TIMEOUT_BEFORE)
        with pytest.raises(StoreUnavailableError):
            await store.settle([result])
        assert store.counters["results_stored"] == 0
        await store.settle([result])
        await store.settle([result])
        await store.receive([a_receipt("a")])
        assert (await states(store, intent), store.counters["results_stored"]) == ([DELIVERED], 1)


@pytest.mark.parametrize("doubt", [*DOUBTS, TIMEOUT_LATE])
async def test_a_late_landing_never_moves_a_segment_back(doubt: Fault) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.fault = Script(doubt)
        await store.settle([a_result(intent, UNKNOWN)])
        await store.settle([a_result(intent, SUBMITTED, "a")])
        await store.receive([a_receipt("a", EXPIRED)])
        server.land()
        assert await states(store, intent) == [EXPIRED]


@pytest.mark.parametrize("doubt", [*DOUBTS, TIMEOUT_LATE])
async def test_a_receipt_in_doubt_is_applied_or_parked_once(doubt: Fault) -> None:
    server = FakeServer()
    async with opened(server) as store:
        known, early = an_intent(1), an_intent(2)
        await created(store, known, early)
        await store.settle([a_result(known, SUBMITTED, "a")])
        for key in ("a", "b"):
            server.fault = Script(doubt)
            await store.receive([a_receipt(key)])
        server.land()
        await store.settle([a_result(early, SUBMITTED, "b")])
        assert [await states(store, one) for one in (known, early)] == [[DELIVERED]] * 2
        assert (store.counters["receipts_repeated"], store.counters["receipts_parked"]) == (0, 1)


async def test_a_write_refused_for_a_busy_record_fails_in_plain_words() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.fault = Script(Fault(14))
        with pytest.raises(StoreUnavailableError, match="the record is busy"):
            await store.settle([a_result(intent, SUBMITTED, "a")])
        assert await states(store, intent) == [SUBMITTING]
        await store.settle([a_result(intent, SUBMITTED, "a")])
        assert await states(store, intent) == [SUBMITTED]


async def test_a_record_that_somebody_has_written_meanwhile_is_written_under_its_conditions() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        for each in server.records.values():
            each.generation += 1
        await store.settle([a_result(intent, SUBMITTED, "a")])
        assert await states(store, intent) == [SUBMITTED]
        for each in server.records.values():
            each.generation += 1
        await store.receive([a_receipt("a")])
        await store.receive([a_receipt("a", EXPIRED)])
        assert await states(store, intent) == [DELIVERED]
        assert (store.counters["results_stored"], store.counters["receipts_repeated"]) == (1, 1)


async def test_a_result_that_waits_for_its_receipt_and_is_told_again_counts_once() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        for _ in range(3):
            await store.settle([a_result(intent, SUBMITTED, "a")])
        await store.receive([a_receipt("a")])
        assert await states(store, intent) == [DELIVERED]
        assert store.counters["results_stored"] == 1


# --- row 32: a share of all writes in doubt ---------------------------------------------------------------

MESSAGES = 200
STEP = 20


async def test_with_a_twentieth_of_all_writes_in_doubt_every_record_ends_as_the_truth_has_it() -> None:
    server = FakeServer()
    truth = MemoryStore(retention_s=1e9)
    async with opened(server) as store:
        chance = server.fault = Chance(32, 0.05, TIMEOUT_BEFORE, TIMEOUT_AFTER)
        for first in range(1, MESSAGES, STEP):
            await _live(store, truth, range(first, first + STEP), Random(first))
        server.fault = Script()
        ids = [an_intent(n).message_id for n in range(1, MESSAGES + 1)]
        found, expected = await store.find(ids), await truth.find(ids)
    assert None not in expected
    assert [one and one.segments for one in found] == [one and one.segments for one in expected]
    assert chance.faults > 30
    assert max(chance.tries.values()) == 2


async def _live(store: AerospikeStore, truth: MemoryStore, numbers: range, random: Random) -> None:
    """The life of some messages on both stores; what the store refuses is repeated, as the pipeline does."""
    twins = [(an_intent(n), an_intent(n)) for n in numbers]
    for intent, _ in twins:
        await _create(store, intent)
    await truth.create([twin for _, twin in twins])
    ends = [random.choice([SUBMITTED, SUBMITTED, UNKNOWN, REJECTED, NOT_SENT]) for _ in twins]
    receipts = [a_receipt(f"id-{n}", random.choice([DELIVERED, EXPIRED])) for n in numbers]
    early = random.sample(receipts, STEP // 2)
    for one, side in ((store, 0), (truth, 1)):
        results = [
            a_result(pair[side], end, f"id-{n}") for n, pair, end in zip(numbers, twins, ends, strict=True)
        ]
        await _insist(one.receive, early)
        await _insist(one.settle, results)
        await _insist(one.receive, receipts)


async def _create(store: AerospikeStore, intent: Intent) -> None:
    """A try that failed in doubt is blocked by then, or by the next sweep."""
    for _ in range(10):
        try:
            if await store.create([intent]) == [True]:
                return
        except StoreUnavailableError:
            pass
        await store.sweep(NOW)
    raise AssertionError("never created")


async def _insist(call: Callable[[list[T]], Awaitable[None]], batch: list[T]) -> None:
    for _ in range(20):
        try:
            return await call(batch)
        except StoreUnavailableError:
            continue
    raise AssertionError("never taken")
