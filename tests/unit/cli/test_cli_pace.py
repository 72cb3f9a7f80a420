"""The pace of a campaign against a limit, with a clock turned by hand."""

from __future__ import annotations

import pytest

from smsproxy.cli.pace import FIRST_GAP_S, LONGEST_GAP_S, LONGEST_HINT_S, Pace


def test_without_a_refusal_nothing_waits() -> None:
    pace = Pace()
    assert [pace.wait_s(0.0) for _ in range(1000)] == [0.0] * 1000


def test_a_refusal_makes_the_next_one_wait_as_long_as_the_daemon_says() -> None:
    pace = Pace()
    pace.limited(0.0, 1.0, 0.25)
    assert pace.wait_s(1.0) == 0.25
    assert pace.wait_s(1.25) == 0.0
    assert pace.wait_s(1.25) == pytest.approx(LONGEST_HINT_S)


def test_those_that_were_under_way_together_slow_it_once() -> None:
    pace = Pace()
    for _ in range(500):
        pace.limited(fed_at=0.5, now=1.0, retry_after_s=0.004)
    assert pace.gap_s == 0.004
    assert pace.slowed == 1
    pace.limited(fed_at=1.1, now=1.2, retry_after_s=0.004)
    assert pace.gap_s == pytest.approx(0.006)


def test_a_refusal_without_a_hint_begins_with_the_smallest_gap_and_never_passes_the_longest() -> None:
    pace = Pace()
    pace.limited(0.0, 1.0, 0.0)
    assert pace.gap_s == FIRST_GAP_S
    for turn in range(100):
        pace.limited(turn + 2.0, turn + 2.5, 60.0)
    assert pace.gap_s == LONGEST_GAP_S


def test_accepted_messages_bring_the_full_speed_back() -> None:
    pace = Pace()
    pace.limited(0.0, 1.0, 0.1)
    accepted = 0
    while pace.gap_s:
        pace.accepted()
        accepted += 1
    assert accepted < 300


def test_a_pause_does_not_slow_what_comes_after_it() -> None:
    pace = Pace()
    pace.pause(1.0, 2.0)
    assert pace.wait_s(1.5) == 1.5
    assert [pace.wait_s(3.0), pace.wait_s(3.0)] == [0.0, 0.0]


def test_it_settles_close_below_a_limit_it_does_not_know() -> None:
    """A daemon that grants 100 a second with a burst of 10, a window of 50 and answers after 20 ms."""
    pace, now, tokens, granted, refused = Pace(), 0.0, 10.0, 0, 0
    under_way: list[tuple[float, bool, float]] = []
    while now < 60.0:
        tokens = min(10.0, tokens + 0.1)
        while len(under_way) < 50 and not pace.wait_s(now):
            taken = tokens >= 1.0
            tokens -= taken
            under_way.append((now, taken, (1.0 - tokens) / 100))
        while under_way and under_way[0][0] + 0.02 <= now:
            fed_at, taken, retry_after_s = under_way.pop(0)
            if taken:
                granted += 1
                pace.accepted()
            else:
                refused += 1
                pace.limited(fed_at, now, retry_after_s)
        now += 0.001
    assert granted > 0.85 * 6000
    assert refused < 0.15 * granted
