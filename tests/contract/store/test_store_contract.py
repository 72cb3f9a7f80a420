"""What every store promises (spec §2.3, §6; promises P2, P3, P5-P7). store_kit.py plugs the stores in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from contract.store.store_kit import (
    ACCOUNT,
    DELIVERED,
    EXPIRED,
    NOT_SENT,
    NOW,
    REJECTED,
    RETENTION_S,
    SUBMITTED,
    SUBMITTING,
    UNDELIVERABLE,
    UNKNOWN,
    a_receipt,
    a_result,
    an_intent,
    created,
    record_of,
    states,
)

from smsproxy.stores.base import Intent, ReceiptMode, Store
from smsproxy.stores.parking import PARKING_MAX, PARKING_S

# --- intents ----------------------------------------------------------------------------------------------


async def test_an_intent_reads_back_as_it_was_given(store: Store) -> None:
    intent = await created(store, an_intent(segments=2))
    record = await record_of(store, intent)
    assert (record.message_id, record.app_id, record.link_id) == (intent.message_id, 7, 100)
    assert (record.transaction_id, record.task_id, record.sent_at) == ("tx-1", 55, NOW)
    assert [(one.state, one.smsc_id, one.updated_at) for one in record.segments] == [
        (SUBMITTING, "", NOW)
    ] * 2
    assert record.receipts_expected
    assert not record.last_receipt_settles_all
    assert record.generation == intent.generation > 0


async def test_a_message_id_is_created_once_over_batches(store: Store) -> None:
    first = await created(store, an_intent())
    again = an_intent(segments=3)
    assert await store.create([again, an_intent(2)]) == [False, True]
    assert (await record_of(store, first)).generation == first.generation
    assert await states(store, first) == [SUBMITTING]


async def test_a_message_id_is_created_once_in_one_batch(store: Store) -> None:
    intents = [an_intent(n) for n in (1, 2, 1, 3, 2)]
    assert await store.create(intents) == [True, True, False, True, False]
    assert store.counters["intents_stored"] == 3


async def test_of_many_creators_at_once_exactly_one_wins(store: Store) -> None:
    answers = await asyncio.gather(*(store.create([an_intent(), an_intent(10 + n)]) for n in range(20)))
    assert sorted(first for first, _ in answers) == [False] * 19 + [True]
    assert all(own for _, own in answers)


async def test_generations_only_rise(store: Store) -> None:
    intents = [an_intent(n, segments=1 + n % 3) for n in range(1, 20)]
    await created(store, *intents)
    generations = [intent.generation for intent in intents]
    assert generations == sorted(set(generations))


async def refused(store: Store, number: int = 1) -> Intent:
    intent = await created(store, an_intent(number, segments=2))
    await store.settle(
        [
            a_result(intent, REJECTED, reason="ESME_RINVDSTADR"),
            a_result(intent, NOT_SENT, segment_no=2, reason="an earlier segment was not taken"),
        ]
    )
    return intent


async def test_a_refused_record_is_taken_over_by_exactly_one_of_many(store: Store) -> None:
    old = await refused(store)
    intents = [an_intent(replaces=old.generation) for _ in range(20)]
    halves = (intents[:10], *([one] for one in intents[10:]))
    answers = [ok for batch in await asyncio.gather(*map(store.create, halves)) for ok in batch]
    assert answers.count(True) == 1
    winner = intents[answers.index(True)]
    assert winner.generation > old.generation
    assert (await record_of(store, winner)).generation == winner.generation
    assert await states(store, winner) == [SUBMITTING]


async def test_a_takeover_names_the_record_it_has_seen(store: Store) -> None:
    old = await refused(store)
    new = await created(store, an_intent(replaces=old.generation))
    assert await store.create([an_intent(replaces=old.generation)]) == [False]
    assert await store.create([an_intent(2, replaces=new.generation)]) == [True]
    assert await states(store, new) == [SUBMITTING]


async def test_a_takeover_of_a_record_that_is_gone_is_a_creation(store: Store) -> None:
    old = await refused(store)
    await store.withdraw([old])
    assert await store.create([an_intent(replaces=old.generation)]) == [True]


async def test_in_a_batch_a_plain_creation_before_a_takeover_finds_the_old_record(store: Store) -> None:
    old = await refused(store)
    batch = [
        an_intent(),
        an_intent(replaces=old.generation),
        an_intent(replaces=old.generation),
        an_intent(5),
    ]
    assert await store.create(batch) == [False, True, False, True]


async def test_results_of_a_record_that_was_taken_over_change_nothing(store: Store) -> None:
    old = await refused(store)
    new = await created(store, an_intent(segments=2, replaces=old.generation))
    await store.settle([a_result(old, SUBMITTED, "late"), a_result(new, SUBMITTED, "x", segment_no=2)])
    assert await states(store, new) == [SUBMITTING, SUBMITTED]
    await store.receive([a_receipt("late")])
    assert await states(store, new) == [SUBMITTING, SUBMITTED]
    assert store.counters["receipts_parked"] == 1


async def test_a_takeover_frees_the_receipt_keys_of_the_old_record(store: Store) -> None:
    old = await created(store, an_intent())
    await store.settle([a_result(old, REJECTED, key="k")])
    new = await created(store, an_intent(replaces=old.generation))
    await store.receive([a_receipt("k")])
    assert store.counters["receipts_parked"] == 1
    await store.settle([a_result(new, SUBMITTED, "k")])
    assert (await states(store, new), store.counters["smsc_ids_reused"]) == ([DELIVERED], 0)


async def test_a_withdrawn_intent_reads_as_never_having_been(store: Store) -> None:
    intents = [an_intent(n, segments=2) for n in (1, 2, 3)]
    await created(store, *intents)
    await store.withdraw(intents[:2])
    assert [one is None for one in await store.find([one.message_id for one in intents])] == [
        True,
        True,
        False,
    ]
    assert await store.create([an_intent(1)]) == [True]
    assert store.counters["intents_withdrawn"] == 2


async def test_withdrawing_what_is_not_there_changes_and_counts_nothing(store: Store) -> None:
    old = await refused(store)
    new = await created(store, an_intent(replaces=old.generation))
    await store.withdraw([old, an_intent(9)])
    assert await states(store, new) == [SUBMITTING]
    assert store.counters["intents_withdrawn"] == 0


async def test_results_of_a_withdrawn_intent_change_nothing_and_bind_no_receipt(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.withdraw([intent])
    await store.settle([a_result(intent, SUBMITTED, "a")])
    await store.receive([a_receipt("a")])
    assert store.counters["results_stored"] == 0
    assert store.counters["receipts_parked"] == 1


async def test_a_result_of_a_withdrawn_intent_takes_no_id_from_a_living_message(store: Store) -> None:
    gone, living = an_intent(1), an_intent(2)
    await created(store, gone, living)
    await store.withdraw([gone])
    await store.settle([a_result(living, SUBMITTED, "7")])
    await store.settle([a_result(gone, SUBMITTED, "7")])
    await store.receive([a_receipt("7")])
    assert (await states(store, living), store.counters["smsc_ids_reused"]) == ([DELIVERED], 0)


# --- results and receipts ---------------------------------------------------------------------------------


async def test_a_receipt_after_the_result_settles_the_segment(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, SUBMITTED, "a1", at=NOW + 3)])
    assert await states(store, intent) == [SUBMITTED]
    await store.receive([a_receipt("a1", UNDELIVERABLE, reason="UNDELIV err:045", at=NOW + 9)])
    (segment,) = (await record_of(store, intent)).segments
    assert (segment.state, segment.smsc_id) == (UNDELIVERABLE, "a1")
    assert (segment.reason, segment.updated_at) == ("UNDELIV err:045", NOW + 9)


async def test_a_receipt_before_the_result_waits_for_it(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.receive([a_receipt("a1", UNDELIVERABLE, reason="UNDELIV err:045", at=NOW + 2)])
    assert await states(store, intent) == [SUBMITTING]
    await store.settle([a_result(intent, SUBMITTED, "a1", at=NOW + 3)])
    (segment,) = (await record_of(store, intent)).segments
    assert (segment.state, segment.smsc_id) == (UNDELIVERABLE, "a1")
    assert (segment.reason, segment.updated_at) == ("UNDELIV err:045", NOW + 2)


async def test_a_parked_receipt_is_used_once(store: Store) -> None:
    first, second = an_intent(1), an_intent(2)
    await created(store, first, second)
    await store.receive([a_receipt("a1")])
    await store.settle([a_result(first, SUBMITTED, "a1")])
    await store.settle([a_result(second, SUBMITTED, "a1")])
    assert (await states(store, first), await states(store, second)) == ([DELIVERED], [SUBMITTED])


async def test_result_and_receipt_at_once_complete_the_message_whichever_comes_second(store: Store) -> None:
    intents = [an_intent(n) for n in range(1, 41)]
    await created(store, *intents)

    async def settle(intent: Intent) -> None:
        await store.settle([a_result(intent, SUBMITTED, f"id-{intent.transaction_id}")])

    async def receive(intent: Intent) -> None:
        await store.receive([a_receipt(f"id-{intent.transaction_id}")])

    halves = [(settle, receive), (receive, settle)]
    await asyncio.gather(*(one(intent) for n, intent in enumerate(intents) for one in halves[n % 2]))
    assert [await states(store, intent) for intent in intents] == [[DELIVERED]] * 40


async def test_a_parked_receipt_is_found_beside_results_out_of_the_ordinary(store: Store) -> None:
    again, early = an_intent(1), an_intent(2)
    await created(store, again, early)
    await store.settle([a_result(again, SUBMITTED, "a")])
    await store.receive([a_receipt("b")])
    await store.settle([a_result(again, SUBMITTED, "a"), a_result(early, SUBMITTED, "b")])
    assert await states(store, early) == [DELIVERED]


async def test_a_refusal_takes_no_receipt(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.receive([a_receipt("a")])
    await store.settle([a_result(intent, REJECTED, key="a")])
    await store.receive([a_receipt("a")])
    assert await states(store, intent) == [REJECTED]


async def test_the_receipt_key_is_what_meets_and_the_smsc_id_is_what_is_shown(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, SUBMITTED, "0x2A", key="42")])
    await store.receive([a_receipt("0x2A"), a_receipt("42", EXPIRED)])
    record = await record_of(store, intent)
    assert (record.status, record.smsc_ids) == (EXPIRED, ("0x2A",))


async def test_a_segment_without_an_smsc_id_takes_no_receipt(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, SUBMITTED)])
    await store.receive([a_receipt("")])
    assert await states(store, intent) == [SUBMITTED]


@pytest.mark.parametrize("final", [DELIVERED, UNDELIVERABLE, EXPIRED, REJECTED])
async def test_a_final_state_sticks_whatever_is_repeated_or_disordered(store: Store, final: object) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, SUBMITTED, "a")])
    await store.receive([a_receipt("a", SUBMITTED, at=NOW + 5), a_receipt("a", final, at=NOW + 6)])
    for state in (SUBMITTED, DELIVERED, UNDELIVERABLE, EXPIRED, REJECTED):
        await store.receive([a_receipt("a", state, reason="later", at=NOW + 7)])
    await store.receive([a_receipt("a", state, at=NOW + 8) for state in (EXPIRED, DELIVERED)])
    (segment,) = (await record_of(store, intent)).segments
    assert (segment.state, segment.reason, segment.updated_at) == (final, "", NOW + 6)
    assert store.counters["receipts_stored"] == 9
    assert store.counters["receipts_repeated"] == 7


async def test_an_intermediate_receipt_moves_only_the_time_and_the_words(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, SUBMITTED, "a")])
    await store.receive([a_receipt("a", SUBMITTED, reason="ENROUTE err:000", at=NOW + 50)])
    (segment,) = (await record_of(store, intent)).segments
    assert (segment.state, segment.reason, segment.updated_at) == (SUBMITTED, "ENROUTE err:000", NOW + 50)
    assert store.counters["receipts_repeated"] == 0


async def test_of_receipts_in_one_batch_the_first_final_one_holds(store: Store) -> None:
    intent, other = an_intent(1), an_intent(2)
    await created(store, intent, other)
    await store.settle([a_result(intent, SUBMITTED, "a"), a_result(other, SUBMITTED, "b")])
    await store.receive(
        [a_receipt("a", SUBMITTED), a_receipt("a", DELIVERED), a_receipt("b"), a_receipt("a", EXPIRED)]
    )
    assert (await states(store, intent), await states(store, other)) == ([DELIVERED], [DELIVERED])
    assert store.counters["receipts_repeated"] == 1


async def test_a_parked_receipt_moves_forward_only(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.receive([a_receipt("a", SUBMITTED), a_receipt("a", EXPIRED), a_receipt("a", SUBMITTED)])
    await store.receive([a_receipt("a", DELIVERED)])
    await store.settle([a_result(intent, SUBMITTED, "a")])
    assert await states(store, intent) == [EXPIRED]
    assert (store.counters["receipts_parked"], store.counters["receipts_repeated"]) == (2, 2)


async def test_an_unknown_segment_is_settled_by_a_late_answer(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, UNKNOWN, reason="no answer in 10 s")])
    assert (await record_of(store, intent)).segments[0].reason == "no answer in 10 s"
    await store.settle([a_result(intent, SUBMITTED, "a", at=NOW + 30)])
    (segment,) = (await record_of(store, intent)).segments
    assert (segment.state, segment.smsc_id, segment.reason) == (SUBMITTED, "a", "")
    await store.receive([a_receipt("a")])
    assert await states(store, intent) == [DELIVERED]


async def test_a_late_answer_meets_the_receipt_that_came_before_it(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, UNKNOWN)])
    await store.receive([a_receipt("a")])
    await store.settle([a_result(intent, SUBMITTED, "a")])
    assert await states(store, intent) == [DELIVERED]


async def test_an_unknown_segment_with_an_id_is_settled_by_its_receipt(store: Store) -> None:
    intents = [an_intent(1), an_intent(2)]
    await created(store, *intents)
    await store.receive([a_receipt("b")])
    await store.settle([a_result(intents[0], UNKNOWN, "a"), a_result(intents[1], UNKNOWN, "b")])
    await store.receive([a_receipt("a")])
    assert [await states(store, one) for one in intents] == [[DELIVERED], [DELIVERED]]


async def test_a_late_answer_after_the_receipt_does_not_move_it_back(store: Store) -> None:
    intent = await created(store, an_intent())
    await store.settle([a_result(intent, UNKNOWN, "a")])
    await store.receive([a_receipt("a")])
    await store.settle([a_result(intent, SUBMITTED, "a")])
    assert await states(store, intent) == [DELIVERED]
    assert store.counters["results_stored"] == 1


async def test_a_result_told_twice_is_applied_once(store: Store) -> None:
    intent = await created(store, an_intent())
    same = a_result(intent, SUBMITTED, "a")
    await store.settle([same, same])
    await store.settle([same, a_result(intent, REJECTED, reason="no")])
    assert await states(store, intent) == [SUBMITTED]
    assert (store.counters["results_stored"], store.counters["smsc_ids_reused"]) == (1, 0)


async def test_an_smsc_id_given_again_belongs_to_the_newest(store: Store) -> None:
    old, new = an_intent(1), an_intent(2)
    await created(store, old, new)
    await store.settle([a_result(old, SUBMITTED, "7")])
    await store.settle([a_result(new, SUBMITTED, "7")])
    await store.receive([a_receipt("7")])
    assert (await states(store, old), await states(store, new)) == ([SUBMITTED], [DELIVERED])
    assert [(await record_of(store, one)).smsc_ids for one in (old, new)] == [("7",), ("7",)]
    assert store.counters["smsc_ids_reused"] == 1


async def test_an_smsc_that_gives_everything_one_id_costs_nothing_but_the_receipts(store: Store) -> None:
    intents = [an_intent(n) for n in range(1, 6)]
    await created(store, *intents)
    await store.settle([a_result(one, SUBMITTED, "0") for one in intents])
    await store.receive([a_receipt("0")])
    assert [await states(store, one) for one in intents] == [[SUBMITTED]] * 4 + [[DELIVERED]]
    assert (store.counters["results_stored"], store.counters["smsc_ids_reused"]) == (5, 4)


async def test_the_old_record_of_a_reused_id_keeps_its_final_state(store: Store) -> None:
    old, new = an_intent(1), an_intent(2)
    await created(store, old, new)
    await store.settle([a_result(old, SUBMITTED, "7")])
    await store.receive([a_receipt("7", UNDELIVERABLE)])
    await store.settle([a_result(new, SUBMITTED, "7")])
    await store.receive([a_receipt("7", DELIVERED)])
    assert (await states(store, old), await states(store, new)) == ([UNDELIVERABLE], [DELIVERED])


async def test_a_late_answer_may_bring_an_id_that_is_in_use(store: Store) -> None:
    old, new = an_intent(1), an_intent(2)
    await created(store, old, new)
    await store.settle([a_result(new, UNKNOWN), a_result(old, SUBMITTED, "7")])
    await store.settle([a_result(new, SUBMITTED, "7")])
    await store.receive([a_receipt("7")])
    assert (await states(store, old), await states(store, new)) == ([SUBMITTED], [DELIVERED])
    assert store.counters["smsc_ids_reused"] == 1


async def test_dropping_the_old_owner_of_an_id_leaves_it_with_the_new(store: Store) -> None:
    old, new = an_intent(1), an_intent(2)
    await created(store, old, new)
    await store.settle([a_result(old, SUBMITTED, "7"), a_result(new, SUBMITTED, "7")])
    await store.withdraw([old])
    await store.receive([a_receipt("7")])
    assert await states(store, new) == [DELIVERED]


async def test_accounts_are_separate(store: Store) -> None:
    here, there = an_intent(1, account="a"), an_intent(2, account="b")
    await created(store, here, there)
    await store.settle([a_result(here, SUBMITTED, "1"), a_result(there, SUBMITTED, "1")])
    await store.receive([a_receipt("1", EXPIRED, account="b"), a_receipt("1", account="c")])
    assert (await states(store, here), await states(store, there)) == ([SUBMITTED], [EXPIRED])
    assert (store.counters["smsc_ids_reused"], store.counters["receipts_parked"]) == (0, 1)


async def test_the_segments_of_a_message_are_settled_each_by_its_own(store: Store) -> None:
    intent = await created(store, an_intent(segments=5))
    await store.settle(
        [
            a_result(intent, SUBMITTED, "s3", segment_no=3),
            a_result(intent, SUBMITTED, "s1"),
            a_result(intent, UNKNOWN, segment_no=2),
            a_result(intent, REJECTED, segment_no=4, reason="ESME_RSUBMITFAIL"),
        ]
    )
    await store.receive([a_receipt("s3")])
    assert await states(store, intent) == [SUBMITTED, UNKNOWN, DELIVERED, REJECTED, SUBMITTING]
    assert (await record_of(store, intent)).smsc_ids == ("s1", "s3")


async def test_the_last_receipt_settles_all_where_the_link_asked_for_that_alone(store: Store) -> None:
    intent = await created(store, an_intent(segments=3, receipts=ReceiptMode.LAST))
    await store.settle([a_result(intent, SUBMITTED, f"s{n}", segment_no=n) for n in (1, 2, 3)])
    assert await states(store, intent) == [SUBMITTED] * 3
    await store.receive([a_receipt("s3", at=NOW + 9)])
    record = await record_of(store, intent)
    assert [(one.state, one.updated_at) for one in record.segments] == [(DELIVERED, NOW + 9)] * 3


async def test_a_refused_last_segment_is_no_receipt_for_the_others(store: Store) -> None:
    intent = await created(store, an_intent(segments=2, receipts=ReceiptMode.LAST))
    await store.settle([a_result(intent, SUBMITTED, "a"), a_result(intent, REJECTED, segment_no=2)])
    assert await states(store, intent) == [SUBMITTED, REJECTED]


async def test_a_message_that_asked_for_no_receipt_says_so(store: Store) -> None:
    intent = await created(store, an_intent(receipts=ReceiptMode.NONE))
    assert not (await record_of(store, intent)).receipts_expected


# --- look-up ----------------------------------------------------------------------------------------------


async def test_find_answers_in_order_with_none_for_what_is_not_there(store: Store) -> None:
    intents = [an_intent(n) for n in range(1, 300)]
    await created(store, *intents)
    asked = [n.to_bytes(16, "big") for n in (5, 900, 1, 299, 901, 7)]
    found = await store.find(asked)
    assert [one and one.transaction_id for one in found] == ["tx-5", None, "tx-1", "tx-299", None, "tx-7"]
    assert len(await store.find([one.message_id for one in intents])) == 299
    assert await store.find([b"", b"\0" * 15]) == [None, None]


async def test_find_answers_each_time_with_a_record_of_its_own(store: Store) -> None:
    intent = await created(store, an_intent())
    first, second = await store.find([intent.message_id] * 2)
    assert first is not None
    assert second is not None
    first.segments[0].state = EXPIRED
    assert second.status is SUBMITTING
    assert await states(store, intent) == [SUBMITTING]


async def test_empty_batches_are_no_work(store: Store) -> None:
    assert await store.create([]) == []
    assert await store.find([]) == []
    await store.settle([])
    await store.withdraw([])
    await store.receive([])
    assert set(store.counters.values()) == {0}


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 1024])
async def test_a_batch_of_any_size_goes_in_whole(store: Store, size: int) -> None:
    intents = [an_intent(n) for n in range(1, size + 1)]
    await created(store, *intents)
    await store.settle([a_result(one, SUBMITTED, one.transaction_id) for one in intents])
    await store.receive([a_receipt(one.transaction_id) for one in reversed(intents)])
    records = await store.find([one.message_id for one in intents])
    assert [one and (one.status, one.smsc_ids) for one in records] == [
        (DELIVERED, (one.transaction_id,)) for one in intents
    ]


# --- parking ----------------------------------------------------------------------------------------------


async def test_a_parked_receipt_lapses_after_a_minute_and_not_before(store: Store) -> None:
    intents = [an_intent(1), an_intent(2)]
    await created(store, *intents)
    await store.receive([a_receipt("early", at=NOW), a_receipt("late", at=NOW + 1)])
    await store.sweep(NOW + PARKING_S)
    assert store.counters["receipts_lapsed"] == 0
    await store.sweep(NOW + PARKING_S + 0.5)
    await store.settle([a_result(intents[0], SUBMITTED, "early"), a_result(intents[1], SUBMITTED, "late")])
    assert [await states(store, one) for one in intents] == [[SUBMITTED], [DELIVERED]]
    assert store.counters["receipts_lapsed"] == 1


async def test_parking_is_bounded_and_the_oldest_makes_room(store: Store) -> None:
    for begin in range(0, PARKING_MAX, 1000):
        await store.receive([a_receipt(f"p{n}", at=NOW) for n in range(begin, begin + 1000)])
    assert store.counters["receipts_parking_overflow"] == 0
    await store.receive([a_receipt("p5", at=NOW)])  # known already: nobody has to leave
    await store.receive([a_receipt("new1"), a_receipt("new2")])
    assert store.counters["receipts_parking_overflow"] == 2
    keys = ("p0", "p1", "p2", "p5", "new1", "new2")
    intents = [an_intent(n) for n in range(1, 7)]
    await created(store, *intents)
    await store.settle([a_result(one, SUBMITTED, key) for one, key in zip(intents, keys, strict=True)])
    assert [(await states(store, one))[0] for one in intents] == [SUBMITTED] * 2 + [DELIVERED] * 4
    await store.sweep(NOW + PARKING_S + 10)
    assert store.counters["receipts_lapsed"] == PARKING_MAX - 4


# --- retention --------------------------------------------------------------------------------------------


async def sweep_all(store: Store, now: float) -> list[int]:
    steps = []
    while swept := await store.sweep(now):
        steps.append(swept)
    return steps


async def test_retention_drops_what_is_old_in_bounded_steps(store: Store) -> None:
    old = [an_intent(n, segments=2, at=NOW) for n in range(1, 1201)]
    young = [an_intent(n, at=NOW + 500) for n in range(2001, 2011)]
    for batch in (old[:700], old[700:], young):
        await created(store, *batch)
    await store.settle([a_result(one, SUBMITTED, one.transaction_id) for one in old + young])
    assert await sweep_all(store, NOW + RETENTION_S) == []
    steps = await sweep_all(store, NOW + RETENTION_S + 1)
    assert sum(steps) == 1200
    assert max(steps) <= 500
    assert store.counters["messages_swept"] == 1200
    assert await gone(store, [*old[::100], *young]) == [True] * 12 + [False] * 10
    await store.receive([a_receipt("tx-1"), a_receipt("tx-2001")])
    assert store.counters["receipts_parked"] == 1
    assert await states(store, young[0]) == [DELIVERED]
    assert await store.create([an_intent(1)]) == [True]


async def gone(store: Store, intents: Sequence[Intent]) -> list[bool]:
    return [record is None for record in await store.find([one.message_id for one in intents])]


async def test_retention_counts_from_the_takeover(store: Store) -> None:
    old = await refused(store)
    await created(store, an_intent(2, at=NOW + 100))
    new = await created(store, an_intent(at=NOW + 500, replaces=old.generation))
    await sweep_all(store, NOW + RETENTION_S + 200)
    assert await gone(store, [new, an_intent(2)]) == [False, True]


async def test_retention_keeps_what_is_not_old_whatever_the_clock_did_between(store: Store) -> None:
    intents = [an_intent(n, at=at) for n, at in enumerate((NOW + 500, NOW, NOW + 500, NOW), 1)]
    await created(store, *intents)
    await store.settle([a_result(one, SUBMITTED, one.transaction_id) for one in intents])
    assert await sweep_all(store, NOW + RETENTION_S + 1) == [2]
    assert await gone(store, intents) == [False, True, False, True]
    assert await states(store, intents[2]) == [SUBMITTED]


async def test_results_of_a_swept_message_change_nothing(store: Store) -> None:
    intent = await created(store, an_intent())
    assert await sweep_all(store, NOW + RETENTION_S + 1) == [1]
    await store.settle([a_result(intent, SUBMITTED, "a")])
    assert store.counters["results_stored"] == 0
    assert await gone(store, [intent]) == [True]


# --- counters ---------------------------------------------------------------------------------------------


async def test_every_counter_counts_what_it_is_named_after(store: Store) -> None:
    intents = [an_intent(n) for n in range(1, 5)]
    await created(store, *intents)
    await store.create([an_intent(1)])
    await store.withdraw([intents[3]])
    await store.receive([a_receipt("early"), a_receipt("never")])
    await store.settle([a_result(intents[0], SUBMITTED, "early"), a_result(intents[1], SUBMITTED, "x")])
    await store.settle([a_result(intents[2], SUBMITTED, "x")])
    await store.receive([a_receipt("x"), a_receipt("early", account=ACCOUNT)])
    await store.sweep(NOW + PARKING_S + 10)
    await store.sweep(NOW + RETENTION_S + 10)
    assert store.counters == {
        "intents_stored": 4,
        "intents_withdrawn": 1,
        "intents_marked_unknown": 0,
        "results_stored": 3,
        "receipts_stored": 4,
        "receipts_repeated": 1,
        "receipts_parked": 2,
        "receipts_lapsed": 1,
        "receipts_parking_overflow": 0,
        "smsc_ids_reused": 1,
        "messages_swept": 3,
    }
