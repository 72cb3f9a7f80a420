"""ESME_RTHROTTLED and ESME_RMSGQFUL: the whole link pauses, order is kept, tries are counted (spec §6)."""

from __future__ import annotations

import pytest
from links_kit import Bench, Message

from smsproxy.domain.outcome import Refused
from smsproxy.smpp.constants import ESME_RINVDSTADR, ESME_RMSGQFUL, ESME_RTHROTTLED

OTP = (2, "unary")


def names(bench: Bench) -> list[str]:
    return [name for name, _ in bench.session.written]


@pytest.mark.parametrize("status", [ESME_RTHROTTLED, ESME_RMSGQFUL])
def test_a_throttled_answer_pauses_the_whole_link(status: int) -> None:
    bench = Bench()
    first = bench.offer()
    bench.answer(first, status=status)
    bench.offer()
    bench.offer(key=OTP)
    bench.loop.advance(0.999)
    assert names(bench) == ["m1"]
    assert bench.link.pause_left_s == pytest.approx(0.001)
    assert "throttled=yes" in repr(bench.link)
    bench.loop.advance(0.002)
    assert names(bench) == ["m1", "m1"]


def test_after_the_pause_it_starts_with_one_and_doubles_with_every_ok() -> None:
    bench = Bench(window=8)
    messages = [bench.offer() for _ in range(30)]
    bench.throttle(*messages[:8])
    bench.loop.advance(1.001)
    under_way = []
    while any(not message.ended for message in messages):
        under_way.append(bench.session.in_flight)
        bench.answer(bench.session.on_wire[0][1])
    assert under_way[:4] == [1, 2, 4, 8]
    assert max(under_way) == 8
    bench.assert_at_rest()


def test_first_come_order_is_kept_whatever_order_the_answers_came_in() -> None:
    bench = Bench(window=4)
    messages = [bench.offer() for _ in range(6)]
    for message in (messages[2], messages[0], messages[3], messages[1]):
        bench.throttle(message)
    bench.loop.advance(1.001)
    while any(not message.ended for message in messages):
        bench.answer(bench.session.on_wire[0][1])
    assert names(bench)[4:] == ["m1", "m2", "m3", "m4", "m5", "m6"]


def test_a_segment_is_submitted_three_times_then_it_is_refused_as_throttled() -> None:
    bench = Bench()
    message = bench.offer()
    pauses = []
    for _ in range(3):
        bench.throttle(message)
        pauses.append(bench.link.pause_left_s)
        bench.loop.advance(40)
    assert names(bench) == ["m1"] * 3
    assert pauses == [1, 2, 4]
    outcome = message.outcomes[1]
    assert isinstance(outcome, Refused)
    assert outcome.throttled
    assert bench.link.counters.throttled == 3
    assert bench.link.counters.refused == 1
    bench.assert_at_rest()


def test_a_segment_is_never_sent_again_after_an_ok() -> None:
    bench = Bench()
    taken, throttled = bench.offer(), bench.offer()
    bench.answer(taken)
    bench.throttle(throttled)
    bench.loop.advance(60)
    bench.answer(throttled)
    bench.loop.advance(60)
    assert names(bench) == ["m1", "m2", "m2"]


def test_a_segment_is_never_sent_again_after_silence() -> None:
    bench = Bench()
    message = bench.offer()
    bench.throttle(message)
    bench.loop.advance(1.001)
    bench.time_out(message)
    bench.loop.advance(60)
    assert names(bench) == ["m1", "m1"]
    assert message.ends == ["InDoubt"]
    bench.assert_at_rest()


def test_what_was_granted_before_the_pause_is_not_written_in_it() -> None:
    bench = Bench(window=4)
    first = bench.offer()
    bench.desk.store_at_once = False
    stored_late = [bench.offer() for _ in range(3)]
    bench.throttle(first)
    bench.desk.store()
    bench.loop.advance(0.99)
    assert names(bench) == ["m1"]
    bench.loop.advance(0.02)
    bench.answer(first)
    assert names(bench) == ["m1", "m1", "m2", "m3"]
    bench.answer(*stored_late[:2])
    bench.answer(stored_late[2])
    assert names(bench) == ["m1", "m1", "m2", "m3", "m4"]
    bench.assert_at_rest()


def test_slow_start_counts_places_whose_intent_is_still_being_stored() -> None:
    bench = Bench(window=10)
    first = bench.offer()
    bench.throttle(first)
    bench.desk.store_at_once = False
    for _ in range(5):
        bench.offer()
    bench.loop.advance(1.001)
    bench.answer(first)
    assert bench.session.held == 2


def test_a_message_stopped_in_the_pause_gives_back_what_was_held() -> None:
    bench = Bench(window=3)
    first = bench.offer()
    bench.desk.store_at_once = False
    held = bench.offer(parts=2)
    bench.throttle(first)
    bench.desk.store()
    assert bench.session.held == 2
    bench.link.stop(held)
    assert bench.session.held == 0
    assert not bench.link.idle
    bench.loop.advance(1.001)
    bench.answer(first)
    bench.assert_at_rest()


def test_a_refusal_ends_the_throttled_segments_of_the_same_message_too() -> None:
    bench = Bench(window=3)
    message = bench.offer(parts=3)
    bench.answer(message, number=2, status=ESME_RTHROTTLED)
    bench.answer(message, number=1, status=ESME_RINVDSTADR)
    bench.answer(message, number=3, status=ESME_RTHROTTLED)
    bench.loop.advance(60)
    assert len(bench.session.written) == 3
    assert message.ends == ["Refused"] * 3
    assert bench.link.counters.refused == 3
    bench.assert_at_rest()


def test_throttled_segments_are_refused_when_the_link_goes_down() -> None:
    bench = Bench(window=4)
    message = bench.offer(parts=4)
    bench.answer(message, number=1)
    bench.throttle(message)
    waiting = bench.offer()
    bench.cut()
    assert message.ends == ["Accepted", "Refused", "Refused", "Refused"]
    assert waiting.abandoned
    bench.assert_at_rest()


def test_held_messages_are_not_sent_when_the_link_goes_down_in_the_pause() -> None:
    bench = Bench(window=4)
    first = bench.offer()
    bench.desk.store_at_once = False
    held = bench.offer(parts=2)
    bench.throttle(first)
    bench.desk.store()
    bench.cut()
    assert held.ends == ["NotSent", "NotSent"]
    bench.assert_at_rest()


def test_an_intent_stored_after_the_link_went_down_in_the_pause_is_not_sent() -> None:
    bench = Bench(window=4)
    first = bench.offer()
    bench.desk.store_at_once = False
    message = bench.offer()
    bench.throttle(first)
    bench.cut()
    bench.desk.store()
    assert message.ends == ["NotSent"]
    bench.assert_at_rest()


def test_the_pause_survives_a_reconnect() -> None:
    bench = Bench(window=4)
    bench.throttle(bench.offer())
    bench.cut()
    bench.sessions.append(bench.a_session())
    bench.offer()
    assert names(bench) == []
    bench.loop.advance(1.001)
    assert names(bench) == ["m2"]


def test_after_a_pause_tries_wait_for_tokens_like_everybody() -> None:
    bench = Bench(rate_per_s=1, burst=1)
    message = bench.offer()
    bench.throttle(message)
    bench.offer()
    bench.loop.advance(1.0)
    bench.answer(message)
    assert names(bench) == ["m1", "m1"]
    bench.loop.advance(1.001)
    assert names(bench) == ["m1", "m1", "m2"]


def test_a_try_that_has_no_token_yet_keeps_its_turn() -> None:
    bench = Bench(rate_per_s=1, burst=2)
    first, second = bench.offer(), bench.offer()
    bench.throttle(first, second)
    bench.offer()
    bench.loop.advance(1.01)
    assert names(bench) == ["m1", "m2", "m1"]
    bench.answer(first)
    bench.loop.advance(0.5)
    assert names(bench) == ["m1", "m2", "m1"]
    bench.loop.advance(3)
    assert names(bench) == ["m1", "m2", "m1", "m2", "m3"]


def test_tries_without_a_slot_let_held_messages_free_one() -> None:
    """The session with the free slot went; in the other one every place is granted and waits for us."""
    bench = Bench(sessions=2, window=1)
    first = bench.offer()
    bench.desk.store_at_once = False
    second = bench.offer()
    bench.throttle(first)
    bench.desk.store()
    bench.cut(bench.sessions[0])
    bench.loop.advance(1.001)
    bench.answer(second)
    bench.answer(first)
    assert [message.ends for message in (first, second)] == [["Accepted"], ["Accepted"]]
    bench.assert_at_rest()


def test_a_long_message_is_throttled_segment_by_segment_and_arrives_whole() -> None:
    bench = Bench(window=3)
    message = bench.offer(parts=5)
    bench.throttle(message)
    bench.loop.advance(1.001)
    while not message.ended:
        bench.answer(message)
    assert message.ends == ["Accepted"] * 5
    bench.assert_at_rest()


def test_a_paused_link_is_not_free_and_says_when_it_will_be() -> None:
    bench = Bench()
    bench.throttle(bench.offer())
    assert not bench.link.free_now()
    assert bench.link.free_in()[0] == 1.0
    assert bench.link.expected_wait_s() == 0  # the pause does not count as waiting
    bench.loop.advance(1.001)
    assert bench.link.pause_left_s == 0


def test_the_waiting_counts_tries_and_the_wait_reckons_with_them() -> None:
    bench = Bench(rate_per_s=10, burst=10)
    messages: list[Message] = [bench.offer() for _ in range(10)]
    bench.throttle(*messages)
    assert bench.link.waiting == 10
    assert bench.link.expected_wait_s() >= 1.0
