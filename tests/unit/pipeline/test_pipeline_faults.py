"""The record store fails: nothing is sent without an intent, nothing is accepted without a record (P3)."""

from __future__ import annotations

import asyncio

import pytest
from fake_time import in_fake_time
from pipeline_bench import LINK, LONG, OTHER, POOL, Bench, FaultyStore, at_once, failing, slow

from smsproxy.domain.outcome import Accepted, InDoubt, NotSent, Refused
from smsproxy.domain.record import SegmentState
from smsproxy.pipeline.ports import Lane

REFUSED = Refused(0x0B, "ESME_RINVDSTADR 0x0000000B")


async def states(bench: Bench, message_id: bytes) -> list[str]:
    record = await bench.store.record(message_id)
    return [] if record is None else [segment.state.name for segment in record.segments]


@in_fake_time
async def test_an_intent_that_cannot_be_stored_is_not_sent_and_gives_everything_back() -> None:
    bench = Bench(window=1)
    bench.store.hook = failing("create")
    sent = [bench.send(text, strategy="cp1") for text in ("a", LONG, "b")]
    await bench.settle()
    assert [one.status for one in sent] == ["unavailable"] * 3
    assert {one.answer.error for one in sent} == {"the record store is not available"}
    assert {one.answer.message_id for one in sent} == {""}
    assert bench.link.written == []
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_an_outage_of_the_store_is_two_lines_in_the_log_however_many_messages_it_meets() -> None:
    bench = Bench(window=1)
    bench.store.hook = failing("create")
    for _ in range(100):
        bench.send()
    await bench.settle()
    bench.store.hook = at_once
    bench.send()
    await bench.answer_all()
    assert [(line["level"], line["event"], line["call"]) for line in bench.lines] == [
        ("error", "call_fails", "store_create"),
        ("info", "call_works_again", "store_create"),
    ]
    bench.assert_at_rest()


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        ("find", "unavailable"),
        ("reserve", "unavailable"),
        ("create", "unavailable"),
        ("settle", "unknown"),
        ("withdraw", "unavailable"),
        ("release", "rejected"),
    ],
)
@in_fake_time
async def test_a_fault_nobody_foresaw_leaves_no_caller_without_an_end(broken: str, status: str) -> None:
    async def hook(call: str) -> None:
        await asyncio.sleep(0.1)
        if call == broken:
            raise ZeroDivisionError(call)

    bench = Bench()
    bench.store.hook = bench.policy.hook = hook
    sent = bench.send(transaction_id="t", strategy="cp1")
    await asyncio.sleep(0.25)
    if broken == "withdraw":
        bench.link.lose(NotSent("while the intent is stored"))
    await asyncio.sleep(0.25)
    bench.link.answer(REFUSED if broken == "release" else None)
    await asyncio.sleep(1)
    assert sent.status == status
    assert [line["reason"] for line in bench.lines if line["event"] == "call_fails"] == ["unexpected"]
    bench.store.hook = bench.policy.hook = at_once
    await asyncio.sleep(1)
    bench.assert_at_rest()


@in_fake_time
async def test_a_result_that_cannot_be_stored_is_told_as_unknown_and_stored_later() -> None:
    bench = Bench()
    sent = bench.send(strategy="cp1", transaction_id="t")
    await bench.settle()
    bench.store.hook = failing("settle")
    await bench.answer_all()
    assert sent.status == "unknown"
    assert sent.answer.error == "the SMSC answered, its answer is not stored yet"
    assert sent.answer.message_id == sent.job.shown_id
    assert bench.policy.counted == {sent.job.message_id}
    assert not bench.pipeline.idle, "a drain waits for it"
    await asyncio.sleep(60)
    assert await states(bench, sent.job.message_id) == ["SUBMITTING"]
    bench.store.hook = at_once
    await asyncio.sleep(0.3)
    assert await states(bench, sent.job.message_id) == ["SUBMITTED"]
    assert bench.pipeline.counters["results_delayed"] == 1
    bench.assert_at_rest()


@in_fake_time
async def test_one_result_of_several_that_is_not_stored_is_enough_for_unknown() -> None:
    bench = Bench()
    sent = bench.send(LONG)
    await bench.settle()
    bench.store.hook = failing("settle")
    bench.link.answer(count=1)
    await bench.settle()
    assert not sent.replies
    bench.store.hook = at_once
    await bench.answer_all()
    assert sent.status == "unknown"
    await asyncio.sleep(1)
    assert await states(bench, sent.job.message_id) == ["SUBMITTED"] * 3
    bench.assert_at_rest()


@in_fake_time
async def test_nobody_is_answered_before_the_result_is_stored() -> None:
    bench = Bench()
    sent = bench.send()
    await bench.settle()
    bench.store.hook = slow(1.0, "settle")
    bench.link.answer()
    await asyncio.sleep(0.9)
    assert not sent.replies
    await asyncio.sleep(0.2)
    assert sent.status == "submitted"
    assert [result.smsc_id for result in bench.store.settled] == list(sent.answer.smsc_ids)


@in_fake_time
async def test_nothing_is_written_before_its_intent_is_stored() -> None:
    bench = Bench()
    bench.store.hook = slow(1.0, "create")
    bench.send()
    await asyncio.sleep(0.9)
    assert bench.link.written == []
    await asyncio.sleep(0.2)
    assert len(bench.link.written) == 1


@in_fake_time
async def test_what_arrives_while_a_commit_is_in_flight_shares_the_next_one() -> None:
    bench = Bench(window=1000)
    bench.store.hook = slow(1.0, "create")
    bench.send()
    await asyncio.sleep(0.5)
    for _ in range(500):
        bench.send()
    await asyncio.sleep(1.6)
    assert bench.store.calls == ["create", "create"]
    assert len(bench.link.written) == 501


@in_fake_time
async def test_an_intent_that_cannot_be_withdrawn_is_not_sent_another_way_and_goes_later() -> None:
    bench = Bench(links=2)
    bench.store.hook = slow(1.0, "create")
    sent = bench.send(route_id=POOL, strategy="cp1")
    await bench.settle()
    bench.links[0].lose(NotSent("nothing was written"))
    bench.store.hook = failing("withdraw")
    await asyncio.sleep(1.1)
    assert sent.status == "unavailable"
    assert await states(bench, sent.job.message_id) == ["SUBMITTING"]
    bench.store.hook = at_once
    await asyncio.sleep(0.5)
    assert await states(bench, sent.job.message_id) == []
    assert bench.links[1].written == []
    assert bench.policy.counted == set()
    assert bench.pipeline.counters["withdrawals_delayed"] == 1
    bench.assert_at_rest()


@in_fake_time
async def test_a_refusal_ends_the_segments_that_are_not_written_yet() -> None:
    bench = Bench(window=1)
    sent = bench.send(LONG, strategy="cp1")
    await bench.settle()
    bench.link.answer(Accepted("a"))
    await bench.settle()
    bench.link.answer(REFUSED)
    await bench.answer_all()
    assert (sent.status, sent.answer.smsc_ids) == ("rejected", ("a",))
    assert sent.answer.error == "segment 2: ESME_RINVDSTADR 0x0000000B"
    assert await states(bench, sent.job.message_id) == ["SUBMITTED", "REJECTED", "NOT_SENT"]
    assert [number for _, number in bench.link.written] == [1, 2]
    bench.assert_at_rest()


@in_fake_time
async def test_segments_already_on_the_wire_are_waited_for_after_a_refusal() -> None:
    bench = Bench(window=2)
    sent = bench.send(LONG)
    await bench.settle()
    bench.link.answer(REFUSED, count=1)
    await bench.settle()
    assert not sent.replies
    bench.link.answer(InDoubt("no answer from the SMSC in time"))
    await bench.settle()
    assert (sent.status, sent.answer.error) == ("unknown", "segment 2: no answer from the SMSC in time")
    assert await states(bench, sent.job.message_id) == ["REJECTED", "UNKNOWN", "NOT_SENT"]
    bench.assert_at_rest()


@in_fake_time
async def test_a_segment_in_doubt_does_not_stop_the_rest() -> None:
    bench = Bench(window=1)
    sent = bench.send(LONG)
    await bench.settle()
    bench.link.answer(InDoubt("no answer from the SMSC in time"))
    await bench.answer_all()
    assert sent.status == "unknown"
    assert await states(bench, sent.job.message_id) == ["UNKNOWN", "SUBMITTED", "SUBMITTED"]
    bench.assert_at_rest()


@in_fake_time
async def test_a_late_answer_settles_the_record_of_a_message_that_ended_in_doubt() -> None:
    bench = Bench()
    sent = bench.send()
    await bench.answer_all(InDoubt("no answer from the SMSC in time"))
    assert sent.status == "unknown"
    bench.pipeline.answered_late([(sent.job, 1, Accepted("late"))])
    await bench.settle()
    assert await states(bench, sent.job.message_id) == ["SUBMITTED"]
    bench.assert_at_rest()


@in_fake_time
async def test_a_late_answer_to_one_segment_does_not_end_a_message_whose_others_are_out() -> None:
    bench = Bench()
    sent = bench.send(LONG)
    await bench.settle()
    bench.link.answer(InDoubt("no answer from the SMSC in time"), count=1)
    await bench.settle()
    bench.pipeline.answered_late([(sent.job, 1, Accepted("late"))])
    await bench.settle()
    assert not sent.replies
    bench.link.answer(Accepted("b"), count=1)
    await bench.settle()
    assert not sent.replies
    await bench.answer_all()
    assert sent.status == "unknown"
    assert await states(bench, sent.job.message_id) == ["SUBMITTED"] * 3
    bench.assert_at_rest()


@in_fake_time
async def test_the_record_of_a_refused_message_keeps_the_words_of_the_smsc() -> None:
    bench = Bench()
    sent = bench.send(strategy="cp1")
    await bench.answer_all(REFUSED)
    assert (sent.status, sent.answer.error) == ("rejected", "segment 1: ESME_RINVDSTADR 0x0000000B")
    assert sent.answer.message_id
    record = await bench.store.record(sent.job.message_id)
    assert record is not None
    assert (record.segments[0].state, record.segments[0].reason) == (SegmentState.REJECTED, "ESME_RINVDSTADR")
    assert bench.policy.counted == set(), "given back: no handset has it"


@in_fake_time
async def test_waiters_of_a_link_are_not_left_behind_when_the_store_is_away() -> None:
    bench = Bench(window=1)
    bench.store.hook = failing("create")
    sent = [bench.send(lane=Lane.STREAM) for _ in range(50)]
    await bench.settle()
    for _ in range(10):
        await bench.settle()
    assert {one.status for one in sent} == {"unavailable"}
    bench.assert_at_rest()


@in_fake_time
async def test_two_records_under_one_generated_id_are_not_both_sent() -> None:
    bench = Bench()

    class Full(FaultyStore):
        async def create(self, intents: object) -> list[bool]:
            return [False]

    bench = Bench(store=Full())
    sent = bench.send()
    await bench.settle()
    assert (sent.status, sent.answer.error) == ("unavailable", "message_id collision")
    bench.assert_at_rest()


@in_fake_time
async def test_intents_carry_what_a_receipt_and_a_repeat_need() -> None:
    bench = Bench(links=2, account="shared", registered_delivery="last")
    sent = bench.send(LONG, route_id=OTHER, transaction_id="t", task_id=9, sent_at=5)
    await bench.settle()
    intent = bench.store.intents[sent.job.message_id]
    assert (intent.account, intent.link_id, intent.segments) == ("shared", OTHER, 3)
    assert (intent.receipts.name, intent.transaction_id, intent.task_id) == ("LAST", "t", 9)
    assert (intent.client_sent_at, intent.app_id, LINK) == (5, 1, 100)
