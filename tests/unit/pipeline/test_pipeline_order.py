"""The order of checks (spec §2.1): of everything that is wrong with a request, the first thing is told."""

from __future__ import annotations

import asyncio
import time

import pytest
from fake_time import in_fake_time
from pipeline_bench import LINK, LONG, POOL, Bench, Sent, a_caller

from smsproxy.domain.caller import Caller
from smsproxy.domain.outcome import Status
from smsproxy.limits.local import LocalLimits
from smsproxy.pipeline.ports import Lane
from smsproxy.policy.base import Verdict

CHECKS = ("token", "app_id", "fields", "route", "allowed", "limit", "policy", "link")
ENDS = {
    "token": Status.UNAUTHENTICATED,
    "app_id": Status.FORBIDDEN,
    "fields": Status.INVALID,
    "route": Status.NO_ROUTE,
    "allowed": Status.FORBIDDEN,
    "limit": Status.RATE_LIMITED,
    "policy": Status.DAILY_CP,
    "link": Status.RATE_LIMITED,
}
WORDS = {
    "token": "authentication failed",
    "app_id": "app_id: not the caller's",
    "fields": "daddr: must be 3 to 15 digits",
    "route": "esme: no link or pool 404",
    "allowed": "saddr: not allowed to the app",
    "limit": "rate limit of the app or process",
    "policy": "refused by the contact policy: daily_cp",
    "link": "the link's rate or window is used up",
}


def send_with_faults(bench: Bench, faults: tuple[str, ...]) -> Sent:
    """A request that fails every check of `faults`."""
    bench.policy.verdicts["cp1"] = Verdict.DAILY_CP if "policy" in faults else Verdict.OK
    bench.link.wait_s = 60.0 if "link" in faults else 0.0
    caller = Caller(
        2 if "app_id" in faults else 1,
        time.time() + (-1 if "token" in faults else 60),
        senders=frozenset({"OTHER"}) if "allowed" in faults else frozenset(),
    )
    return bench.send(
        caller=caller,
        lane=Lane.UNARY,
        route_id=404 if "route" in faults else LINK,
        daddr="12" if "fields" in faults else "998901234567",
        strategy="cp1",
    )


@pytest.mark.parametrize("first", CHECKS)
@in_fake_time
async def test_of_all_faults_the_first_in_the_order_of_the_checks_is_told(first: str) -> None:
    faults = CHECKS[CHECKS.index(first) :]
    bench = Bench(limits=LocalLimits(1, {}))
    if "limit" in faults:
        bench.send()
        await bench.answer_all()
    sent = send_with_faults(bench, faults)
    await bench.settle()
    assert sent.status == ENDS[first]
    assert sent.answer.error == WORDS[first]
    bench.assert_at_rest()


@in_fake_time
async def test_a_request_without_faults_passes_all_checks() -> None:
    bench = Bench(limits=LocalLimits(1, {}))
    sent = send_with_faults(bench, ())
    await bench.answer_all()
    assert sent.status == "submitted"
    assert sent.answer.success


@in_fake_time
async def test_a_repeat_is_found_before_the_policy_is_asked_and_after_the_limit() -> None:
    bench = Bench(limits=LocalLimits(2, {}))
    bench.send(transaction_id="t", strategy="cp1")
    await bench.answer_all()
    bench.policy.verdicts["cp1"] = Verdict.DAILY_CP
    repeat = bench.send(transaction_id="t", strategy="cp1")
    limited = bench.send(transaction_id="t", strategy="cp1")
    await bench.settle()
    assert (repeat.status, repeat.answer.repeated) == ("submitted", True)
    assert (limited.status, limited.answer.repeated) == ("rate_limited", False)
    assert bench.policy.calls == ["reserve"]


@in_fake_time
async def test_fields_are_checked_before_any_token_is_spent() -> None:
    limits = LocalLimits(0, {1: (1, 1)})
    bench = Bench(limits=limits)
    for _ in range(5):
        assert bench.send(daddr="x").status == "invalid"
    sent = bench.send()
    await bench.answer_all()
    assert sent.status == "submitted"
    assert limits.granted == 1


@in_fake_time
async def test_a_refusal_before_the_intent_has_no_message_id_and_the_transaction_id_as_given() -> None:
    bench = Bench()
    answer = bench.send(route_id=404, transaction_id="mine", task_id=7).answer
    assert (answer.message_id, answer.transaction_id, answer.task_id) == ("", "mine", 7)
    assert (answer.route_id, answer.smsc_ids, answer.success) == (404, (), False)


@in_fake_time
async def test_an_empty_transaction_id_is_generated_also_for_a_refusal() -> None:
    bench = Bench()
    refused = [bench.send(route_id=404).answer for _ in range(1000)]
    assert len({answer.transaction_id for answer in refused}) == 1000
    assert all(len(answer.transaction_id) == 36 for answer in refused)


@in_fake_time
async def test_a_generated_transaction_id_is_the_message_id() -> None:
    bench = Bench()
    first, second = bench.send(), bench.send()
    await bench.answer_all()
    assert first.answer.transaction_id == first.answer.message_id != second.answer.message_id
    assert "find" not in bench.store.calls, "nobody can repeat a request without a transaction_id"


@in_fake_time
async def test_a_strategy_that_is_not_configured_is_a_bad_field() -> None:
    answer = Bench().send(strategy="unheard-of", route_id=404).answer
    assert (answer.status, answer.error) == (Status.INVALID, "strategy: 'unheard-of' is not configured")


@in_fake_time
async def test_a_text_of_too_many_segments_is_a_bad_field() -> None:
    answer = Bench().send("x" * 1531).answer
    assert answer.status is Status.INVALID
    assert answer.error == "message: the text needs 11 segments, at most 10 are allowed"


@in_fake_time
async def test_a_link_that_is_not_allowed_to_the_app_is_forbidden() -> None:
    answer = Bench().send(caller=a_caller(esmes=frozenset({POOL}))).answer
    assert (answer.status, answer.error) == (Status.FORBIDDEN, f"esme: {LINK} is not allowed to the app")


@in_fake_time
async def test_the_token_may_expire_while_a_stream_is_open() -> None:
    caller = a_caller(expires_at=time.time() - 0.001)
    assert Bench().send(caller=caller).status == "unauthenticated"


@in_fake_time
async def test_the_wait_for_the_app_rate_is_told_in_whole_milliseconds() -> None:
    bench = Bench(limits=LocalLimits(0, {1: (3, 1)}))
    bench.send()
    refused = bench.send()
    assert refused.answer.retry_after_ms == 334
    await bench.answer_all()
    bench.assert_at_rest()


@in_fake_time
async def test_more_than_max_in_flight_are_refused_until_one_ends() -> None:
    bench = Bench(max_in_flight=2)
    bench.send()
    bench.send()
    third = bench.send()
    assert (third.status, third.answer.error) == ("rate_limited", "too many messages in flight")
    assert third.answer.retry_after_ms > 0
    await bench.answer_all()
    fourth = bench.send()
    await bench.answer_all()
    assert fourth.status == "submitted"
    bench.assert_at_rest()


@in_fake_time
async def test_a_message_that_was_withdrawn_but_is_still_held_counts_as_in_flight() -> None:
    bench = Bench(max_in_flight=1)
    bench.send(strategy="cp1").cancel()
    assert bench.send().status == "rate_limited"
    await bench.settle()
    last = bench.send()
    await bench.answer_all()
    assert last.status == "submitted"
    bench.assert_at_rest()


@in_fake_time
async def test_a_draining_pipeline_refuses_as_not_sent_and_finishes_what_it_has() -> None:
    bench = Bench()
    before = bench.send(LONG)
    bench.pipeline.draining = True
    after = bench.send()
    assert (after.status, after.answer.error) == ("unavailable", "draining")
    await bench.answer_all()
    assert before.status == "submitted"
    bench.assert_at_rest()
    assert repr(bench.pipeline) == "<Pipeline in_flight=0 draining=True>"


@in_fake_time
async def test_a_deadline_that_has_passed_ends_as_expired_and_spends_no_token() -> None:
    limits = LocalLimits(1, {})
    bench = Bench(limits=limits)
    now = asyncio.get_running_loop().time()
    assert bench.send(deadline=now).status == "expired"
    sent = bench.send(deadline=now + 0.001)
    await bench.answer_all()
    assert sent.status == "submitted"


@in_fake_time
async def test_answers_are_counted_by_status() -> None:
    bench = Bench()
    bench.send()
    bench.send(daddr="x")
    await bench.answer_all()
    counted = {status: count for status, count in bench.pipeline.ended_by_status.items() if count}
    assert counted == {"submitted": 1, "invalid": 1}
    assert bench.pipeline.submitted == 2
