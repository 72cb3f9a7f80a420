"""What every policy engine promises (spec §5). Engines are plugged in by conftest.py."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from smsproxy.policy.base import PolicyUnavailableError, Verdict
from smsproxy.policy.strategies import Strategy

if TYPE_CHECKING:
    from conftest import Ask, HandClock, PolicyBench

OK, DAILY, WEEKLY = Verdict.OK, Verdict.DAILY_CP, Verdict.WEEKLY_CP
DUPLICATE, BLACKLISTED, UNAVAILABLE = Verdict.DUPLICATE, Verdict.BLACKLIST, Verdict.UNAVAILABLE
HOUR_S = 3_600
DAY_S = 86_400


async def test_an_engine_knows_its_strategies_and_no_other(bench: PolicyBench) -> None:
    assert bench.engine.knows("onbuild_cp1")
    assert not bench.engine.knows("cp9")
    assert not bench.engine.knows("")


async def test_an_empty_batch_has_no_verdicts(bench: PolicyBench) -> None:
    assert await bench.engine.reserve([]) == []
    await bench.engine.release([])


async def test_a_hundred_equal_messages_in_a_batch_pass_exactly_once(bench: PolicyBench, ask: Ask) -> None:
    verdicts = await bench.engine.reserve([ask(n, "cp2") for n in range(100)])
    assert verdicts == [OK] + [DUPLICATE] * 99


async def test_a_hundred_equal_messages_in_batches_at_once_pass_exactly_once(
    bench: PolicyBench, ask: Ask
) -> None:
    batches = [[ask(10 * b + n, "cp2") for n in range(10)] for b in range(10)]
    answers = await asyncio.gather(*(bench.engine.reserve(batch) for batch in batches))
    assert sum(answer.count(OK) for answer in answers) == 1
    assert sum(answer.count(DUPLICATE) for answer in answers) == 99


async def test_a_text_may_be_sent_again_when_the_window_is_over(
    bench: PolicyBench, ask: Ask, clock: HandClock
) -> None:
    assert await bench.engine.reserve([ask(1, "cp2")]) == [OK]
    clock.now += DAY_S - 1
    assert await bench.engine.reserve([ask(2, "cp2")]) == [DUPLICATE]
    clock.now += 1
    assert await bench.engine.reserve([ask(3, "cp2")]) == [OK]


async def test_another_app_number_or_text_is_no_duplicate(bench: PolicyBench, ask: Ask) -> None:
    batch = [
        ask(1, "cp2"),
        ask(2, "cp2", app_id=2),
        ask(3, "cp2", daddr="998907654321"),
        ask(4, "cp2", text="bye"),
    ]
    assert await bench.engine.reserve(batch) == [OK] * 4
    assert await bench.engine.reserve([ask(5, "cp2", saddr="OTHER")]) == [DUPLICATE]


async def test_the_daily_cap_begins_anew_at_midnight_and_the_weekly_cap_on_monday(
    bench: PolicyBench, ask: Ask, clock: HandClock
) -> None:
    clock.now -= 2 * DAY_S  # Monday noon
    said = []
    for n in range(8):
        said.append(await bench.engine.reserve([ask(2 * n), ask(2 * n + 1)]))
        clock.now += DAY_S
    assert said == [[OK, DAILY]] * 3 + [[WEEKLY, WEEKLY]] * 4 + [[OK, DAILY]]


async def test_a_day_is_a_day_of_the_time_zone_when_clocks_change(
    bench: PolicyBench, ask: Ask, clock: HandClock
) -> None:
    bench.reload(Strategy("daily", daily_max=1), timezone="America/New_York")
    clock.now = 1_793_505_600.0  # 2026-11-01 00:00 in New York, a day of 25 hours
    assert await bench.engine.reserve([ask(1, "daily")]) == [OK]
    clock.now += 25 * HOUR_S - 1
    assert await bench.engine.reserve([ask(2, "daily")]) == [DAILY]
    clock.now += 1
    assert await bench.engine.reserve([ask(3, "daily")]) == [OK]


async def test_asking_again_is_granted_and_counted_once(
    bench: PolicyBench, ask: Ask, clock: HandClock
) -> None:
    bench.reload(Strategy("both", daily_max=2, weekly_max=2, duplicate_window_s=DAY_S))
    assert await bench.engine.reserve([ask(1, "both"), ask(1, "both")]) == [OK, OK]
    clock.now += HOUR_S
    assert await bench.engine.reserve([ask(1, "both")]) == [OK]
    assert await bench.engine.reserve([ask(2, "both", text="bye")]) == [OK]
    assert await bench.engine.reserve([ask(1, "both"), ask(3, "both", text="hi")]) == [OK, DAILY]


async def test_a_reservation_is_given_back_exactly_once(bench: PolicyBench, ask: Ask) -> None:
    assert await bench.engine.reserve([ask(1), ask(1, "cp2")]) == [OK, OK]
    await bench.engine.release([ask(1), ask(1), ask(1, "cp2")])
    await bench.engine.release([ask(1)])
    assert await bench.engine.reserve([ask(2), ask(2, "cp2")]) == [OK, OK]
    assert await bench.engine.reserve([ask(3), ask(3, "cp2")]) == [DAILY, DUPLICATE]


async def test_a_message_that_reserved_nothing_gives_nothing_back(bench: PolicyBench, ask: Ask) -> None:
    assert await bench.engine.reserve([ask(1), ask(2)]) == [OK, DAILY]
    await bench.engine.release([ask(2), ask(3), ask(2, "cp2")])
    assert await bench.engine.reserve([ask(4)]) == [DAILY]


async def test_what_was_counted_yesterday_is_given_back_to_yesterday(
    bench: PolicyBench, ask: Ask, clock: HandClock
) -> None:
    assert await bench.engine.reserve([ask(1)]) == [OK]
    clock.now += DAY_S
    assert await bench.engine.reserve([ask(2)]) == [OK]
    await bench.engine.release([ask(1)])
    assert await bench.engine.reserve([ask(3)]) == [DAILY]


async def test_an_audience_screened_before_counts_against_the_caps_of_the_other_strategy(
    bench: PolicyBench, ask: Ask, listed: str
) -> None:
    batch = [ask(n, "onbuild_cp1") for n in range(5)]
    assert await bench.engine.reserve(batch) == [OK] * 5
    assert await bench.engine.reserve([ask(9, "cp1")]) == [DAILY]
    assert await bench.engine.reserve([ask(10, "onbuild_cp1", daddr=listed)]) == [BLACKLISTED]
    await bench.engine.release(batch)
    assert await bench.engine.reserve([ask(11, "cp1")]) == [OK]


async def test_check_mode_refuses_and_counts_nothing(bench: PolicyBench, ask: Ask) -> None:
    assert await bench.engine.reserve([ask(n, "look") for n in range(3)]) == [OK] * 3
    assert await bench.engine.reserve([ask(4, "cp1"), ask(5, "look")]) == [OK, DAILY]


async def test_a_blacklisted_number_is_refused_first_and_not_counted(
    bench: PolicyBench, ask: Ask, listed: str
) -> None:
    bench.reload(Strategy("open", daily_max=1), Strategy("shut", counts_as="open", blacklist=True))
    assert await bench.engine.reserve([ask(1, "shut", daddr=listed)]) == [BLACKLISTED]
    assert await bench.engine.reserve([ask(2, "open", daddr=listed), ask(3, "open", daddr=listed)]) == [
        OK,
        DAILY,
    ]


async def test_a_shadow_strategy_refuses_nobody(bench: PolicyBench, ask: Ask) -> None:
    assert await bench.engine.reserve([ask(n, "trial") for n in range(4)]) == [OK] * 4


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        ("recipient", {"app_id": 2, "saddr": "OTHER"}, {"daddr": "998907654321"}),
        ("recipient_app", {"saddr": "OTHER"}, {"app_id": 2}),
        ("recipient_sender", {"app_id": 2}, {"saddr": "OTHER"}),
    ],
)
async def test_caps_are_counted_by_scope(
    bench: PolicyBench, ask: Ask, scope: str, same: dict[str, object], other: dict[str, object]
) -> None:
    bench.reload(Strategy("s", daily_max=1, scope=scope))
    assert await bench.engine.reserve([ask(1, "s"), ask(2, "s", **same), ask(3, "s", **other)]) == [
        OK,
        DAILY,
        OK,
    ]


async def test_while_the_state_is_away_each_strategy_decides_for_itself(bench: PolicyBench, ask: Ask) -> None:
    bench.go_away()
    assert await bench.engine.reserve([ask(1), ask(2, "soft"), ask(3, "soft")]) == [UNAVAILABLE, OK, OK]
    with pytest.raises(PolicyUnavailableError):
        await bench.engine.release([ask(1)])
    bench.come_back()
    assert await bench.engine.reserve([ask(1), ask(4)]) == [OK, DAILY]


async def test_many_callers_at_once_never_pass_a_cap(bench: PolicyBench, ask: Ask) -> None:
    bench.reload(Strategy("seven", daily_max=7))
    batches = [[ask(100 * b + n, "seven") for n in range(5)] for b in range(8)]

    async def reserve_and_give_half_back(number: int) -> int:
        verdicts = await bench.engine.reserve(batches[number])
        granted = [r for r, verdict in zip(batches[number], verdicts, strict=True) if verdict is OK]
        unsent = granted[: len(granted) // 2]
        await bench.engine.release(unsent)
        return len(granted) - len(unsent)

    sent = sum(await asyncio.gather(*(reserve_and_give_half_back(b) for b in range(8))))
    left = await bench.engine.reserve([ask(10_000 + n, "seven") for n in range(10)])
    assert sent + left.count(OK) == 7


async def test_a_dry_run_says_what_reserve_would_and_counts_nothing(
    bench: PolicyBench, ask: Ask, listed: str
) -> None:
    assert await bench.engine.check([ask(1), ask(2), ask(3, daddr=listed)]) == [OK, OK, BLACKLISTED]
    assert await bench.engine.reserve([ask(4)]) == [OK]
    assert await bench.engine.check([ask(5), ask(4), ask(6, "onbuild_cp1")]) == [DAILY, OK, OK]
    assert await bench.engine.check([ask(7, "cp2"), ask(7, "cp2"), ask(8, "trial")]) == [OK, OK, OK]
    assert await bench.engine.reserve([ask(8, "cp2")]) == [OK]


async def test_without_a_text_there_is_no_duplicate_and_caps_count_all_the_same(
    bench: PolicyBench, ask: Ask
) -> None:
    bench.reload(Strategy("both", daily_max=3, duplicate_window_s=DAY_S))
    audience = [replace(ask(n, "both"), text_sha256=b"") for n in range(4)]
    assert await bench.engine.check(audience) == [OK] * 4
    assert await bench.engine.reserve(audience) == [OK] * 3 + [DAILY]
    await bench.engine.release(audience[:1])
    assert await bench.engine.reserve([ask(9, "both")]) == [OK]


async def test_a_dry_run_while_the_state_is_away_decides_by_on_error(bench: PolicyBench, ask: Ask) -> None:
    bench.go_away()
    assert await bench.engine.check([ask(1), ask(2, "soft")]) == [UNAVAILABLE, OK]
    bench.come_back()
    assert await bench.engine.check([ask(1)]) == [OK]
