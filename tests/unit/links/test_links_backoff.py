"""Delays between connects: they grow, they differ, they end at the setting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smsproxy.links.backoff import STEADY_S, Backoff


def test_delays_double_from_one_second_to_the_setting() -> None:
    backoff = Backoff(20)
    assert [backoff.next(0) for _ in range(7)] == [1, 2, 4, 8, 16, 20, 20]
    assert repr(backoff) == "<Backoff next=40s max=20s>"


def test_jitter_takes_up_to_a_quarter_off_so_that_links_do_not_march_in_step() -> None:
    assert Backoff(120).next(0.5) == 0.875
    assert Backoff(120).next(0.999) > 0.75


def test_a_refused_bind_waits_as_long_as_its_reason_asks_for_and_grows_from_there() -> None:
    backoff = Backoff(120)
    assert [backoff.next(0, at_least_s=5) for _ in range(3)] == [5, 10, 20]


def test_no_reason_waits_longer_than_the_setting() -> None:
    assert Backoff(20).next(0, at_least_s=60) == 20


def test_a_steady_session_begins_anew() -> None:
    backoff = Backoff(120)
    for _ in range(5):
        backoff.next(0)
    assert backoff.next(0, lived_s=STEADY_S) == 1


def test_a_session_that_is_hung_up_at_once_does_not_begin_anew() -> None:
    backoff = Backoff(120)
    assert [backoff.next(0, lived_s=0.1) for _ in range(3)] == [1, 2, 4]


@given(st.floats(0.05, 3600), st.lists(st.tuples(st.floats(0, 0.999999), st.floats(0, 60), st.floats(0, 10))))
def test_no_delay_is_longer_than_the_setting_or_a_spin(
    max_s: float, ends: list[tuple[float, float, float]]
) -> None:
    backoff = Backoff(max_s)
    for jitter, at_least_s, lived_s in ends:
        assert (
            min(0.75, max_s * 0.75) <= backoff.next(jitter, at_least_s=at_least_s, lived_s=lived_s) <= max_s
        )
