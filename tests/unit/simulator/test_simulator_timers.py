"""The heap of timers, with a clock turned by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smsproxy.simulator.counters import Counters
from smsproxy.simulator.timers import GRAIN_S, Timers


class Handle:
    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when, self.call, self.cancelled = when, call, False

    def cancel(self) -> None:
        self.cancelled = True


class HandLoop:
    """A loop whose time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alarms: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> Handle:
        self.alarms.append(Handle(when, call))
        return self.alarms[-1]

    @property
    def standing(self) -> list[float]:
        return [alarm.when for alarm in self.alarms if not alarm.cancelled]

    def turn_to(self, now: float) -> None:
        """Time passes to `now`; alarms that are set a grain later than what is due then ring as well."""
        self.now = now
        due = [alarm for alarm in self.alarms if alarm.when <= now + 1.5 * GRAIN_S and not alarm.cancelled]
        self.alarms = [alarm for alarm in self.alarms if alarm not in due]
        for alarm in due:
            alarm.call()


@pytest.fixture
def loop() -> HandLoop:
    return HandLoop()


def test_calls_come_by_time_and_by_asking_where_that_is_equal(loop: HandLoop) -> None:
    timers, called = Timers(loop, Counters()), []
    for delay, name in ((3, "c"), (1, "a"), (3, "d"), (2, "b")):
        timers.after(delay, called.append, name)
    loop.turn_to(2.5)
    assert called == ["a", "b"]
    loop.turn_to(3)
    assert called == ["a", "b", "c", "d"]
    assert len(timers) == 0


def test_there_is_one_alarm_however_many_wait(loop: HandLoop) -> None:
    timers = Timers(loop, Counters())
    for delay in (5, 9, 7, 2, 8):
        timers.after(delay, print)
    assert loop.standing == [2 + GRAIN_S]


def test_a_call_asked_for_while_calling_waits_for_the_next_turn(loop: HandLoop) -> None:
    timers, called = Timers(loop, Counters()), []

    def again() -> None:
        called.append(loop.now)
        timers.after(0, again)

    timers.after(1, again)
    loop.turn_to(1)
    assert called == [1]
    loop.turn_to(1)
    assert called == [1, 1]


def test_one_that_fails_does_not_stop_the_others(loop: HandLoop) -> None:
    timers, called = Timers(loop, Counters()), []
    timers.after(1, {}.__getitem__, "nothing")
    timers.after(1, called.append, "next")
    with pytest.raises(KeyError):
        loop.turn_to(1)
    loop.turn_to(1)
    assert called == ["next"]


def test_what_finds_no_room_is_dropped_and_counted(loop: HandLoop) -> None:
    counters = Counters()
    timers = Timers(loop, counters, max_waiting=1)
    timers.after(1, print)
    timers.after(1, print)
    assert (len(timers), counters.timers_dropped) == (1, 1)


def test_cleared_timers_call_nothing(loop: HandLoop) -> None:
    timers, called = Timers(loop, Counters()), []
    timers.after(1, called.append, 1)
    timers.clear()
    loop.turn_to(2)
    assert called == []
    timers.clear()
    timers.after(1, called.append, 2)
    loop.turn_to(3)
    assert called == [2]


def test_the_owner_hears_of_every_turn_in_which_something_was_called(loop: HandLoop) -> None:
    turns: list[float] = []
    timers = Timers(loop, Counters(), after_turn=lambda: turns.append(loop.now))
    timers.after(1, list)
    timers.after(2, list)
    loop.turn_to(1)
    loop.turn_to(2)
    assert turns == [1, 2]
