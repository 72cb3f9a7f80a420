"""What the sweep decides about one connection, second by second."""

from __future__ import annotations

from typing import Any

import pytest

from smsproxy.rpc.options import RpcOptions
from smsproxy.rpc.watch import ConnectionWatch, Verdict

OPTIONS = RpcOptions(
    first_byte_s=5, message_s=10, idle_s=300, max_age_s=3600, keepalive_s=60, keepalive_timeout_s=20
)


def a_watch(spread: float = 0.5) -> ConnectionWatch:
    return ConnectionWatch(OPTIONS, 0.0, spread)


def look(watch: ConnectionWatch, now: float, **seen: Any) -> Verdict:
    usual = {
        "reads": int(now) + 1,
        "frame": 0,
        "begun": True,
        "opened": 0,
        "open_calls": 0,
        "long_calls": False,
    }
    return watch.look(now, **{**usual, **seen})


def test_silence_before_the_first_frames_is_short() -> None:
    watch = a_watch()
    assert look(watch, 5.0, begun=False) is Verdict.STAY
    assert look(watch, 5.1, begun=False) is Verdict.SILENT


def test_only_the_same_half_frame_ages() -> None:
    watch = a_watch()
    assert look(watch, 0.0, frame=1) is Verdict.STAY
    assert look(watch, 9.0, frame=2) is Verdict.STAY
    assert look(watch, 18.0, frame=2) is Verdict.STAY
    assert look(watch, 19.1, frame=2) is Verdict.UNFINISHED


def test_idleness_begins_with_the_end_of_the_last_call() -> None:
    watch = a_watch()
    assert look(watch, 200.0, open_calls=1) is Verdict.STAY
    assert look(watch, 500.0) is Verdict.STAY
    assert look(watch, 500.1) is Verdict.IDLE


def test_a_call_that_no_sweep_saw_was_one_all_the_same() -> None:
    watch = a_watch()
    assert look(watch, 299.0, opened=1) is Verdict.STAY
    assert look(watch, 598.0, opened=1) is Verdict.STAY
    assert look(watch, 599.1, opened=1) is Verdict.IDLE


@pytest.mark.parametrize(("spread", "old_at"), [(0.0, 3240.0), (0.5, 3600.0), (1.0, 3960.0)])
def test_age_is_spread_by_a_tenth(spread: float, old_at: float) -> None:
    watch = a_watch(spread)
    assert look(watch, old_at - 1, open_calls=1) is Verdict.STAY
    assert look(watch, old_at + 1, open_calls=1, long_calls=True) is Verdict.STAY
    assert look(watch, old_at + 1, open_calls=1) is Verdict.RETIRE
    assert look(watch, old_at + 2) is Verdict.STAY  # a call has just ended: the next may be on its way
    assert look(watch, old_at + 2.1) is Verdict.OLD


def test_a_peer_is_asked_before_it_is_dead_however_long_this_process_was_stopped() -> None:
    watch = a_watch()
    seen = {"reads": 1, "open_calls": 1}
    assert look(watch, 0.0, **seen) is Verdict.STAY
    assert look(watch, 500.0, **seen) is Verdict.PING
    assert look(watch, 509.0, **seen) is Verdict.STAY
    assert look(watch, 511.0, **seen) is Verdict.DEAD


def test_a_silent_peer_is_asked_once_and_then_dead() -> None:
    watch = a_watch()
    seen = {"reads": 1, "open_calls": 1}
    assert look(watch, 0.0, **seen) is Verdict.STAY
    assert look(watch, 61.0, **seen) is Verdict.PING
    assert look(watch, 62.0, **seen) is Verdict.STAY
    assert look(watch, 80.1, **seen) is Verdict.DEAD


def test_a_peer_that_answers_is_asked_again_later() -> None:
    watch = a_watch()
    look(watch, 0.0, reads=1, open_calls=1)
    assert look(watch, 61.0, reads=1, open_calls=1) is Verdict.PING
    assert look(watch, 62.0, reads=2, open_calls=1) is Verdict.STAY
    assert look(watch, 123.0, reads=2, open_calls=1) is Verdict.PING


class Call:
    unfinished = 1

    def give_up_message(self) -> None:
        raise AssertionError


def test_a_message_is_late_only_if_it_is_the_same_one() -> None:
    watch, call = a_watch(), Call()
    assert watch.late_messages([call], 0.0) == []
    call.unfinished = 2
    assert watch.late_messages([call], 9.0) == []
    assert watch.late_messages([call], 18.9) == []
    assert watch.late_messages([call], 19.1) == [call]
    call.unfinished = 0
    assert watch.late_messages([call], 20.0) == []
