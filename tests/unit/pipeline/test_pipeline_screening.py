"""Screening an audience: verdicts in order, what is counted, and what never is."""

from __future__ import annotations

import asyncio

import pytest
from fake_time import in_fake_time
from pipeline_bench import Bench, slow

from smsproxy.domain.caller import Caller
from smsproxy.domain.errors import ForbiddenError, RefusedError
from smsproxy.domain.outcome import Status
from smsproxy.pipeline.ports import Audience
from smsproxy.pipeline.screening import AT_ONCE_MAX, DADDRS_MAX
from smsproxy.policy.base import PolicyRequest, Verdict

CALLER = Caller(1, 2e9, senders=frozenset({"BRAND", "1234"}))
NUMBERS = ("998901110000", "+998901110001", "12", "", "x", "++998901110000", "998901110000")


def an_audience(
    daddrs: tuple[str, ...] = NUMBERS,
    *,
    app_id: int = 1,
    strategy: str = "cp1",
    saddr: str = "",
    reserve: bool = False,
) -> Audience:
    return Audience(app_id, strategy, saddr, daddrs, reserve)


@in_fake_time
async def test_a_look_answers_in_order_names_bad_numbers_and_counts_nothing() -> None:
    bench = Bench()
    verdicts = await bench.pipeline.screening.screen(CALLER, an_audience())
    assert verdicts == ["ok", "ok", "invalid", "invalid", "invalid", "invalid", "ok"]
    assert bench.policy.calls == ["check"]
    assert bench.policy.counted == set()


@in_fake_time
async def test_reserving_counts_each_number_that_passes_under_an_id_of_its_own() -> None:
    bench = Bench()
    await bench.pipeline.screening.screen(CALLER, an_audience(reserve=True))
    assert len(bench.policy.counted) == 3
    bench.policy.verdicts["cp2"] = Verdict.DAILY_CP
    refused = await bench.pipeline.screening.screen(CALLER, an_audience(strategy="cp2", reserve=True))
    assert refused.count("daily_cp") == 3
    assert bench.pipeline.idle


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"app_id": 0}, Status.INVALID, "app_id: required, must be positive"),
        ({"strategy": ""}, Status.INVALID, "strategy: required"),
        ({"strategy": "unheard-of"}, Status.INVALID, "strategy: 'unheard-of' is not configured"),
        ({"saddr": "a name too long"}, Status.INVALID, "saddr: must be 1 to 20 digits or 1 to 11"),
        ({"daddrs": ("998901110000",) * (DADDRS_MAX + 1)}, Status.INVALID, "daddrs: must be at most 10000"),
    ],
)
@in_fake_time
async def test_a_bad_field_is_named_with_its_rule(
    wrong: dict[str, object], status: Status, words: str
) -> None:
    bench = Bench()
    with pytest.raises(RefusedError, match="^" + words) as caught:
        await bench.pipeline.screening.screen(CALLER, an_audience(**wrong))
    assert caught.value.status is status
    assert bench.policy.calls == []


@in_fake_time
async def test_another_app_and_a_foreign_sender_are_forbidden() -> None:
    bench = Bench()
    screen = bench.pipeline.screening.screen
    with pytest.raises(ForbiddenError, match=r"^app_id: not the caller's$"):
        await screen(CALLER, an_audience(app_id=2))
    with pytest.raises(ForbiddenError, match=r"^saddr: not allowed to the app$"):
        await screen(CALLER, an_audience(saddr="OTHER"))
    assert (await screen(CALLER, an_audience(saddr="+1234")))[0] == "ok"


@in_fake_time
async def test_a_caller_who_leaves_early_leaves_nothing_counted() -> None:
    bench = Bench()
    numbers = tuple(f"9989011{n:05}" for n in range(600))
    bench.policy.hook = slow(0.5, "reserve")
    screening = asyncio.create_task(
        bench.pipeline.screening.screen(CALLER, an_audience(numbers, reserve=True))
    )
    await asyncio.sleep(0.7)
    assert len(bench.policy.counted) == 256
    screening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await screening
    await asyncio.sleep(1.0)
    assert bench.policy.counted == set()
    assert bench.pipeline.idle


@in_fake_time
async def test_what_the_engine_may_have_counted_without_an_answer_is_given_back() -> None:
    bench = Bench()
    lost = PolicyRequest(bytes(16), "cp1", 1, "998901110000", "", b"")
    bench.policy.counted, bench.policy.doubtful = {lost.message_id}, [lost]
    await bench.pipeline.screening.screen(CALLER, an_audience(("998901110001",), reserve=True))
    await asyncio.sleep(1.0)
    assert lost.message_id not in bench.policy.counted
    assert len(bench.policy.counted) == 1


@in_fake_time
async def test_screenings_at_once_are_bounded_and_one_too_many_is_told_when_to_come_back() -> None:
    bench = Bench()
    bench.policy.hook = slow(0.5, "reserve")
    screen = bench.pipeline.screening.screen
    busy = [asyncio.create_task(screen(CALLER, an_audience(reserve=True))) for _ in range(AT_ONCE_MAX)]
    await asyncio.sleep(0.1)
    with pytest.raises(RefusedError) as caught:
        await screen(CALLER, an_audience())
    assert (caught.value.status, caught.value.retry_after_ms) == (Status.RATE_LIMITED, 1000)
    await asyncio.gather(*busy)
    assert (await screen(CALLER, an_audience(()))) == []
    assert bench.pipeline.counters["screenings_refused"] == 1


@in_fake_time
async def test_screenings_take_turns_so_that_messages_find_the_engine_with_one_of_them_at_most() -> None:
    bench = Bench()
    under_way = most = 0

    async def busy(_call: str) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1

    bench.policy.hook = busy
    bench.policy.max_batch = 2
    screen = bench.pipeline.screening.screen
    found = await asyncio.gather(*(screen(CALLER, an_audience(reserve=True)) for _ in range(AT_ONCE_MAX)))
    assert [words.count("ok") for words in found] == [3] * AT_ONCE_MAX
    assert most == 1
