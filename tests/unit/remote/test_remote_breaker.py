"""The breaker by hand-turned time."""

from __future__ import annotations

from smsproxy.remote.breaker import Breaker


def test_three_failures_in_a_row_open_it_however_slowly_they_come() -> None:
    breaker = Breaker()
    assert [breaker.failed(now) for now in (0.0, 60.0, 120.0)] == [False, False, True]
    assert breaker.is_open


def test_three_failures_within_a_second_open_it_although_others_succeed() -> None:
    breaker = Breaker()
    opened = []
    for now in (0.0, 0.4, 0.8):
        opened.append(breaker.failed(now))
        breaker.succeeded()
    assert opened == [False, False, True]


def test_single_failures_among_successes_open_nothing() -> None:
    breaker = Breaker()
    for now in range(10):
        assert not breaker.failed(float(now))
        breaker.succeeded()
    assert not breaker.is_open


def test_an_open_breaker_opens_no_second_time_and_begins_anew_when_closed() -> None:
    breaker = Breaker()
    assert breaker.open()
    assert not breaker.open()
    assert not breaker.failed(0.0)
    breaker.close()
    assert not breaker.failed(0.1)
    assert not breaker.failed(0.2)
    assert breaker.opened == 1
    assert repr(breaker) == "<Breaker closed opened=1>"
