"""Receipts: stored, then answered ok; sent back when the store cannot take them in five seconds (P5)."""

from __future__ import annotations

import asyncio

import pytest
from fake_time import in_fake_time
from pipeline_bench import AnswerBox, Bench, at_once, failing, slow

from smsproxy.domain.record import SegmentState
from smsproxy.pipeline import receiver

DELIVERED = SegmentState.DELIVERED


@in_fake_time
async def test_a_receipt_is_answered_ok_only_once_it_is_stored() -> None:
    bench, box = Bench(), AnswerBox()
    bench.store.hook = slow(1.0, "receive")
    bench.pipeline.received([box.delivery("a", DELIVERED)])
    await asyncio.sleep(0.9)
    assert box.answers == []
    assert not bench.pipeline.idle
    await asyncio.sleep(0.2)
    assert box.answers == [("a", True)]
    bench.assert_at_rest()


@in_fake_time
async def test_a_receipt_meets_its_message_whichever_comes_first() -> None:
    bench, box = Bench(), AnswerBox()
    first, second = bench.send(), bench.send()
    await bench.settle()
    bench.pipeline.received([box.delivery("100-1", DELIVERED)])
    await bench.answer_all()
    bench.pipeline.received([box.delivery("100-2", DELIVERED)])
    await bench.settle()
    for sent in (first, second):
        record = await bench.store.record(sent.job.message_id)
        assert record is not None
        assert record.status is DELIVERED
    assert box.answers == [("100-1", True), ("100-2", True)]


@in_fake_time
async def test_receipts_that_come_together_are_stored_in_one_go() -> None:
    bench, box = Bench(), AnswerBox()
    bench.pipeline.received([box.delivery(str(n), DELIVERED) for n in range(100)])
    bench.pipeline.received([box.delivery(str(n), DELIVERED) for n in range(100, 200)])
    await bench.settle()
    assert bench.store.calls == ["receive"]
    assert len(box.answers) == 200


@in_fake_time
async def test_a_store_that_is_back_within_five_seconds_loses_no_receipt() -> None:
    bench, box = Bench(), AnswerBox()
    bench.store.hook = failing("receive")
    bench.pipeline.received([box.delivery("a", DELIVERED)])
    await asyncio.sleep(4)
    assert box.answers == []
    bench.store.hook = at_once
    await asyncio.sleep(0.3)
    assert box.answers == [("a", True)]


@in_fake_time
async def test_no_receipt_is_held_for_more_than_five_seconds_not_even_behind_others() -> None:
    bench, box = Bench(), AnswerBox()
    bench.store.hook = failing("receive")
    for number in range(40):
        bench.pipeline.received([box.delivery(str(number), DELIVERED)])
        await asyncio.sleep(0.25)
        overdue = {str(n) for n in range(number - 19)}  # those that came more than 5 s ago
        assert overdue <= {key for key, _ in box.answers}
    await asyncio.sleep(5)
    assert box.answers == [(str(number), False) for number in range(40)]
    assert bench.pipeline.counters["receipts_sent_back"] == 40
    bench.assert_at_rest()


@in_fake_time
async def test_a_store_that_does_not_answer_holds_no_receipt_for_more_than_five_seconds() -> None:
    bench, box = Bench(), AnswerBox()
    bench.store.hook = slow(60.0, "receive")
    bench.pipeline.received([box.delivery("a", DELIVERED)])
    await asyncio.sleep(0.1)
    bench.pipeline.received([box.delivery("b", DELIVERED)])
    await asyncio.sleep(5.0)
    assert box.answers == [("a", False)]
    bench.store.hook = at_once
    await asyncio.sleep(0.3)
    assert box.answers[1:] in ([("b", True)], [("b", False)])
    bench.assert_at_rest()


@in_fake_time
async def test_too_many_waiting_receipts_are_sent_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "_WAITING_MAX", 2)
    bench, box = Bench(), AnswerBox()
    bench.pipeline.received([box.delivery(key, DELIVERED) for key in "abc"])
    assert box.answers == [("c", False)]
    await bench.settle()
    assert box.answers[1:] == [("a", True), ("b", True)]
