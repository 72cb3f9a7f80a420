"""The effective rate, with nanoseconds as arguments: what shrinks it, what brings it back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.links.pace import Pace

S = 1_000_000_000


def seconds_of_oks(pace: Pace, first: int, last: int, per_s: int = 50) -> None:
    """The SMSC takes `per_s` segments in each second from `first` up to `last`."""
    for tick in range(first * per_s, last * per_s):
        pace.accepted(tick * S // per_s)


def shrunk() -> Pace:
    """A link that was seen to get 50/s through, and was throttled then, at the end of the tenth second."""
    pace = Pace(100)
    seconds_of_oks(pace, 0, 10)
    pace.throttled(10 * S, 1)
    return pace


def test_a_fresh_link_has_its_full_rate() -> None:
    pace = Pace(200)
    assert (pace.per_s, pace.wait(0), pace.shrinks) == (0, 0, 0)
    assert repr(pace) == "<Pace full>"


def test_a_refusal_after_too_little_to_measure_halves_the_rate_that_was_tried() -> None:
    pace = Pace(200)
    pace.accepted(S)
    pace.throttled(S, 50)
    assert pace.per_s == 93
    assert repr(pace) == "<Pace 93.75/s>"


def test_a_link_that_never_got_an_ok_pauses_but_is_not_shrunk() -> None:
    pace = Pace(200)
    pace.throttled(S, 50)
    assert (pace.per_s, pace.shrinks) == (0, 0)


def test_a_settled_rate_gives_up_a_sixteenth_of_what_the_smsc_was_seen_to_take() -> None:
    assert shrunk().rate == 46_875


def test_a_refusal_right_after_a_measured_one_does_not_halve_what_was_measured() -> None:
    pace = shrunk()
    pace.accepted(11 * S)
    pace.throttled(11 * S + 1, 1)
    assert 40 <= pace.per_s <= 42


def test_refusals_without_an_ok_between_them_tell_nothing_new() -> None:
    pace = shrunk()
    for second in range(11, 30):
        pace.throttled(second * S, 5)
    assert (pace.per_s, pace.shrinks) == (46, 1)


def test_segments_are_spaced_by_the_rate() -> None:
    pace = shrunk()
    now = 20 * S
    pace.take(now)
    assert pace.wait(now) == S * 1000 // 46_875


def test_a_timer_that_is_a_little_late_costs_no_rate() -> None:
    pace = shrunk()
    now, sent = 20 * S, 0
    while now < 30 * S:
        pace.take(now)
        sent += 1
        now += pace.wait(now) + 3_000_000
    assert sent >= 460


def test_idleness_saves_up_nothing() -> None:
    pace = shrunk()
    pace.take(20 * S)
    pace.take(25 * S)
    assert pace.wait(25 * S) > S // 60


def test_recovery_is_slow_near_the_rate_that_failed_and_bolder_the_longer_all_goes_well() -> None:
    pace = shrunk()
    seconds_of_oks(pace, 10, 25)
    assert 47 < pace.per_s <= 52
    seconds_of_oks(pace, 25, 110)
    assert pace.per_s == 0


def test_without_an_ok_nothing_recovers() -> None:
    pace = shrunk()
    pace.accepted(1000 * S)
    assert pace.per_s <= 50


def test_an_unlimited_link_is_shrunk_to_what_was_seen_and_is_free_again_one_day() -> None:
    pace = Pace(0)
    seconds_of_oks(pace, 0, 5, per_s=400)
    pace.throttled(5 * S, 20)
    assert 300 < pace.per_s < 10_000
    seconds_of_oks(pace, 5, 600, per_s=10)
    assert pace.per_s == 0


@given(
    st.integers(0, 1_000_000),
    st.lists(st.tuples(st.booleans(), st.integers(0, 30 * S), st.integers(0, 1000)), max_size=60),
)
def test_the_rate_is_never_below_one_and_never_above_the_setting(
    rate: int, events: list[tuple[bool, int, int]]
) -> None:
    pace = Pace(rate)
    now = 0
    for ok, later, in_flight in events:
        now += later
        if ok:
            pace.accepted(now)
        else:
            pace.throttled(now, in_flight)
        assert pace.per_s == 0 or 1 <= pace.per_s <= (rate or 1_000_000)
        pace.take(now)
        assert 0 <= pace.wait(now) <= S
