"""Days and weeks of the operator's calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_bench import at, moment

from smsproxy.policy.days import moment_at, week_expires_at

ZONES = ["UTC", "America/New_York", "Europe/Berlin", "Asia/Tashkent", "Pacific/Apia", "Australia/Lord_Howe"]


@given(st.floats(0, 4e9), st.sampled_from(ZONES))
def test_the_calendar_agrees_with_iso_weeks_and_local_dates(now: float, zone: str) -> None:
    local = datetime.fromtimestamp(now, ZoneInfo(zone))
    later = local.date() + timedelta(days=7 - local.weekday())
    seen = moment_at(now, ZoneInfo(zone))
    assert seen.day == local.isoweekday() - 1
    assert seen.week * 7 + 8 == later.toordinal()


@given(st.floats(0, 4e9), st.sampled_from(ZONES))
def test_a_week_is_kept_until_it_is_over_and_not_much_longer(now: float, zone: str) -> None:
    week = moment_at(now, ZoneInfo(zone)).week
    left = week_expires_at(week) - now
    assert left > 0
    assert moment_at(week_expires_at(week), ZoneInfo(zone)).week == week + 1
    assert left <= 10 * 86_400


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-08", 23), ("2026-11-01", 25), ("2026-06-01", 24)],
    ids=["short", "long", "plain"],
)
def test_a_day_with_a_clock_change_is_one_day(day: str, hours: int) -> None:
    zone = "America/New_York"
    start = at(f"{day} 00:00", zone)
    first, last, after = (moment_at(start + s, ZoneInfo(zone)) for s in (0, hours * 3600 - 1, hours * 3600))
    assert (first.week, first.day) == (last.week, last.day)
    assert (after.week, after.day) != (first.week, first.day)


def test_an_iso_week_goes_on_over_new_year() -> None:
    assert datetime(2026, 12, 31, tzinfo=UTC).isocalendar()[:2] == (2026, 53)
    week = moment("2026-12-31 12:00").week
    assert moment("2026-12-28 00:00").week == moment("2027-01-03 23:59").week == week
    assert moment("2027-01-04 00:00").week == week + 1
