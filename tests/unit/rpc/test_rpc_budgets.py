"""The frame budget of a connection: what it forgives, what it does not, and what it forgets."""

from __future__ import annotations

import pytest

from smsproxy.rpc.budgets import BUDGETS, SUSPECT_RESETS, WINDOW_S, Flood, FloodError, FrameBudget


@pytest.fixture
def budget() -> FrameBudget:
    return FrameBudget(max_resets=10, ping_interval_s=10.0)


def test_each_kind_has_its_own_budget(budget: FrameBudget) -> None:
    for _ in range(BUDGETS[Flood.SETTINGS]):
        budget.charge(Flood.SETTINGS, 0.0)
    for _ in range(BUDGETS[Flood.PRIORITY]):
        budget.charge(Flood.PRIORITY, 0.0)
    with pytest.raises(FloodError, match="too many settings"):
        budget.charge(Flood.SETTINGS, WINDOW_S - 0.1)


def test_a_budget_is_new_after_ten_seconds(budget: FrameBudget) -> None:
    for second in range(5):
        for _ in range(BUDGETS[Flood.SETTINGS]):
            budget.charge(Flood.SETTINGS, second * WINDOW_S)


def test_resets_count_only_past_half_of_the_streams(budget: FrameBudget) -> None:
    for _ in range(40):
        budget.opened(0.0)
    for _ in range(20):
        budget.reset(0.0)
    with pytest.raises(FloodError, match="too many resets"):
        budget.reset(0.0)


def test_who_mostly_resets_is_suspect_before_it_is_a_flooder(budget: FrameBudget) -> None:
    for _ in range(SUSPECT_RESETS + 1):
        assert not budget.suspect
        budget.opened(0.0)
        budget.reset(0.0)
    assert budget.suspect
    for _ in range(SUSPECT_RESETS + 1):
        budget.opened(0.0)
    assert not budget.suspect


def test_few_resets_are_free_whatever_was_opened(budget: FrameBudget) -> None:
    for _ in range(10):
        budget.reset(0.0)


def test_each_data_frame_of_ours_pays_for_some_window_updates(budget: FrameBudget) -> None:
    allowed = BUDGETS[Flood.WINDOW_UPDATES]
    for _ in range(allowed):
        budget.window_update(0.0, 7)
    for _ in range(10):
        budget.window_update(0.0, 8)
    with pytest.raises(FloodError):
        budget.window_update(0.0, 8)


def test_the_third_hasty_ping_is_one_too_many(budget: FrameBudget) -> None:
    budget.ping(0.0, 0)
    budget.ping(1.0, 0)
    budget.ping(2.0, 0)
    with pytest.raises(FloodError):
        budget.ping(3.0, 0)


def test_slow_pings_and_pings_beside_data_are_no_strikes(budget: FrameBudget) -> None:
    for number in range(100):
        budget.ping(10.0 * number, 0)
    for number in range(100):
        budget.ping(1000.0 + 0.01 * number, 1 + number)
