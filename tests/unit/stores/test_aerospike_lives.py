"""The Aerospike store over restarts, time and other instances (spec §6, promises P3 and P6)."""

from __future__ import annotations

import pytest
from contract.store.aerospike_fake import GONE, TIMEOUT_BEFORE, TIMEOUT_LATE, FakeServer
from contract.store.store_kit import (
    ACCOUNT,
    DELIVERED,
    NOW,
    REJECTED,
    RETENTION_S,
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
from unit.stores.aerospike_bench import Clock, Script, opened

from smsproxy.domain.errors import StoreUnavailableError
from smsproxy.stores import aerospike as aerospike_store
from smsproxy.stores import aerospike_cluster, aerospike_recent, aerospike_results
from smsproxy.stores.aerospike_records import key_name
from smsproxy.stores.base import Intent
from smsproxy.stores.parking import PARKING_S

MESSAGES = "sms_messages"
KEYS = "sms_receipt_keys"


# --- what an earlier life left ----------------------------------------------------------------------------


async def test_what_an_earlier_life_left_unanswered_is_unknown_and_what_comes_late_settles_it() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent(segments=3))
        await store.settle([a_result(intent, SUBMITTED, "a", segment_no=2)])
    async with opened(server) as store:
        assert store.counters["intents_marked_unknown"] == 1
        record = await record_of(store, intent)
        assert [one.state for one in record.segments] == [UNKNOWN, SUBMITTED, UNKNOWN]
        assert record.segments[0].reason == "no answer before the restart"
        await store.settle([a_result(intent, SUBMITTED, "b")])
        await store.receive([a_receipt("a"), a_receipt("b")])
        assert await states(store, intent) == [DELIVERED, DELIVERED, UNKNOWN]
    async with opened(server) as store:
        assert store.counters["intents_marked_unknown"] == 0


async def test_another_instance_marks_only_what_is_older_than_a_minute() -> None:
    server = FakeServer()
    clock = Clock(server)
    async with opened(server, clock=clock) as dead:
        old = await created(dead, an_intent(1, at=NOW - 61))
        young = await created(dead, an_intent(2, at=NOW - 59))
    async with opened(server, instance="two", clock=clock) as other:
        assert (await states(other, old), await states(other, young)) == ([UNKNOWN], [SUBMITTING])
        assert other.counters["intents_marked_unknown"] == 1


def still_open(server: FakeServer, intents: list[Intent]) -> list[Intent]:
    return [one for one in intents if "open" in (server.bins_of(MESSAGES, bytearray(one.message_id)) or {})]


async def test_an_index_knows_the_open_intents_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intents = [an_intent(n) for n in range(1, 6)]
        await created(store, *intents)
        received, answered, refused, withdrawn, left = intents
        results = [a_result(received, SUBMITTED, "a"), a_result(answered, SUBMITTED, "b")]
        await store.settle([*results, a_result(refused, REJECTED)])
        await store.withdraw([withdrawn])
        await store.receive([a_receipt("a")])
        await store.sweep(NOW)
        assert still_open(server, intents) == [answered, left]
        monkeypatch.setattr(aerospike_recent, "CLOSE_S", 0.0)
        await store.sweep(NOW)
        assert still_open(server, intents) == [left]
        await store.receive([a_receipt("b")])
        assert await states(store, answered) == [DELIVERED]


async def test_beyond_what_is_remembered_a_result_closes_its_record_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aerospike_recent, "MAX_KNOWN", 2)
    server = FakeServer()
    async with opened(server) as store:
        intents = [an_intent(n) for n in range(1, 6)]
        await created(store, *intents)
        await store.settle([a_result(one, SUBMITTED, one.transaction_id) for one in intents])
        assert len(still_open(server, intents)) <= 2
        await store.receive([a_receipt(one.transaction_id) for one in intents])
        assert [await states(store, one) for one in intents] == [[DELIVERED]] * 5
    assert still_open(server, intents) == []


async def test_a_life_that_ends_before_a_receipt_has_closed_the_record_is_gone_on_with() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        await store.settle([a_result(intent, SUBMITTED, "a")])
        server.fault = Script(*[GONE] * 9)
    server.fault = Script()
    assert still_open(server, [intent]) == [intent]
    async with opened(server) as store:
        assert (store.counters["intents_marked_unknown"], still_open(server, [intent])) == (0, [])
        await store.receive([a_receipt("a")])
        assert await states(store, intent) == [DELIVERED]


async def test_a_second_life_of_a_record_is_not_taken_for_its_first() -> None:
    server = FakeServer()
    clock = Clock(server)
    async with opened(server, clock=clock) as one, opened(server, instance="two", clock=clock) as two:
        old = await created(one, an_intent())
        clock.advance(RETENTION_S + 1)
        new = await created(two, an_intent(at=clock.now))
        await one.settle([a_result(old, REJECTED)])
        assert await states(two, new) == [SUBMITTING]
        await two.settle([a_result(new, SUBMITTED, "a", at=clock.now)])
        await one.receive([a_receipt("a", at=clock.now)])
        assert await states(two, new) == [DELIVERED]


@pytest.mark.parametrize(("step", "receipt_first"), [(1, True), (1, False), (2, True), (3, True)])
async def test_a_life_that_ends_between_a_result_and_its_key_is_gone_on_with(
    step: int, receipt_first: bool
) -> None:
    server = FakeServer()
    async with opened(server) as store:
        intent = await created(store, an_intent())
        if receipt_first:
            await store.receive([a_receipt("a")])
        server.fault = Script(*[None] * step, *[GONE] * 9)
        with pytest.raises(StoreUnavailableError):
            await store.settle([a_result(intent, SUBMITTED, "a")])
        server.fault = Script()
    async with opened(server) as store:
        assert store.counters["intents_marked_unknown"] == 0
        if not receipt_first:
            await store.receive([a_receipt("a")])
        assert await states(store, intent) == [DELIVERED]
        assert still_open(server, [intent]) == []


async def test_a_key_that_a_newer_message_has_is_not_taken_back_by_a_restart() -> None:
    server = FakeServer()
    async with opened(server) as store:
        old, new = an_intent(1), an_intent(2)
        await created(store, old, new)
        server.fault = Script(None, GONE)
        with pytest.raises(StoreUnavailableError):
            await store.settle([a_result(old, SUBMITTED, "7")])
        server.fault = Script()
    async with opened(server, instance="two") as other:
        await other.settle([a_result(new, SUBMITTED, "7")])
    async with opened(server) as store:
        await store.receive([a_receipt("7")])
        assert (await states(store, old), await states(store, new)) == ([SUBMITTED], [DELIVERED])


async def test_what_is_left_over_after_two_seconds_is_marked_beside_the_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = FakeServer()
    intents = [an_intent(n) for n in range(1, 8)]
    async with opened(server) as store:
        await created(store, *intents)
    monkeypatch.setattr(aerospike_store, "_OPENING_S", 0.0)
    monkeypatch.setattr(aerospike_store, "_AGAIN_S", 0.0)
    monkeypatch.setattr(aerospike_cluster, "_AWAY_S", 0.0)
    monkeypatch.setattr(aerospike_results, "MAX_BATCH", 2)
    server.fault = Script(None, None, GONE, GONE)  # the cluster is away for a moment, in the middle of it
    async with opened(server) as store:
        assert store.counters["intents_marked_unknown"] == 2
        assert store._recovery is not None
        await store._recovery
        assert store.counters["intents_marked_unknown"] == len(intents)
        assert [await states(store, one) for one in intents] == [[UNKNOWN]] * 7


# --- time -------------------------------------------------------------------------------------------------


async def test_a_record_past_its_time_reads_as_not_found_and_may_be_created_anew() -> None:
    server = FakeServer()
    clock = Clock(server)
    async with opened(server, clock=clock) as store:
        old = await created(store, an_intent())
        await store.settle([a_result(old, SUBMITTED, "a")])
        clock.now += RETENTION_S + 1  # the server has not removed it yet, or a restart has brought it back
        assert server.bins_of(MESSAGES, bytearray(old.message_id))
        assert await store.find([old.message_id]) == [None]
        await store.receive([a_receipt("a", at=clock.now)])
        assert store.counters["receipts_parked"] == 1
        assert await store.create([an_intent(at=clock.now), an_intent(2, at=clock.now)]) == [True, True]
        assert await store.create([an_intent(at=clock.now)]) == [False]
        await store.settle([a_result(old, REJECTED)])
        assert await states(store, old) == [SUBMITTING]


async def test_the_cluster_drops_records_by_itself_and_changes_do_not_make_them_live_longer() -> None:
    server = FakeServer()
    clock = Clock(server)
    async with opened(server, clock=clock) as store:
        intent = await created(store, an_intent())
        clock.advance(RETENTION_S / 2)
        await store.settle([a_result(intent, SUBMITTED, "a")])
        await store.receive([a_receipt("a"), a_receipt("nobody's", at=clock.now)])
        clock.advance(PARKING_S + 1)
        assert server.bins_of(KEYS, key_name(ACCOUNT, "nobody's")) is None
        assert server.bins_of(KEYS, key_name(ACCOUNT, "a"))
        clock.advance(RETENTION_S / 2 - PARKING_S)
        assert not [one for one in server.records if server.living(one)]


async def test_a_parked_receipt_that_waited_its_minute_is_not_used_even_if_the_cluster_still_has_it() -> None:
    server = FakeServer()
    clock = Clock(server)
    async with opened(server, clock=clock) as store:
        intent = await created(store, an_intent())
        await store.receive([a_receipt("a", at=NOW)])
        clock.now += PARKING_S + 1
        await store.settle([a_result(intent, SUBMITTED, "a")])
        assert await states(store, intent) == [SUBMITTED]


# --- several instances ------------------------------------------------------------------------------------


async def test_result_and_receipt_meet_over_instances_whichever_comes_second() -> None:
    server = FakeServer()
    async with opened(server) as one, opened(server, instance="two") as two:
        first, second = an_intent(1), an_intent(2)
        await created(one, first, second)
        await one.settle([a_result(first, SUBMITTED, "a")])
        await two.receive([a_receipt("a"), a_receipt("b")])
        await one.settle([a_result(second, SUBMITTED, "b")])
        assert [await states(two, each) for each in (first, second)] == [[DELIVERED]] * 2


async def test_a_receipt_that_finds_no_owner_parks_only_if_there_still_is_none() -> None:
    server = FakeServer()
    async with opened(server) as one, opened(server, instance="two") as two:
        intent = await created(one, an_intent())
        overtaken = a_result(intent, SUBMITTED, "a")
        looks = []

        def claim_meanwhile(kind: str, _record: object) -> None:
            """The result comes between the receipt's look at the key and its parking."""
            if kind == "write" and not looks:
                looks.append(kind)
                one._results.settle([overtaken])

        server.fault = claim_meanwhile
        await two.receive([a_receipt("a")])
        server.fault = Script()
        assert await states(one, intent) == [DELIVERED]
        assert two.counters["receipts_parked"] == 0


async def test_a_retry_of_receipts_after_a_failure_changes_nothing_that_was_stored() -> None:
    server = FakeServer()
    async with opened(server) as store:
        intents = [an_intent(n) for n in (1, 2)]
        await created(store, *intents)
        await store.settle([a_result(one, SUBMITTED, one.transaction_id) for one in intents])
        receipts = [a_receipt(one.transaction_id) for one in intents]
        server.fault = Script(None, TIMEOUT_BEFORE, TIMEOUT_BEFORE)
        with pytest.raises(StoreUnavailableError):
            await store.receive(receipts)
        assert store.counters["receipts_stored"] == 0
        await store.receive(receipts)
        assert [await states(store, one) for one in intents] == [[DELIVERED]] * 2
        assert store.counters["receipts_repeated"] == 1


async def test_a_receipt_of_what_this_instance_claimed_a_moment_ago_is_one_write() -> None:
    server = FakeServer()
    async with opened(server) as store:
        await store.settle([a_result(await created(store, an_intent()), SUBMITTED, "a")])
        server.calls.clear()
        await store.receive([a_receipt("a")])
        assert server.calls == [("write", 1)]


async def test_a_key_that_went_on_to_another_instances_message_is_not_believed_to_be_ours() -> None:
    server = FakeServer()
    async with opened(server) as one, opened(server, instance="two") as two:
        older, newer = await created(one, an_intent(1)), await created(two, an_intent(2))
        await one.settle([a_result(older, SUBMITTED, "a")])
        await two.settle([a_result(newer, SUBMITTED, "a")])
        await one.receive([a_receipt("a")])
        assert (await states(one, older), await states(one, newer)) == ([SUBMITTED], [DELIVERED])
        assert two.counters["smsc_ids_reused"] == 1


_BEFORE_CLAIM = 4
"""The result, two claims that are refused because the key is another's, and the touch of that other."""


@pytest.mark.parametrize("answered", range(_BEFORE_CLAIM + 1))
async def test_a_claim_that_fails_on_the_way_and_lands_later_leaves_no_receipt_to_the_older(
    answered: int,
) -> None:
    server = FakeServer()
    async with opened(server) as one, opened(server, instance="two") as two:
        older, newer = await created(one, an_intent(1)), await created(two, an_intent(2))
        await one.settle([a_result(older, SUBMITTED, "a")])
        server.fault = Script(*[None] * answered, TIMEOUT_LATE, TIMEOUT_LATE)
        with pytest.raises(StoreUnavailableError):
            await two.settle([a_result(newer, SUBMITTED, "a")])
        assert server.land() == 2
        if answered < _BEFORE_CLAIM:
            await two.settle([a_result(newer, SUBMITTED, "a")])
        await one.receive([a_receipt("a")])
        assert (await states(one, older), await states(one, newer)) == ([SUBMITTED], [DELIVERED])


async def test_a_key_that_changes_hands_between_look_and_claim_is_looked_at_again() -> None:
    server = FakeServer()
    async with opened(server) as one, opened(server, instance="two") as two:
        first, second, third = intents = [an_intent(n) for n in (1, 2, 3)]
        await created(one, *intents)
        await one.settle([a_result(first, SUBMITTED, "a")])
        looks = []

        def claim_meanwhile(kind: str, _record: object) -> None:
            if kind == "read" and not looks:
                looks.append(kind)
                one._results.settle([a_result(second, SUBMITTED, "a")])

        server.fault = claim_meanwhile
        await two.settle([a_result(third, SUBMITTED, "a")])
        assert looks
        await one.receive([a_receipt("a")])
        assert [await states(two, each) for each in intents] == [[SUBMITTED], [SUBMITTED], [DELIVERED]]
