"""The timers, walked with an integer clock."""

from __future__ import annotations

from smsproxy.smpp.timers import Due, SessionTimers


def some_timers() -> SessionTimers:
    return SessionTimers(enquire_link_s=30, response_timeout_s=10, bind_timeout_s=5)


def bound_timers() -> SessionTimers:
    timers = some_timers()
    timers.bound(0)
    return timers


def test_nothing_is_due_before_the_start_or_after_the_stop() -> None:
    timers = some_timers()
    assert timers.due(1000) is Due.NOTHING
    timers.bound(0)
    timers.stopped()
    assert timers.due(1000) is Due.NOTHING


def test_bind_without_an_answer_is_over_in_time() -> None:
    timers = some_timers()
    timers.binding(0)
    assert timers.due(4) is Due.NOTHING
    assert timers.due(5) is Due.BIND_TIMEOUT
    assert timers.due(6) is Due.NOTHING


def test_traffic_does_not_put_off_bind_or_unbind() -> None:
    timers = some_timers()
    timers.binding(0)
    timers.traffic(4)
    assert timers.due(5) is Due.BIND_TIMEOUT
    timers.unbinding(10)
    timers.traffic(19)
    assert timers.due(20) is Due.UNBIND_TIMEOUT


def test_quiet_link_is_asked_and_then_dead() -> None:
    timers = bound_timers()
    assert timers.due(29) is Due.NOTHING
    assert timers.due(30) is Due.ENQUIRE_LINK
    assert timers.due(30) is Due.NOTHING
    assert timers.due(39) is Due.NOTHING
    assert timers.due(40) is Due.DEAD
    assert timers.due(10_000) is Due.NOTHING


def test_traffic_puts_off_the_question() -> None:
    timers = bound_timers()
    timers.traffic(29)
    assert timers.due(58) is Due.NOTHING
    assert timers.due(59) is Due.ENQUIRE_LINK


def test_any_traffic_answers_the_question() -> None:
    timers = bound_timers()
    assert timers.due(30) is Due.ENQUIRE_LINK
    timers.traffic(39)
    assert timers.due(40) is Due.NOTHING
    assert timers.due(68) is Due.NOTHING
    assert timers.due(69) is Due.ENQUIRE_LINK


def test_a_clock_that_stood_still_asks_once() -> None:
    timers = bound_timers()
    assert timers.due(10_000) is Due.ENQUIRE_LINK
    assert timers.due(10_000) is Due.NOTHING
    assert timers.due(10_010) is Due.DEAD


def test_unbind_without_an_answer_is_over_after_the_response_timeout() -> None:
    timers = bound_timers()
    timers.unbinding(100)
    assert timers.due(109) is Due.NOTHING
    assert timers.due(110) is Due.UNBIND_TIMEOUT
    assert "None" in repr(timers)
