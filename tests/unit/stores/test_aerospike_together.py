"""The Aerospike store, where receipts come with the results of their messages: one write, and as exact."""

from __future__ import annotations

import asyncio

import pytest
from contract.store.aerospike_fake import GONE, TIMEOUT_AFTER, TIMEOUT_BEFORE, TIMEOUT_LATE, FakeServer, Fault
from contract.store.store_kit import (
    DELIVERED,
    EXPIRED,
    REJECTED,
    SUBMITTED,
    UNDELIVERABLE,
    UNKNOWN,
    a_receipt,
    a_result,
    an_intent,
    created,
    record_of,
    states,
)
from unit.stores.aerospike_bench import Script, opened

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.domain.receipt import Receipt
from smsproxy.stores.aerospike import AerospikeStore
from smsproxy.stores.base import SegmentResult


async def at_once(
    store: AerospikeStore, results: list[SegmentResult], receipts: list[Receipt]
) -> list[BaseException | None]:
    """As they come from an SMSC that does not wait: in one read."""
    return await asyncio.gather(store.settle(results), store.receive(receipts), return_exceptions=True)


async def test_a_result_and_its_receipt_are_one_write_and_the_claim_of_the_key_another() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intents = await asyncio.gather(*(created(store, an_intent(number)) for number in (1, 2, 3)))
        server.calls.clear()
        results = [a_result(one, SUBMITTED, one.transaction_id) for one in intents]
        await at_once(
            store, results, [a_receipt(one.transaction_id, EXPIRED, reason="EXPIRED") for one in intents]
        )
        assert server.calls == [("write", 3), ("write", 3)]
        for one in intents:
            (segment,) = (await record_of(store, one)).segments
            assert (segment.state, segment.smsc_id, segment.reason) == (
                EXPIRED,
                one.transaction_id,
                "EXPIRED",
            )
        assert (store.counters["results_stored"], store.counters["receipts_stored"]) == (3, 3)
        await store.receive([a_receipt(intents[0].transaction_id)])
        assert await states(store, intents[0]) == [EXPIRED]
        assert (store.counters["receipts_repeated"], store.counters["receipts_parked"]) == (1, 0)


async def test_receipts_that_were_not_taken_along_go_the_usual_way() -> None:
    server = FakeServer()
    async with opened(server) as store:
        one, long, other = an_intent(1), an_intent(2, segments=2), an_intent(3)
        await created(store, one, long, other)
        results = [a_result(one, SUBMITTED, "a"), a_result(long, SUBMITTED, "b"), a_result(other, UNKNOWN)]
        receipts = [a_receipt("a", SUBMITTED), a_receipt("a"), a_receipt("b"), a_receipt("nobody's")]
        await at_once(store, results, receipts)
        assert await states(store, one) == [DELIVERED]
        assert (await states(store, long))[0] is DELIVERED
        assert (store.counters["receipts_stored"], store.counters["receipts_parked"]) == (4, 1)
        assert store.counters["receipts_repeated"] == 0


@pytest.mark.parametrize("second", [SUBMITTED, REJECTED])
async def test_of_two_results_with_one_key_the_newest_has_the_receipt(second: int) -> None:
    async with opened(FakeServer()) as store:
        older, newer = an_intent(1), an_intent(2)
        await created(store, older, newer)
        results = [a_result(older, SUBMITTED, "a"), a_result(newer, SUBMITTED, "a")]
        if second == REJECTED:
            results[1] = a_result(newer, REJECTED, key="a")
        await at_once(store, results, [a_receipt("a")])
        assert await states(store, older) == [SUBMITTED]
        assert await states(store, newer) == [REJECTED if second == REJECTED else DELIVERED]


async def test_a_receipt_that_was_parked_before_comes_first() -> None:
    async with opened(FakeServer()) as store:
        intent = await created(store, an_intent())
        await store.receive([a_receipt("a", UNDELIVERABLE)])
        await at_once(store, [a_result(intent, SUBMITTED, "a")], [a_receipt("a")])
        assert await states(store, intent) == [UNDELIVERABLE]
        assert (store.counters["receipts_parked"], store.counters["receipts_repeated"]) == (1, 1)


async def test_what_another_instance_has_parked_is_not_left_for_the_next_message_with_that_id() -> None:
    server = FakeServer()
    async with opened(server) as store, opened(server, instance="two") as two:
        first, second = an_intent(1), an_intent(2)
        await created(store, first, second)
        await two.receive([a_receipt("a")])
        await at_once(store, [a_result(first, SUBMITTED, "a")], [a_receipt("a")])
        await store.settle([a_result(second, SUBMITTED, "a")])
        assert (await states(store, first), await states(store, second)) == ([DELIVERED], [SUBMITTED])
        assert store.counters["smsc_ids_reused"] == 1


@pytest.mark.parametrize("step", range(2))
@pytest.mark.parametrize("doubt", [TIMEOUT_BEFORE, TIMEOUT_AFTER, TIMEOUT_LATE])
async def test_a_write_of_both_in_doubt_is_stored_once(doubt: Fault, step: int) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.fault = Script(*[None] * step, doubt)
        await at_once(store, [a_result(intent, SUBMITTED, "a")], [a_receipt("a")])
        server.land()
        await store.receive([a_receipt("a")])
        assert await states(store, intent) == [DELIVERED]
        assert (store.counters["results_stored"], store.counters["receipts_repeated"]) == (1, 1)


@pytest.mark.parametrize("step", range(2))
@pytest.mark.parametrize("doubt", [TIMEOUT_BEFORE, TIMEOUT_AFTER, TIMEOUT_LATE])
async def test_both_are_completed_by_their_repetition_after_a_failure_half_way(
    doubt: Fault, step: int
) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        result = a_result(intent, SUBMITTED, "a")
        server.fault = Script(*[None] * step, TIMEOUT_BEFORE, doubt)
        failed, _ = await at_once(store, [result], [a_receipt("a")])
        assert isinstance(failed, StoreUnavailableError) == (doubt is not TIMEOUT_AFTER)
        server.fault = Script()
        server.land()
        await store.settle([result])
        await store.settle([result])
        await store.receive([a_receipt("a")])
        await store.receive([a_receipt("a", EXPIRED)])
        assert await states(store, intent) == [DELIVERED]
        assert store.counters["results_stored"] == 1
        assert not store._results._owed


async def test_a_life_that_ends_between_both_and_the_claim_of_the_key_leaves_the_message_as_it_is() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        server.fault = Script(None, *[GONE] * 9)
        failed, received = await at_once(store, [a_result(intent, SUBMITTED, "a")], [a_receipt("a")])
        assert isinstance(failed, StoreUnavailableError)
        assert received is None
        server.fault = Script()
    async with opened(server) as store:
        assert store.counters["intents_marked_unknown"] == 0
        await store.receive([a_receipt("a", EXPIRED)])
        assert await states(store, intent) == [DELIVERED]


async def test_a_message_that_was_withdrawn_takes_no_receipt_with_its_result() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        await store.withdraw([intent])
        await at_once(store, [a_result(intent, SUBMITTED, "a")], [a_receipt("a")])
        assert await store.find([intent.message_id]) == [None]
        assert (store.counters["results_stored"], store.counters["receipts_parked"]) == (0, 1)


async def test_receipts_that_nobody_waits_for_any_more_are_not_taken_along() -> None:
    async with opened(FakeServer()) as store:
        intent = await created(store, an_intent())
        waiting = asyncio.create_task(store.receive([a_receipt("a")]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await store.settle([a_result(intent, SUBMITTED, "a")])
        assert await states(store, intent) == [SUBMITTED]
