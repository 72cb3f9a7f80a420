"""The limit stage: requests that wait until their app's shared limit is known, and what becomes of them."""

from __future__ import annotations

import asyncio

from fake_time import in_fake_time
from pipeline_bench import Bench

from smsproxy.limits.base import ASK, GRANTED, NS_PER_MS, UNAVAILABLE, Parked


class AskedLimits:
    """limits.base.Admission that knows nothing until it is told."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        """For the next requests, in order; when there is none: ASK."""
        self.parked: Parked

    def admit(self, app_id: int, now_ns: int) -> int:
        return self.answers.pop(0) if self.answers else ASK

    def attach(self, parked: Parked) -> None:
        self.parked = parked

    def tell(self, *answers: int) -> None:
        self.answers += answers
        self.parked.told(1)


def a_bench() -> tuple[Bench, AskedLimits]:
    limits = AskedLimits()
    return Bench(limits=limits), limits


@in_fake_time
async def test_a_request_waits_until_its_limit_is_known_and_goes_on_in_order() -> None:
    bench, limits = a_bench()
    sent = [bench.send(f"text {number}") for number in range(3)]
    await bench.settle()
    assert [one.replies for one in sent] == [[], [], []]
    assert limits.parked.waiting(1) == 3
    assert limits.parked.waiting(2) == 0
    limits.tell(GRANTED, GRANTED, GRANTED)
    await bench.answer_all()
    assert [one.status for one in sent] == ["submitted"] * 3
    assert bench.pipeline.counters["limits_awaited"] == 3
    bench.assert_at_rest()


@in_fake_time
async def test_one_that_is_over_the_limit_hears_when_to_come_back() -> None:
    bench, limits = a_bench()
    first, second = bench.send(), bench.send()
    limits.tell(GRANTED, 7 * NS_PER_MS)
    await bench.answer_all()
    assert first.status == "submitted"
    assert (second.status, second.answer.retry_after_ms) == ("rate_limited", 7)
    bench.assert_at_rest()


@in_fake_time
async def test_limits_that_nobody_can_tell_are_unavailable_which_means_not_sent() -> None:
    bench, limits = a_bench()
    waited = bench.send()
    limits.tell(UNAVAILABLE)
    limits.answers = [UNAVAILABLE]
    at_once = bench.send()
    await bench.settle()
    for one in (waited, at_once):
        assert (one.status, one.answer.error) == ("unavailable", "the shared limits are not available")
    bench.assert_at_rest()


@in_fake_time
async def test_one_that_is_still_not_known_waits_once_more() -> None:
    bench, limits = a_bench()
    sent = bench.send()
    limits.tell()
    assert limits.parked.waiting(1) == 1
    limits.tell(GRANTED)
    await bench.answer_all()
    assert sent.status == "submitted"
    bench.assert_at_rest()


@in_fake_time
async def test_a_repeat_is_still_found_after_the_wait() -> None:
    bench, limits = a_bench()
    bench.send(transaction_id="t")
    limits.tell(GRANTED)
    await bench.answer_all()
    again = bench.send(transaction_id="t")
    limits.tell(GRANTED)
    await bench.settle()
    assert (again.status, again.answer.repeated) == ("submitted", True)
    bench.assert_at_rest()


@in_fake_time
async def test_a_caller_that_leaves_while_it_waits_spends_no_token_and_gets_no_answer() -> None:
    bench, limits = a_bench()
    for fields in ({}, {"transaction_id": "t"}):
        sent = bench.send(**fields)
        assert sent.cancel()
        limits.tell(GRANTED)
        await bench.settle()
        assert limits.answers == [GRANTED]
        limits.answers.clear()
    bench.assert_at_rest()


@in_fake_time
async def test_a_deadline_that_passes_meanwhile_ends_it_as_expired() -> None:
    bench, limits = a_bench()
    sent = bench.send(deadline=asyncio.get_running_loop().time() + 1)
    await asyncio.sleep(2)
    limits.tell(GRANTED)
    await bench.settle()
    assert sent.status == "expired"
    bench.assert_at_rest()
