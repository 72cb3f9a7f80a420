"""Pause and slow start, with seconds as arguments."""

from __future__ import annotations

from smsproxy.links.throttle import Throttle


def after_a_pause(window: int = 10) -> Throttle:
    throttle = Throttle(window)
    throttle.throttled(0)
    return throttle


def test_a_fresh_link_is_not_limited() -> None:
    throttle = Throttle(10)
    assert not throttle.limited
    assert throttle.pause_left(5) == 0
    assert repr(throttle) == "<Throttle limit=none paused_until=0>"


def test_the_first_pause_is_one_second() -> None:
    throttle = after_a_pause()
    assert throttle.limited
    assert (throttle.limit(0.999), throttle.limit(1)) == (0, 1)
    assert throttle.pause_left(0.25) == 0.75
    assert "limit=1" in repr(throttle)


def test_answers_to_what_was_in_flight_do_not_lengthen_the_pause() -> None:
    throttle = after_a_pause()
    throttle.throttled(0.9)
    assert throttle.pause_left(0.9) < 0.11


def test_pauses_double_to_thirty_seconds() -> None:
    throttle = Throttle(10)
    now, pauses = 0.0, []
    for _ in range(7):
        throttle.throttled(now)
        pauses.append(throttle.pause_left(now))
        now += pauses[-1]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_an_ok_after_the_pause_resets_its_length() -> None:
    throttle = after_a_pause()
    throttle.throttled(1)
    throttle.ok(3)
    throttle.throttled(4)
    assert throttle.pause_left(4) == 1


def test_an_ok_during_the_pause_was_sent_before_and_changes_nothing() -> None:
    throttle = after_a_pause()
    for _ in range(20):
        throttle.ok(0.5)
    assert throttle.limit(1) == 1
    throttle.throttled(1)
    assert throttle.pause_left(1) == 2


def test_after_the_pause_it_starts_with_one_and_doubles_up_to_the_window() -> None:
    throttle = after_a_pause(window=10)
    limits = []
    while throttle.limited:
        limits.append(throttle.limit(2))
        throttle.ok(2)
    assert limits == [1, 2, 4, 8]
    throttle.ok(3)
    assert not throttle.limited
