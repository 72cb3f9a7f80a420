"""How messages get places on a link: token, slot, turn; and how places come back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from links_kit import Bench, Message

from smsproxy.domain.outcome import Accepted, InDoubt, Refused
from smsproxy.limits.gcra import Gcra
from smsproxy.links.base import Offer
from smsproxy.smpp.constants import ESME_RINVDSTADR, ESME_RSYSERR
from smsproxy.smpp.events import (
    BindRefused,
    Closed,
    LateAnswer,
    Nacked,
    PeerUnbound,
    SubmitAnswered,
    Unexpected,
)

OTP = (2, "unary")
CAMPAIGN = (1, "stream")


# --- the straight road -----------------------------------------------------------------------------------


OTP = (2, "unary")
CAMPAIGN = (1, "stream")


def test_a_message_is_granted_a_place_written_and_accepted() -> None:
    bench = Bench()
    message = bench.offer()
    assert bench.offered is Offer.GRANTED
    assert bench.session.written == [("m1", 1)]
    bench.answer(message)
    assert message.outcomes == {1: Accepted("id-m1-1")}
    bench.assert_at_rest()


def test_nothing_is_written_before_its_intent_is_stored() -> None:
    bench = Bench()
    bench.desk.store_at_once = False
    bench.offer()
    assert bench.session.written == []
    assert bench.session.held == 1
    assert not bench.link.idle
    bench.desk.store()
    assert bench.session.written == [("m1", 1)]


def test_the_segments_of_a_message_go_in_order_with_one_reference() -> None:
    bench = Bench()
    message = bench.offer(parts=4)
    assert [number for _, number in bench.session.written] == [1, 2, 3, 4]
    assert message.reference > 0
    bench.answer(message)
    assert message.ends == ["Accepted"] * 4
    bench.assert_at_rest()


def test_answers_out_of_order_end_their_own_segments() -> None:
    bench = Bench()
    message = bench.offer(parts=3)
    for number in (3, 1, 2):
        bench.answer(message, number=number)
    assert [message.outcomes[number] for number in (1, 2, 3)] == [
        Accepted("id-m1-1"),
        Accepted("id-m1-2"),
        Accepted("id-m1-3"),
    ]


def test_a_refusal_carries_the_status_as_operators_know_it() -> None:
    bench = Bench()
    message = bench.offer()
    bench.answer(message, status=ESME_RINVDSTADR)
    outcome = message.outcomes[1]
    assert isinstance(outcome, Refused)
    assert str(outcome) == "ESME_RINVDSTADR 0x0000000B"
    assert not outcome.throttled
    assert bench.link.counters.refused == 1


# --- window, rate, turns ---------------------------------------------------------------------------------


def test_the_window_is_never_exceeded() -> None:
    bench = Bench(window=3)
    messages = [bench.offer() for _ in range(10)]
    while not all(message.ended for message in messages):
        assert bench.session.in_flight == min(3, sum(not message.ended for message in messages))
        bench.answer(next(message for message in messages if not message.ended))
    assert bench.session.most_at_once == 3
    assert [name for name, _ in bench.session.written] == [message.name for message in messages]
    bench.assert_at_rest()


def test_places_of_unstored_intents_count_as_taken() -> None:
    bench = Bench(window=2)
    bench.desk.store_at_once = False
    for _ in range(3):
        bench.offer()
    assert bench.offered is Offer.WAITING
    assert len(bench.desk.grants) == 2


def test_a_message_longer_than_the_window_gets_places_as_they_come_free() -> None:
    bench = Bench(window=2)
    message = bench.offer(parts=5)
    for number in (1, 2, 3, 4, 5):
        assert bench.session.in_flight <= 2
        bench.answer(message, number=number)
    assert message.ends == ["Accepted"] * 5
    bench.assert_at_rest()


def test_a_message_costs_a_token_for_each_segment() -> None:
    bench = Bench(rate_per_s=10, burst=10)
    bench.offer(parts=10)
    bench.offer()
    assert len(bench.session.written) == 10
    bench.answer_all()
    bench.loop.advance(0.101)
    assert bench.session.written[-1] == ("m2", 1)


def test_a_ripe_token_wakes_the_link_by_itself() -> None:
    bench = Bench(rate_per_s=10, burst=1)
    for _ in range(4):
        bench.offer()
    assert len(bench.session.written) == 1
    bench.loop.advance(0.3001)
    assert len(bench.session.written) == 4
    bench.answer_all()
    bench.assert_at_rest()


def test_the_timer_is_never_shorter_than_the_clock_can_tell() -> None:
    bench = Bench(rate_per_s=100_000, burst=1)
    bench.offer()
    bench.offer()
    assert bench.loop.timers == [pytest.approx(bench.loop.now + 0.001)]


def test_tokens_that_ripen_within_ten_ms_are_given_out_together() -> None:
    bench = Bench(rate_per_s=1000, burst=200, window=1000)
    for _ in range(230):
        bench.offer(key=CAMPAIGN)
    assert len(bench.session.written) == 200
    bench.loop.advance(0.009)
    assert len(bench.session.written) == 200
    bench.loop.advance(0.0011)
    assert len(bench.session.written) == 210
    bench.loop.advance(0.0201)
    assert len(bench.session.written) == 230
    bench.answer_all()
    bench.assert_at_rest()


def test_a_small_burst_is_given_out_before_it_is_full() -> None:
    bench = Bench(rate_per_s=1000, burst=9, window=1000, max_waiting=1000)
    for _ in range(109):
        bench.offer(key=CAMPAIGN)
    bench.loop.advance(0.1001)
    assert len(bench.session.written) == 109


def test_while_a_token_is_waited_for_neither_streams_nor_answers_look_for_one() -> None:
    looks: list[int] = []

    class Counting(Gcra):
        def take(self, now_ns: int, n: int = 1) -> int:
            looks.append(now_ns)
            return super().take(now_ns, n)

    bench = Bench(rate_per_s=10, burst=2, shaper=Counting(10, 2))
    first = bench.offer()
    for _ in range(3):
        bench.offer()
    seen = len(looks)
    bench.offer(key=CAMPAIGN)
    bench.answer(first)
    assert len(looks) == seen
    bench.loop.advance(0.301)
    bench.answer_all()
    bench.assert_at_rest()


def test_an_otp_takes_its_turn_at_what_has_ripened_without_the_timer() -> None:
    bench = Bench(rate_per_s=1000, burst=200, window=1000)
    for number in range(230):
        bench.offer(key=CAMPAIGN, name=f"c{number}")
    bench.loop.now += 0.005
    bench.offer(key=OTP, name="otp")
    assert ("otp", 1) in bench.session.written
    assert len(bench.session.written) == 205


def test_an_otp_that_finds_nothing_ripe_waits_for_the_next_tokens_alone() -> None:
    bench = Bench(rate_per_s=1000, burst=200, window=1000)
    for number in range(230):
        bench.offer(key=CAMPAIGN, name=f"c{number}")
    bench.offer(key=OTP, name="otp")
    bench.loop.advance(0.0025)
    assert [name for name, _ in bench.session.written[200:]] == ["c200", "otp"]
    assert bench.loop.timers == [pytest.approx(bench.loop.now + 0.0095, abs=0.001)]


def test_places_that_come_free_are_used_at_once_when_tokens_are_there() -> None:
    bench = Bench(rate_per_s=1000, burst=200, window=2)
    messages = [bench.offer() for _ in range(4)]
    bench.answer(messages[0])
    assert len(bench.session.written) == 3


def test_an_otp_is_served_in_the_next_turn_of_a_busy_link() -> None:
    bench = Bench(window=1)
    campaign = [bench.offer(name=f"c{number}") for number in range(50)]
    bench.offer(key=OTP, name="otp")
    bench.answer(campaign[0])
    bench.answer(campaign[1])
    assert [name for name, _ in bench.session.written] == ["c0", "c1", "otp"]


def test_a_message_keeps_its_turn_until_all_its_segments_have_a_place() -> None:
    bench = Bench(window=2)
    long = bench.offer(parts=3)
    other = bench.offer(key=OTP)
    bench.answer(long, number=1)
    assert bench.session.written == [("m1", 1), ("m1", 2), ("m1", 3)]
    bench.answer(long)
    bench.answer(other)
    bench.assert_at_rest()


def test_a_full_waiting_room_refuses_and_counts() -> None:
    bench = Bench(window=1, max_waiting=2)
    for _ in range(3):
        bench.offer(key=OTP)
        assert bench.offered is not Offer.FULL
    refused = bench.offer(key=OTP)
    assert bench.offered is Offer.FULL
    assert refused.slots == ()
    assert bench.link.counters.waiting_full == 1
    assert bench.link.waiting == 2


def test_a_campaign_is_never_refused_for_the_crowd_and_takes_nobody_elses_place() -> None:
    bench = Bench(window=1, max_waiting=2)
    for _ in range(20):
        bench.offer()
        assert bench.offered is not Offer.FULL
    for _ in range(2):
        bench.offer(key=OTP)
        assert bench.offered is Offer.WAITING
    bench.offer(key=OTP)
    assert bench.offered is Offer.FULL


def test_without_a_waiting_room_what_is_free_is_still_granted() -> None:
    bench = Bench(window=1, max_waiting=0)
    bench.offer(key=OTP)
    assert bench.offered is Offer.GRANTED
    bench.offer(key=OTP)
    assert bench.offered is Offer.FULL


def test_a_withdrawn_waiter_frees_its_place_at_once() -> None:
    bench = Bench(window=1, max_waiting=1)
    first, second = bench.offer(), bench.offer()
    assert bench.link.withdraw(second)
    assert not bench.link.withdraw(second)
    assert not bench.link.withdraw(first)
    third = bench.offer()
    assert bench.offered is Offer.WAITING
    bench.answer(first)
    bench.answer(third)
    bench.assert_at_rest()


def test_sessions_share_the_load() -> None:
    bench = Bench(sessions=3, window=4)
    for _ in range(9):
        bench.link.free_now()  # a pool that looks does not disturb the turns
        bench.offer()
    assert [session.in_flight for session in bench.sessions] == [3, 3, 3]
    for _ in range(9):
        bench.offer()
    assert [session.in_flight for session in bench.sessions] == [4, 4, 4]
    assert bench.link.waiting == 6


def test_a_receiver_alone_does_not_make_a_link_bound() -> None:
    bench = Bench(sessions=0)
    bench.a_session(submits=False)
    assert not bench.link.bound
    bench.offer()
    assert bench.offered is Offer.UNBOUND
    transmitter = bench.a_session()
    message = bench.offer()
    assert transmitter.written == [(message.name, 1)]


# --- what a pool and the pipeline ask --------------------------------------------------------------------


def test_free_now_needs_a_token_a_slot_and_nobody_waiting() -> None:
    bench = Bench(window=2, rate_per_s=1, burst=2)
    assert bench.link.free_now()
    bench.offer()
    assert bench.link.free_now()
    bench.offer()
    assert not bench.link.free_now()
    bench.answer_all()
    assert not bench.link.free_now()
    bench.loop.advance(1)
    assert bench.link.free_now()


def test_the_wait_is_told_from_the_rate_and_from_whose_turn_comes_before() -> None:
    bench = Bench(window=100, rate_per_s=10, burst=1)
    assert bench.link.expected_wait_s() == 0
    for _ in range(21):
        bench.offer()
    assert bench.link.expected_wait_s() == pytest.approx(2.1)
    assert bench.link.expected_wait_s(OTP) == pytest.approx(0.2)
    assert Bench().link.expected_wait_s() == 0


def test_a_link_shows_itself_in_one_line() -> None:
    bench = Bench(window=3)
    bench.desk.store_at_once = False
    for _ in range(4):
        bench.offer()
    assert repr(bench.link) == "<Link 7 bound window=0/3 granted=3 waiting=1 throttled=no>"
    bench.cut()
    assert repr(bench.link).startswith("<Link 7 unbound")


def test_ids_of_answers_are_spelled_as_receipts_will() -> None:
    assert Bench(receipt_id="hex_response_decimal_receipt").link.receipt_key("00FF") == "255"


def test_counters_are_read_by_name() -> None:
    bench = Bench()
    bench.answer(bench.offer())
    counted = {name: value for name, value in bench.link.counters.items() if value}
    assert counted == {"submits": 1, "accepted": 1}


# --- stop ------------------------------------------------------------------------------------------------


def test_once_a_refusal_is_known_no_further_segment_is_written() -> None:
    bench = Bench(window=2)
    message = bench.offer(parts=5)
    bench.answer(message, number=1, status=ESME_RINVDSTADR)
    assert bench.session.written == [("m1", 1), ("m1", 2)]
    bench.answer(message, number=2)
    assert message.ends == ["Refused", "Accepted", "NotSent", "NotSent", "NotSent"]
    bench.assert_at_rest()


def test_places_of_a_stopped_message_go_to_who_waits_without_another_event() -> None:
    bench = Bench(window=2)
    bench.desk.store_at_once = False
    bench.offer(parts=2)
    waiting = bench.offer()
    bench.desk.fail_to_store()
    bench.desk.store()
    assert bench.session.written == [(waiting.name, 1)]
    bench.answer(waiting)
    bench.assert_at_rest()


def test_a_message_stopped_while_it_is_granted_leaves_nothing_behind() -> None:
    """As the pipeline does when the deadline has passed by then."""
    bench = Bench(window=1)
    expired = bench.offer(name="expired")
    bench.desk.granted = lambda _link_id, message: bench.link.stop(message)
    late = Message("late", 3, OTP)
    bench.link.offer(late)
    bench.answer(expired)
    assert late.slots == ()
    assert not late.outcomes
    bench.assert_at_rest()
    assert bench.link.offer(Message("later", 1, OTP)) is Offer.GRANTED  # it had its turn, and gave it back


def test_ten_thousand_expired_waiters_are_passed_over_in_one_go() -> None:
    bench = Bench(window=1, max_waiting=10_000)
    first = bench.offer()
    for _ in range(10_000):
        bench.offer()
    bench.desk.granted = lambda _link_id, message: bench.link.stop(message)
    bench.answer(first)
    bench.assert_at_rest()


def test_offers_made_while_places_are_granted_are_served_in_their_turn() -> None:
    """A stream that gets an answer offers its next message from inside that answer."""
    bench = Bench(window=2)
    followers: list[Message] = []

    def offer_another(_: Message) -> None:
        if len(followers) < 30:
            followers.append(bench.offer())

    bench.desk.on_answer = offer_another
    bench.offer()
    bench.offer()
    for _ in range(32):
        bench.answer(bench.session.on_wire[0][1])
    assert len(followers) == 30
    assert [name for name, _ in bench.session.written] == [f"m{number}" for number in range(1, 33)]
    bench.assert_at_rest()


# --- doubt and loss --------------------------------------------------------------------------------------


def test_no_answer_in_time_is_in_doubt_and_frees_the_slot() -> None:
    bench = Bench(window=1)
    silent, next_one = bench.offer(), bench.offer()
    bench.time_out(silent)
    assert silent.outcomes == {1: InDoubt("no answer from the SMSC in time")}
    assert bench.session.written == [("m1", 1), ("m2", 1)]
    bench.answer(next_one)
    assert bench.link.counters.in_doubt == 1
    bench.assert_at_rest()


def test_a_late_answer_settles_the_doubt_it_belongs_to() -> None:
    bench = Bench()
    silent = bench.offer()
    owner = bench.session.on_wire[0]
    bench.time_out(silent)
    bench.link.on_events(bench.session, [LateAnswer(owner, 0, "77"), LateAnswer(owner, 0x58, "")])
    assert bench.desk.late[0] == (silent, 1, Accepted("77"))
    assert isinstance(bench.desk.late[1][2], Refused)
    assert bench.link.counters.settled_late == 2
    assert bench.session.written == [("m1", 1)]  # a late "throttled" is not tried again


def test_a_generic_nack_is_a_refusal_even_when_its_status_says_ok() -> None:
    bench = Bench()
    message = bench.offer()
    owner = bench.session.on_wire.pop()
    bench.link.on_events(bench.session, [Nacked(owner, 0)])
    assert isinstance(message.outcomes[1], Refused)
    assert message.outcomes[1].command_status == ESME_RSYSERR


def test_what_changes_nothing_is_counted_at_most() -> None:
    bench = Bench()
    message = bench.offer()
    bench.link.on_events(bench.session, [Unexpected("x"), PeerUnbound(), BindRefused(5), Closed("x")])
    assert bench.link.counters.unexpected == 1
    assert message.outcomes == {}


def test_a_cut_leaves_in_doubt_what_was_in_flight_and_abandons_who_waits() -> None:
    bench = Bench(window=2)
    messages = [bench.offer() for _ in range(5)]
    bench.cut()
    assert [message.ends for message in messages] == [["InDoubt"], ["InDoubt"], [], [], []]
    assert [message.abandoned for message in messages] == [False, False, True, True, True]
    bench.assert_at_rest()


def test_a_place_granted_before_the_cut_is_provably_not_sent() -> None:
    bench = Bench()
    bench.desk.store_at_once = False
    message = bench.offer(parts=3)
    bench.cut()
    assert message.outcomes == {}  # its intent is being stored: nobody may end it now
    bench.desk.store()
    assert message.ends == ["NotSent"] * 3
    assert bench.link.counters.lost_before_write == 1
    bench.assert_at_rest()


def test_a_long_message_cut_in_the_middle_ends_every_segment() -> None:
    bench = Bench(window=2)
    message = bench.offer(parts=5)
    bench.answer(message, number=1)
    bench.cut()
    assert message.ends == ["Accepted", "InDoubt", "InDoubt", "NotSent", "NotSent"]
    bench.assert_at_rest()


def test_a_message_whose_link_comes_back_while_its_intent_is_stored_goes_on() -> None:
    bench = Bench(window=2)
    bench.desk.store_at_once = False
    message = bench.offer(parts=3)
    bench.cut()
    bench.sessions.append(bench.a_session())
    bench.desk.store()
    bench.answer_all()
    bench.answer_all()
    assert message.ends == ["Accepted"] * 3
    bench.assert_at_rest()


def test_a_segment_moves_to_another_session_of_the_link_when_its_own_is_gone() -> None:
    bench = Bench(sessions=2, window=4)
    bench.desk.store_at_once = False
    message = bench.offer(parts=4)
    lost, left = bench.sessions
    bench.cut(lost)
    bench.desk.store()
    assert left.in_flight == 4
    assert lost.held == 0
    bench.answer_all()
    assert message.ends == ["Accepted"] * 4
    bench.assert_at_rest()


def test_a_segment_whose_session_is_gone_waits_for_room_in_the_other() -> None:
    bench = Bench(sessions=2, window=2)
    bench.desk.store_at_once = False
    message = bench.offer(parts=4)
    bench.cut(bench.sessions[0])
    bench.desk.store()
    assert bench.session.written == [("m1", 1), ("m1", 2)]
    assert not message.ended
    assert not bench.link.free_now()
    bench.answer_all()
    bench.answer_all()
    assert message.ends == ["Accepted"] * 4
    bench.assert_at_rest()


def test_who_waits_for_room_does_not_keep_others_from_the_places_they_have() -> None:
    bench = Bench(sessions=2, window=2)
    bench.desk.store_at_once = False
    messages = [bench.offer(name=name) for name in ("lost1", "has1", "lost2", "has2")]
    bench.cut(bench.sessions[0])
    bench.desk.store()
    assert bench.session.written == [("has1", 1), ("has2", 1)]
    bench.answer_all()
    bench.answer_all()
    assert [message.ends for message in messages] == [["Accepted"]] * 4
    bench.assert_at_rest()


def test_held_segments_end_as_not_sent_when_the_last_session_goes_too() -> None:
    bench = Bench(sessions=2, window=2)
    bench.desk.store_at_once = False
    message = bench.offer(parts=4)
    bench.cut(bench.sessions[0])
    bench.desk.store()
    bench.cut(bench.sessions[0])
    assert message.ends == ["InDoubt", "InDoubt", "NotSent", "NotSent"]
    bench.assert_at_rest()


def test_the_other_sessions_go_on_when_one_is_cut() -> None:
    bench = Bench(sessions=2, window=1)
    messages = [bench.offer() for _ in range(4)]
    bench.cut(bench.sessions[0])
    assert bench.link.bound
    while not all(message.ended for message in messages):
        bench.answer_all()
    assert sorted(message.ends[0] for message in messages) == ["Accepted"] * 3 + ["InDoubt"]
    bench.assert_at_rest()


def test_who_is_abandoned_may_go_elsewhere_at_once() -> None:
    bench, other = Bench(window=1), Bench()
    other.desk.link = other.link
    moved = []
    bench.desk.on_abandon = lambda message: moved.append(other.link.offer(message))
    bench.offer()
    waiting = bench.offer()
    bench.cut()
    assert moved == [Offer.GRANTED]
    other.answer(waiting)
    assert waiting.ends == ["Accepted"]
    bench.assert_at_rest()


def test_an_offer_to_a_link_that_is_down_is_not_taken() -> None:
    bench = Bench()
    bench.cut()
    message = bench.offer()
    assert bench.offered is Offer.UNBOUND
    assert not bench.link.withdraw(message)
    assert not bench.link.free_now()


# --- everything at once ----------------------------------------------------------------------------------

OURS = st.sampled_from(["offer", "offer", "offer3", "otp", "store", "fail", "second"])
THEIRS = st.sampled_from(["ok", "ok", "ok", "refuse", "throttle", "time_out", "cut", "bind"])


@given(st.lists(st.one_of(OURS, THEIRS), max_size=60), st.sampled_from([0, 5]), st.booleans())
def test_whatever_happens_every_segment_ends_once_and_every_place_comes_back(
    actions: list[str], rate_per_s: int, store_at_once: bool
) -> None:
    bench = Bench(sessions=2, window=3, rate_per_s=rate_per_s, burst=rate_per_s and 4)
    bench.desk.store_at_once = store_at_once
    messages = [act(bench, action) for action in actions]
    taken = [message for message in messages if message is not None]
    for _ in range(200):  # let everything come to its end
        bench.desk.store()
        bench.answer_all()
        bench.loop.advance(1.0)
    for message in taken:
        assert message.ended or message.abandoned or message.stopped, message
        assert not message.written or message.ended, message
    assert bench.link.idle, bench.link
    assert bench.link.waiting == 0
    assert all(session.held == 0 for session in bench.sessions)


def act(bench: Bench, action: str) -> Message | None:
    """One thing that can happen; the message that the link took, if it did."""
    on_wire = [(session, owner) for session in bench.sessions for owner in session.on_wire]
    match action:
        case "offer" | "offer3" | "otp":
            message = bench.offer(3 if action == "offer3" else 1, OTP if action == "otp" else (1, "stream"))
            return message if bench.offered in (Offer.GRANTED, Offer.WAITING) else None
        case "store":
            bench.desk.store()
        case "fail":
            bench.desk.fail_to_store()
        case "ok" | "refuse" | "throttle" | "time_out" if on_wire:
            session, owner = on_wire[-1 if action == "throttle" else 0]
            if action == "time_out":
                if session is bench.session:
                    bench.time_out(owner[1])
            else:
                status = {"ok": 0, "refuse": ESME_RINVDSTADR, "throttle": 0x58}[action]
                session.on_wire.remove(owner)
                bench.link.on_events(session, [SubmitAnswered(owner, status, "id")])
        case "cut" if bench.sessions:
            bench.cut()
        case "bind" if len(bench.sessions) < 2:
            bench.sessions.append(bench.a_session())
            bench.link.on_events(bench.sessions[-1], [])
        case "second":
            bench.loop.advance(1.0)
        case _:
            pass
    return None
