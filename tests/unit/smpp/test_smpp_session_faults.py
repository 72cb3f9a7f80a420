"""What goes wrong on a session: silence, late and wrong answers, nacks, bad PDUs, lost framing."""

from __future__ import annotations

import struct

import pytest
from smpp_builders import (
    a_body,
    a_bound_session,
    an_answer,
    assert_closed,
    assert_nothing_sent,
    assert_pdu_sent,
    submitted,
)

from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import encode
from smsproxy.smpp.events import (
    Closed,
    LateAnswer,
    Nacked,
    SubmitAnswered,
    SubmitLost,
    SubmitTimedOut,
    Unexpected,
)
from smsproxy.smpp.pdu import (
    AlertNotification,
    Bind,
    BindKind,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLinkResp,
    GenericNack,
    Outbind,
    Pdu,
    QuerySm,
    QuerySmResp,
    SubmitSm,
    UnbindResp,
    UnknownPdu,
)
from smsproxy.smpp.session import EsmeSession, State
from smsproxy.smpp.submits import MAX_REMEMBERED_TIMEOUTS, Submits

# --- silence ---------------------------------------------------------------------------------------------


def test_submit_without_an_answer_times_out_on_the_second_and_frees_its_slot() -> None:
    session = a_bound_session(window=1)
    submitted(session, "a", now=3)
    assert session.tick(12) == []
    assert not session.reserve()
    assert session.tick(13) == [SubmitTimedOut("a")]
    assert session.reserve()


def test_three_silences_in_a_row_end_the_session() -> None:
    session = a_bound_session()
    submitted(session, "a", now=1)
    submitted(session, "b", now=2)
    submitted(session, "c", "d", now=3)
    assert session.tick(12) == [SubmitTimedOut("a"), SubmitTimedOut("b")]
    submitted(session, "e", now=12)
    events = session.tick(13)
    assert events == [SubmitTimedOut("c"), SubmitTimedOut("d"), SubmitLost("e"), Closed("silent")]
    assert_closed(session, events)


def test_an_answer_in_between_starts_the_count_anew() -> None:
    session = a_bound_session()
    submitted(session, "a", "b", now=0)
    session.tick(10)
    (number,) = submitted(session, "c", now=10)
    session.receive(an_answer(number), 11)
    submitted(session, "d", "e", now=12)
    session.tick(22)
    assert session.state is State.BOUND
    submitted(session, "f", now=22)
    assert session.tick(32)[-1] == Closed("silent")


@pytest.mark.parametrize("late", [True, False])
def test_a_late_answer_and_a_nack_are_answers_too(late: bool) -> None:
    session = a_bound_session()
    submitted(session, "a", "b", now=0)
    session.tick(10)
    (number,) = [2] if late else submitted(session, "c", now=10)
    session.receive(encode(GenericNack(), number, c.ESME_RSYSERR), 11)
    submitted(session, "d", "e", now=11)
    session.tick(21)
    assert session.state is State.BOUND


def test_three_dropped_of_one_batch_do_not_end_a_link_that_answers_others() -> None:
    session = a_bound_session()
    submitted(session, "a", "b", "c", now=0)
    (number,) = submitted(session, "d", now=8)
    session.receive(an_answer(number), 9)
    assert session.tick(10) == [SubmitTimedOut("a"), SubmitTimedOut("b"), SubmitTimedOut("c")]
    assert session.state is State.BOUND


# --- late and wrong answers ------------------------------------------------------------------------------


def a_session_that_timed_out() -> EsmeSession:
    """Its submit number 2, owned by "late", timed out at 10."""
    session = a_bound_session()
    submitted(session, "late", now=0)
    session.tick(10)
    session.data_to_send()
    return session


@pytest.mark.parametrize("status", [c.ESME_ROK, c.ESME_RSYSERR])
def test_late_answer_settles_the_doubt_once(status: int) -> None:
    session = a_session_that_timed_out()
    assert session.receive(an_answer(2, "id-9", status), 12) == [LateAnswer("late", status, "id-9")]
    assert session.receive(an_answer(2, "id-9"), 12) == [
        Unexpected("submit_sm_resp with unknown sequence_number 2")
    ]


def test_late_nack_settles_the_doubt_too() -> None:
    session = a_session_that_timed_out()
    nack = encode(GenericNack(), 2, c.ESME_RINVMSGLEN)
    assert session.receive(nack, 12) == [LateAnswer("late", c.ESME_RINVMSGLEN, "")]


def test_late_response_does_not_free_another_slot() -> None:
    session = a_session_that_timed_out()
    (number,) = submitted(session, "next", now=11)
    session.receive(an_answer(2), 12)
    assert session.in_flight == 1
    assert session.receive(an_answer(number), 13) == [SubmitAnswered("next", 0, "id-1")]


def test_only_the_last_timeouts_are_remembered() -> None:
    submits = Submits(MAX_REMEMBERED_TIMEOUTS + 1, 10)
    for number in range(MAX_REMEMBERED_TIMEOUTS + 1):
        assert submits.window.reserve()
        submits.window.take(number, f"owner {number}", 0)
    assert (
        len(
            submits.expire(
                10,
            )
        )
        == MAX_REMEMBERED_TIMEOUTS + 1
    )
    assert submits.answered(0, 0, "", 11) == Unexpected("submit_sm_resp with unknown sequence_number 0")
    assert submits.answered(1, 0, "x", 11) == LateAnswer("owner 1", 0, "x")
    assert f"timed_out={MAX_REMEMBERED_TIMEOUTS - 1}" in repr(submits)


def test_unknown_and_repeated_answers_change_nothing() -> None:
    session = a_bound_session()
    first, second = submitted(session, "a", "b")
    session.receive(an_answer(first), 0)
    for number in (first, 99, 0, 0xFFFFFFFF):
        assert session.receive(an_answer(number), 0) == [
            Unexpected(f"submit_sm_resp with unknown sequence_number {number}")
        ]
    assert session.in_flight == 1
    assert session.receive(an_answer(second), 0) == [SubmitAnswered("b", 0, "id-1")]


@pytest.mark.parametrize(
    "wrong",
    [
        EnquireLinkResp(),
        UnbindResp(),
        DeliverSmResp("x"),
        DataSmResp("x"),
        QuerySmResp(),
        UnknownPdu(0x80000099),
    ],
)
def test_response_of_the_wrong_type_settles_nothing(wrong: Pdu) -> None:
    session = a_bound_session()
    (number,) = submitted(session, "a")
    session.data_to_send()
    (event,) = session.receive(encode(wrong, number), 0)
    assert isinstance(event, Unexpected)
    assert_nothing_sent(session)
    assert session.receive(an_answer(number), 0) == [SubmitAnswered("a", 0, "id-1")]


def test_submit_sm_resp_for_our_enquire_link_settles_nothing() -> None:
    session = a_bound_session()
    session.tick(30)
    assert session.receive(an_answer(2), 31) == [Unexpected("submit_sm_resp with unknown sequence_number 2")]
    assert session.receive(encode(EnquireLinkResp(), 2), 31) == []


# --- generic_nack ----------------------------------------------------------------------------------------


def test_nack_of_a_known_number_ends_that_submit() -> None:
    session = a_bound_session()
    first, _ = submitted(session, "a", "b")
    nack = encode(GenericNack(), first, c.ESME_RINVCMDLEN)
    assert session.receive(nack, 0) == [Nacked("a", c.ESME_RINVCMDLEN)]
    assert session.in_flight == 1


@pytest.mark.parametrize("number", [0, 99])
def test_nack_without_a_known_number_is_only_counted(number: int) -> None:
    session = a_bound_session()
    submitted(session, "a")
    events = session.receive(encode(GenericNack(), number, c.ESME_RINVCMDLEN), 0)
    assert events == [Unexpected(f"generic_nack with unknown sequence_number {number}")]
    assert session.in_flight == 1
    assert session.state is State.BOUND


# --- requests we cannot serve ----------------------------------------------------------------------------


def test_unknown_command_gets_a_generic_nack_and_the_session_lives() -> None:
    session = a_bound_session()
    events = session.receive(encode(UnknownPdu(0x99, b"junk"), 0xFFFFFFFF), 0)
    assert events == [Unexpected("command 0x00000099")]
    assert_pdu_sent(session, GenericNack, 0xFFFFFFFF, c.ESME_RINVCMDID)
    assert session.state is State.BOUND


@pytest.mark.parametrize("request_pdu", [Bind(BindKind.RECEIVER), SubmitSm(), QuerySm()])
def test_requests_of_an_esme_are_refused(request_pdu: Pdu) -> None:
    session = a_bound_session()
    (event,) = session.receive(encode(request_pdu, 5), 0)
    assert isinstance(event, Unexpected)
    assert_pdu_sent(session, GenericNack, 5, c.ESME_RINVBNDSTS)


@pytest.mark.parametrize("pdu", [Outbind("smsc"), AlertNotification()])
def test_what_has_no_response_gets_none(pdu: Pdu) -> None:
    session = a_bound_session()
    (event,) = session.receive(encode(pdu, 5), 0)
    assert isinstance(event, Unexpected)
    assert_nothing_sent(session)


@pytest.mark.parametrize(
    ("command_id", "body", "response", "status"),
    [
        (c.DELIVER_SM, b"\0\1\1", DeliverSmResp, c.ESME_RINVCMDLEN),
        (c.DELIVER_SM, b"\0" * 16 + b"\x09short", DeliverSmResp, c.ESME_RINVMSGLEN),
        (c.DATA_SM, b"\0\1\1", DataSmResp, c.ESME_RINVCMDLEN),
        (c.SUBMIT_SM, b"", GenericNack, c.ESME_RINVCMDLEN),
    ],
)
def test_bad_request_is_answered_by_its_response_and_the_session_lives(
    command_id: int, body: bytes, response: type[Pdu], status: int
) -> None:
    session = a_bound_session()
    octets = struct.pack(">LLLL", 16 + len(body), command_id, 0, 8) + body
    (event,) = session.receive(octets, 0)
    assert isinstance(event, Unexpected)
    assert_pdu_sent(session, response, 8, status)
    assert session.receive(encode(DeliverSm(), 9), 0) != []


# --- lost framing ----------------------------------------------------------------------------------------


def test_answers_before_the_garbage_still_count() -> None:
    session = a_bound_session()
    first, _ = submitted(session, "a", "b")
    events = session.receive(an_answer(first) + b"HTTP/1.1 400 Bad Request", 0)
    assert events == [
        SubmitAnswered("a", 0, "id-1"),
        SubmitLost("b"),
        Closed("framing lost: command_length 1213486160 looks like HTTP"),
    ]
    assert_closed(session, events)


def test_garbage_behind_an_unbind_is_not_looked_at() -> None:
    session = a_bound_session()
    session.unbind(0)
    assert session.receive(encode(UnbindResp(), 2) + b"HTTP", 0) == [Closed("unbound")]


def test_pdu_over_the_limit_of_the_options_loses_framing() -> None:
    session = a_bound_session()
    (event,) = session.receive(struct.pack(">L", 65537), 0)
    assert event == Closed("framing lost: command_length 65537")


def test_held_place_survives_a_full_window_and_a_timeout() -> None:
    session = a_bound_session(window=2)
    assert session.reserve()
    submitted(session, "a", now=0)
    assert not session.reserve()
    session.tick(10)
    session.submit(a_body(), "b", 10)
    assert (session.in_flight, session.free_slots) == (1, 1)


def test_a_generic_nack_with_status_0_is_a_refusal_all_the_same() -> None:
    submits = Submits(window_size=2, response_timeout_s=1.0)
    submits.window.reserve()
    submits.window.take(7, "owner", 0.0)
    assert submits.nacked(7, 0, 0.5) == Nacked("owner", c.ESME_RSYSERR)
