"""Route and wait: which link, how long for a place there, and what happens when it goes (spec §4)."""

from __future__ import annotations

import asyncio

import pytest
from fake_time import in_fake_time
from pipeline_bench import LINK, LONG, OTHER, POOL, Bench, FaultyStore, at_once, slow

from smsproxy.domain.address import Address
from smsproxy.domain.outcome import InDoubt, NotSent
from smsproxy.pipeline.ports import Lane
from smsproxy.text.segmentation import TextOptions


def in_s(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


@in_fake_time
async def test_without_a_bound_link_nothing_is_sent() -> None:
    bench = Bench(links=2)
    for link in bench.links:
        link.bound = False
    sent = bench.send(route_id=POOL)
    assert (sent.status, sent.answer.error) == ("unavailable", "no bound link")
    assert bench.store.calls == []


@in_fake_time
async def test_the_answer_names_the_link_that_a_pool_used() -> None:
    bench = Bench(links=2)
    bench.links[0].bound = False
    sent = bench.send(route_id=POOL)
    await bench.answer_all()
    assert (sent.answer.route_id, sent.answer.smsc_ids) == (OTHER, ("101-1",))


@in_fake_time
async def test_a_unary_call_that_would_wait_too_long_for_a_token_is_refused_at_once() -> None:
    bench = Bench()
    bench.link.wait_s = 1.5
    refused = bench.send(lane=Lane.UNARY)
    assert (refused.status, refused.answer.retry_after_ms) == ("rate_limited", 1501)
    bench.link.wait_s = 1.0
    taken = bench.send(lane=Lane.UNARY)
    await bench.answer_all()
    assert taken.status == "submitted"


@in_fake_time
async def test_a_unary_call_waits_for_a_slot_at_most_max_wait_ms() -> None:
    bench = Bench(window=1, max_wait_ms=800)
    bench.send()
    waiting = bench.send(lane=Lane.UNARY)
    await asyncio.sleep(0.79)
    assert not waiting.replies
    await asyncio.sleep(0.02)
    assert (waiting.status, waiting.answer.retry_after_ms) == ("rate_limited", 800)
    await bench.answer_all()
    bench.assert_at_rest()


@in_fake_time
async def test_a_stream_waits_for_a_slot_as_long_as_it_takes() -> None:
    bench = Bench(window=1)
    bench.send()
    waiting = bench.send(lane=Lane.STREAM)
    await asyncio.sleep(3600)
    assert not waiting.replies
    await bench.answer_all()
    assert waiting.status == "submitted"
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_that_waits_past_its_deadline_is_expired_and_never_written() -> None:
    bench = Bench(window=1)
    bench.send()
    stream = bench.send(lane=Lane.STREAM, deadline=in_s(10))
    unary = bench.send(lane=Lane.UNARY, deadline=in_s(0.5))
    await asyncio.sleep(0.6)
    assert unary.status == "expired"
    await asyncio.sleep(10)
    assert stream.status == "expired"
    await bench.answer_all()
    assert len(bench.link.written) == 1
    bench.assert_at_rest()


@in_fake_time
async def test_a_pause_of_the_link_does_not_count_as_waiting() -> None:
    bench = Bench(window=1, max_wait_ms=1000)
    bench.send()
    bench.link.pause(5.0)
    waiting = bench.send(lane=Lane.UNARY)
    overdue = bench.send(lane=Lane.UNARY, deadline=in_s(2))
    await asyncio.sleep(5.9)
    assert not waiting.replies
    assert overdue.status == "expired", "but the deadline does"
    await asyncio.sleep(0.2)
    assert waiting.status == "rate_limited"


@in_fake_time
async def test_a_unary_call_is_sent_when_the_pause_is_over() -> None:
    bench = Bench(max_wait_ms=1000)
    bench.link.pause(5.0)
    waiting = bench.send(lane=Lane.UNARY)
    await asyncio.sleep(5.1)
    assert waiting.job.timer is None, "it waits no longer"
    await bench.answer_all()
    assert waiting.status == "submitted"


@in_fake_time
async def test_a_pause_that_begins_while_a_unary_call_waits_prolongs_its_wait() -> None:
    bench = Bench(window=1, max_wait_ms=1000)
    bench.send()
    waiting = bench.send(lane=Lane.UNARY)
    bench.link.pause(3.0)
    await asyncio.sleep(3.9)
    assert not waiting.replies
    await asyncio.sleep(0.2)
    assert waiting.status == "rate_limited"


@in_fake_time
async def test_a_unary_call_that_is_abandoned_by_a_link_waits_no_longer_in_all() -> None:
    bench = Bench(links=2, window=1, max_wait_ms=1000)
    for link in bench.links:
        bench.send(route_id=link.link_id)
    waiting = bench.send(route_id=POOL, lane=Lane.UNARY)
    timer = waiting.job.timer
    await asyncio.sleep(0.9)
    bench.links[0].lose(InDoubt("connection lost before the answer"))
    assert waiting.job.link is bench.links[1]
    assert waiting.job.timer is timer
    await asyncio.sleep(0.2)
    assert waiting.status == "rate_limited"
    await bench.answer_all()
    bench.assert_at_rest()


@in_fake_time
async def test_a_full_waiting_room_is_rate_limited() -> None:
    bench = Bench()
    bench.link.max_waiting = 0
    sent = bench.send()
    assert sent.status == "rate_limited"
    assert sent.answer.retry_after_ms > 0
    bench.assert_at_rest()


@in_fake_time
@pytest.mark.parametrize(("wait_s", "max_waiting", "after_ms"), [(1.5, 10, 1501), (0.0, 0, 1000)])
async def test_what_is_refused_in_a_pause_is_told_to_come_back_after_it(
    wait_s: float, max_waiting: int, after_ms: int
) -> None:
    bench = Bench()
    bench.link.pause(20.0)
    bench.link.wait_s, bench.link.max_waiting = wait_s, max_waiting
    refused = bench.send(lane=Lane.UNARY)
    assert (refused.status, refused.answer.retry_after_ms) == ("rate_limited", 20_000 + after_ms)


@in_fake_time
async def test_a_link_that_is_unbound_between_choice_and_offer_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.routes, "pick", lambda route_id: bench.link)
    bench.link.bound = False
    assert bench.send().status == "unavailable"


@in_fake_time
async def test_a_deadline_that_passes_before_the_place_is_granted_gives_the_place_to_the_next() -> None:
    bench = Bench(window=1)
    first = bench.send(strategy="cp1", deadline=in_s(1))
    bench.policy.hook = slow(2.0, "reserve")
    await asyncio.sleep(3)
    second = bench.send()
    await bench.answer_all()
    assert first.status == "expired"
    assert second.status == "submitted"
    assert bench.policy.counted == set()
    assert first.job.timer is None
    bench.assert_at_rest()


@in_fake_time
async def test_a_deadline_that_passes_while_the_intent_is_stored_leaves_no_intent_and_no_segment() -> None:
    bench = Bench()
    bench.store.hook = slow(2.0, "create")
    sent = bench.send(LONG, deadline=in_s(1), strategy="cp1")
    await asyncio.sleep(3)
    await bench.settle()
    assert (sent.status, sent.answer.message_id) == ("expired", "")
    assert bench.link.written == []
    assert await bench.store.record(sent.job.message_id) is None
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_who_waits_on_a_link_that_goes_down_is_sent_by_another_member_of_the_pool() -> None:
    bench = Bench(links=2, window=1)
    bench.links[1].bound = False
    written = bench.send(route_id=POOL)
    waiting = [bench.send(route_id=POOL, lane=lane) for lane in (Lane.STREAM, Lane.UNARY)]
    await bench.settle()
    bench.links[1].bind()
    bench.links[0].lose(InDoubt("connection lost before the answer"))
    await bench.answer_all()
    assert written.status == "unknown"
    assert [sent.status for sent in waiting] == ["submitted"] * 2
    assert {sent.answer.route_id for sent in waiting} == {OTHER}
    bench.assert_at_rest()


@in_fake_time
async def test_who_waits_on_the_only_link_that_goes_down_was_not_sent() -> None:
    bench = Bench(window=1)
    bench.send()
    waiting = bench.send(strategy="cp1")
    await bench.settle()
    bench.link.lose(InDoubt("connection lost before the answer"))
    await bench.settle()
    assert waiting.status == "unavailable"
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_a_link_lost_between_intent_and_write_reroutes_and_leaves_one_intent() -> None:
    bench = Bench(links=2)
    bench.store.hook = slow(1.0, "create")
    sent = bench.send(route_id=POOL, transaction_id="t", strategy="cp1")
    await bench.settle()
    bench.links[0].lose(NotSent("nothing was written"))
    bench.store.hook = at_once
    await asyncio.sleep(1.1)
    await bench.answer_all()
    assert (sent.status, sent.answer.route_id) == ("submitted", OTHER)
    assert bench.links[0].written == []
    record = await bench.store.record(sent.job.message_id)
    assert record is not None
    assert record.link_id == OTHER
    bench.assert_at_rest()


@in_fake_time
async def test_a_link_lost_between_intent_and_write_without_another_member_is_unavailable() -> None:
    bench = Bench()
    bench.store.hook = slow(1.0, "create")
    sent = bench.send(LONG, strategy="cp1")
    await bench.settle()
    bench.link.lose(NotSent("nothing was written"))
    await asyncio.sleep(1.1)
    await bench.settle()
    assert (sent.status, sent.answer.message_id) == ("unavailable", "")
    assert await bench.store.record(sent.job.message_id) is None
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_segments_without_a_place_when_the_link_goes_down_are_told_as_not_sent() -> None:
    bench = Bench(window=1)
    sent = bench.send(LONG)
    await bench.settle()
    bench.link.lose(InDoubt("connection lost before the answer"))
    await bench.settle()
    assert sent.status == "unknown"
    record = await bench.store.record(sent.job.message_id)
    assert record is not None
    assert [segment.state.name for segment in record.segments] == ["UNKNOWN", "NOT_SENT", "NOT_SENT"]
    bench.assert_at_rest()


@in_fake_time
async def test_a_long_message_needs_no_more_than_one_slot_at_a_time() -> None:
    bench = Bench(window=1)
    sent, other = bench.send(LONG), bench.send()
    await bench.answer_all()
    assert (sent.status, len(sent.answer.smsc_ids)) == ("submitted", 3)
    assert other.status == "submitted"
    assert [number for _, number in bench.link.written] == [1, 2, 3, 1]
    bench.assert_at_rest()


@in_fake_time
async def test_a_pool_with_different_text_settings_segments_by_the_link_that_is_used() -> None:
    bench = Bench(links=2)
    bench.links[0].text_options = TextOptions(long_messages="udh16")
    sent = bench.send("x" * 305, route_id=POOL)
    await bench.settle()
    assert [len(body) for body in bench.link.texts] == [152, 152, 1]
    bench.links[0].bound = False
    bench.send("x" * 305, route_id=POOL)
    await bench.settle()
    assert [len(body) for body in bench.links[1].texts] == [153, 152]
    assert sent.job.text_options is bench.links[0].text_options


@in_fake_time
async def test_a_text_that_one_member_of_the_pool_cannot_send_is_invalid_for_the_pool() -> None:
    bench = Bench(links=2)
    bench.links[1].text_options = TextOptions(max_segments=2)
    assert bench.send(LONG, route_id=POOL).status == "invalid"
    assert bench.send(LONG, route_id=LINK).replies == []


@in_fake_time
async def test_a_reload_that_shortens_texts_meanwhile_ends_as_invalid_and_gives_the_count_back() -> None:
    bench = Bench()
    bench.policy.hook = slow(1.0, "reserve")
    sent = bench.send(LONG, strategy="cp1")
    bench.link.text_options = TextOptions(max_segments=2)
    await asyncio.sleep(1.5)
    assert sent.status == "invalid"
    assert bench.policy.counted == set()
    bench.assert_at_rest()


@in_fake_time
async def test_addresses_go_out_as_the_fields_say() -> None:
    bench = Bench()
    named, numbered = bench.send(saddr="BRAND", daddr="+998901234567"), bench.send(saddr="+1234", ston=0)
    assert named.job.source == Address(5, 0, "BRAND")
    assert named.job.destination == Address(1, 1, "998901234567")
    assert numbered.job.source == Address(0, 0, "1234")
    assert named.job.fair_key == (1, "stream")


@in_fake_time
async def test_a_job_tells_how_far_it_is() -> None:
    bench = Bench(store=FaultyStore())
    sent = bench.send()
    assert repr(sent.job) == "<Job RECORDING written=0 slots=1>"
    await bench.answer_all()
    assert repr(sent.job) == "<Job ENDED written=1 slots=1>"
