"""Calendar days and ISO weeks in the operator's time zone, as plain numbers.

Caps are per calendar day and ISO week (spec §5), not per 24 hours: a day of 23 or 25 hours is one day. Days
are counted from Monday 0001-01-01, so a week number is days // 7 and never restarts at New Year.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

_UNIX_EPOCH_DAYS = 719_162  # 1970-01-01, counted from 0001-01-01
_DAY_S = 86_400
_SLACK_S = 2 * _DAY_S
"""Time zones lie up to 14 hours off UTC, and a clock may be set back a little: two days cover both."""


class Moment(NamedTuple):
    """One reading of the clock and where it falls in the calendar."""

    now: float
    week: int
    day: int
    """0 = Monday."""


def moment_at(now: float, zone: ZoneInfo) -> Moment:
    """`now` in Unix seconds."""
    week, day = divmod(datetime.fromtimestamp(now, zone).toordinal() - 1, 7)
    return Moment(now, week, day)


def week_expires_at(week: int) -> float:
    """When nothing asks for counts of `week` any more (Unix seconds): its end in any zone, and slack."""
    return float(((week + 1) * 7 - _UNIX_EPOCH_DAYS) * _DAY_S + _SLACK_S)
