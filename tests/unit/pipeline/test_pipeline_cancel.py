"""The caller leaves: withdrawn when nothing was sent, else recorded without it (reliability rows 15, 30)."""

from __future__ import annotations

import asyncio

import pytest
from fake_time import in_fake_time
from pipeline_bench import LONG, Bench, slow

from smsproxy.domain.outcome import Refused
from smsproxy.pipeline.ports import Lane
from smsproxy.policy.base import Verdict


@in_fake_time
async def test_cancelled_while_it_waits_for_a_slot_frees_its_place_at_once() -> None:
    bench = Bench(window=1)
    bench.send()
    leaves = bench.send(lane=Lane.UNARY, strategy="")
    assert leaves.cancel()
    assert not bench.link.queue
    assert leaves.job.timer is None
    await asyncio.sleep(5)
    await bench.answer_all()
    assert len(bench.link.written) == 1
    bench.assert_at_rest()


@in_fake_time
async def test_cancelled_while_the_policy_is_asked_is_not_counted_and_not_written() -> None:
    bench = Bench()
    bench.policy.hook = slow(1.0, "reserve")
    leaves = bench.send(strategy="cp1", transaction_id="t")
    await asyncio.sleep(0.5)
    assert leaves.cancel()
    await asyncio.sleep(1)
    assert bench.policy.counted == set()
    assert bench.link.written == []
    bench.assert_at_rest()


@in_fake_time
async def test_cancelled_while_the_policy_refuses_it_says_nothing() -> None:
    bench = Bench()
    bench.policy.verdicts["cp1"] = Verdict.BLACKLIST
    leaves = bench.send(strategy="cp1")
    assert leaves.cancel()
    await bench.settle()
    bench.assert_at_rest()


@in_fake_time
async def test_cancelled_while_the_look_up_is_out_is_not_written() -> None:
    bench = Bench()
    bench.store.hook = slow(1.0, "find")
    leaves = bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    assert leaves.cancel()
    await asyncio.sleep(1.5)
    assert bench.policy.calls == []
    assert bench.link.written == []
    bench.assert_at_rest()


@in_fake_time
async def test_cancelled_while_it_waits_with_a_reservation_gives_the_count_back() -> None:
    bench = Bench(window=1)
    bench.send()
    leaves = bench.send(strategy="cp1")
    await bench.settle()
    assert bench.policy.counted
    assert leaves.cancel()
    assert leaves.cancel(), "once withdrawn, always withdrawn"
    await bench.answer_all()
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@pytest.mark.parametrize("call", ["create", "settle"])
@in_fake_time
async def test_cancelled_once_octets_may_leave_goes_on_is_recorded_and_answered(call: str) -> None:
    bench = Bench()
    bench.store.hook = slow(1.0, call)
    stays = bench.send(LONG, strategy="cp1", transaction_id="t")
    await bench.settle()
    assert not stays.cancel()
    await asyncio.sleep(1.5)
    await bench.answer_all()
    assert not stays.cancel()
    await asyncio.sleep(1.5)
    assert not stays.cancel()
    assert stays.status == "submitted"
    assert await bench.store.record(stays.job.message_id) is not None
    bench.assert_at_rest()


@in_fake_time
async def test_cancelled_while_its_refusal_waits_for_the_policy_still_gets_its_reply() -> None:
    bench = Bench()
    bench.policy.hook = slow(1.0, "release")
    sent = bench.send(strategy="cp1")
    await bench.answer_all(Refused(0x0B, "ESME_RINVDSTADR 0x0000000B"))
    assert not sent.replies
    assert not sent.cancel()
    await asyncio.sleep(1.5)
    assert sent.status == "rejected"
    bench.assert_at_rest()


@in_fake_time
async def test_when_the_first_of_equal_requests_leaves_the_next_takes_its_place() -> None:
    bench = Bench()
    bench.policy.hook = slow(1.0, "reserve", "release")
    first = bench.send(transaction_id="t", strategy="cp1")
    others = [bench.send(transaction_id="t", strategy="cp1") for _ in range(3)]
    await asyncio.sleep(0.5)
    assert first.cancel()
    await asyncio.sleep(4)
    await bench.answer_all()
    assert [sent.status for sent in others] == ["submitted"] * 3
    assert [sent.answer.repeated for sent in others] == [False, True, True]
    assert len(bench.link.written) == 1
    assert bench.policy.counted == {first.job.message_id}
    bench.assert_at_rest()


@in_fake_time
async def test_when_a_follower_leaves_the_first_goes_on_and_the_others_get_its_end() -> None:
    bench = Bench()
    first, leaves, last = (bench.send(transaction_id="t") for _ in range(3))
    await bench.settle()
    assert leaves.cancel()
    await bench.answer_all()
    assert (first.status, last.status) == ("submitted", "submitted")
    assert bench.pipeline.counters["withdrawn"] == 1
    bench.assert_at_rest()


@in_fake_time
async def test_when_all_of_equal_requests_leave_nothing_is_held_and_the_next_is_sent() -> None:
    bench = Bench(window=1)
    bench.send()
    equal = [bench.send(transaction_id="t") for _ in range(4)]
    await bench.settle()
    assert all(sent.cancel() for sent in equal)
    await bench.answer_all()
    bench.assert_at_rest()
    again = bench.send(transaction_id="t")
    await bench.answer_all()
    assert (again.status, again.answer.repeated) == ("submitted", False)


@in_fake_time
async def test_a_withdrawn_repeat_of_a_sent_message_leaves_its_count_alone() -> None:
    bench = Bench()
    bench.send(transaction_id="t", strategy="cp1")
    await bench.answer_all()
    bench.store.hook = slow(1.0, "find")
    leaves = bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    assert leaves.cancel()
    await asyncio.sleep(1.5)
    assert bench.policy.counted == {leaves.job.message_id}
    bench.assert_at_rest()
