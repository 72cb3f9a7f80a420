"""The life of a session: bind, submit, deliver, keep alive, unbind. One promise a test, integer clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpp_builders import (
    a_body,
    a_bound_session,
    a_receipt,
    an_answer,
    assert_closed,
    assert_nothing_sent,
    assert_pdu_sent,
    pdus_sent,
    some_options,
    submitted,
)
from smpp_strategies import PDUS

from smsproxy.domain.record import SegmentState
from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import encode
from smsproxy.smpp.errors import NotBoundError
from smsproxy.smpp.events import (
    BindRefused,
    Bound,
    Closed,
    Delivered,
    Event,
    PeerUnbound,
    ReceiptDelivered,
    SubmitAnswered,
    SubmitLost,
    Unexpected,
)
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import (
    Bind,
    BindKind,
    BindResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    GenericNack,
    Pdu,
    SubmitSm,
    Unbind,
    UnbindResp,
)
from smsproxy.smpp.receipt import receipt_text
from smsproxy.smpp.session import EsmeSession, State


def a_binding_session(kind: BindKind = BindKind.TRANSCEIVER) -> EsmeSession:
    session = EsmeSession(some_options(kind))
    session.start(0)
    return session


# --- bind ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(BindKind))
def test_start_sends_the_bind_as_configured(kind: BindKind) -> None:
    options = SessionOptions("esme", "secret", kind, "VMA", 0x33, 1, 2, "99890.*")
    session = EsmeSession(options)
    assert_nothing_sent(session)
    session.start(0)
    bind = assert_pdu_sent(session, Bind, sequence_number=1)
    assert bind == Bind(kind, "esme", "secret", "VMA", 0x33, 1, 2, "99890.*")
    assert session.state is State.BINDING


def test_password_over_the_protocol_s_eight_octets_needs_the_setting() -> None:
    with pytest.raises(ValueError, match="password has 9 octets"):
        EsmeSession(SessionOptions("esme", "ninechars")).start(0)
    session = EsmeSession(SessionOptions("esme", "ninechars", allow_long_password=True))
    session.start(0)
    bind = assert_pdu_sent(session, Bind)
    assert isinstance(bind, Bind)
    assert bind.password == "ninechars"


@pytest.mark.parametrize(
    ("tlvs", "version"), [({}, None), ({c.TLV_SC_INTERFACE_VERSION: b"\x50"}, 0x50), ({0x0210: b""}, None)]
)
def test_any_interface_version_of_the_smsc_is_accepted(tlvs: dict[int, bytes], version: int | None) -> None:
    session = a_binding_session()
    events = session.receive(encode(BindResp(BindKind.TRANSCEIVER, "smsc", tlvs), 1), 0)
    assert events == [Bound("smsc", version)]
    assert session.state is State.BOUND


@pytest.mark.parametrize("body", [b"", b"\0"])
def test_refused_bind_is_told_with_its_status_and_ends_the_session(body: bytes) -> None:
    session = a_binding_session()
    response = encode(BindResp(BindKind.TRANSCEIVER), 1, c.ESME_RINVPASWD) + body
    events = session.receive((16 + len(body)).to_bytes(4, "big") + response[4:], 0)
    assert events == [
        BindRefused(c.ESME_RINVPASWD),
        Closed("bind refused: ESME_RINVPASWD 0x0000000E"),
    ]
    assert_closed(session, events)


def test_bind_answered_by_generic_nack_is_refused() -> None:
    session = a_binding_session()
    events = session.receive(encode(GenericNack(), 1, c.ESME_RINVCMDID), 0)
    assert events[0] == BindRefused(c.ESME_RINVCMDID)
    assert_closed(session, events)


def test_bind_without_an_answer_ends_in_time() -> None:
    session = a_binding_session()
    assert session.tick(4) == []
    events = session.tick(5)
    assert events == [Closed("bind not answered")]
    assert_closed(session, events)


@pytest.mark.parametrize(
    "response", [encode(BindResp(BindKind.TRANSMITTER), 1), encode(BindResp(BindKind.TRANSCEIVER), 2)]
)
def test_answer_to_another_bind_binds_nothing(response: bytes) -> None:
    session = a_binding_session()
    (event,) = session.receive(response, 0)
    assert isinstance(event, Unexpected)
    assert session.state is State.BINDING


def test_repeated_bind_resp_changes_nothing() -> None:
    session = a_bound_session()
    events = session.receive(encode(BindResp(BindKind.TRANSCEIVER), 1, c.ESME_RBINDFAIL), 0)
    assert events == [Unexpected("bind_transceiver_resp with unknown sequence_number 1")]
    assert session.state is State.BOUND


def test_a_delivery_before_the_bind_is_answered_is_refused_for_now() -> None:
    session = a_binding_session()
    session.data_to_send()
    assert session.receive(a_receipt(9), 0) == [Unexpected("deliver_sm before the bind was answered")]
    assert_pdu_sent(session, DeliverSmResp, 9, c.ESME_RINVBNDSTS)


def test_delivery_glued_to_the_bind_resp_is_taken() -> None:
    session = a_binding_session()
    events = session.receive(encode(BindResp(BindKind.TRANSCEIVER, "smsc"), 1) + a_receipt(9), 0)
    assert [type(event) for event in events] == [Bound, Delivered]


# --- submit ----------------------------------------------------------------------------------------------


def test_submit_goes_out_under_the_next_number() -> None:
    session = a_bound_session()
    assert submitted(session, "a", "b") == [2, 3]
    (first, pdu), (second, _) = pdus_sent(session)
    assert (first.sequence_number, second.sequence_number) == (2, 3)
    assert isinstance(pdu, SubmitSm)
    assert pdu.short_message == b"hello"


def test_answer_settles_the_submit_of_its_number() -> None:
    session = a_bound_session()
    first, second = submitted(session, "a", "b")
    assert session.receive(an_answer(second, "id-b"), 1) == [SubmitAnswered("b", 0, "id-b")]
    assert session.receive(an_answer(first, "id-a"), 1) == [SubmitAnswered("a", 0, "id-a")]
    assert session.in_flight == 0


@pytest.mark.parametrize("smsc_id", ["", "id-1"])
@pytest.mark.parametrize("status", [c.ESME_ROK, c.ESME_RTHROTTLED])
def test_answer_with_and_without_status_and_id(status: int, smsc_id: str) -> None:
    session = a_bound_session()
    (number,) = submitted(session, "a")
    events = session.receive(an_answer(number, smsc_id, status), 1)
    assert events == [SubmitAnswered("a", status, smsc_id)]
    assert session.state is State.BOUND


def test_places_are_the_window_and_held_before_the_write() -> None:
    session = a_bound_session(window=2)
    assert session.free_slots == 2
    assert session.reserve()
    assert session.reserve()
    assert not session.reserve()
    session.unreserve()
    assert session.free_slots == 1
    number = session.submit(a_body(), "a", 0)
    assert (session.in_flight, session.free_slots) == (1, 1)
    assert repr(session) == "<EsmeSession bound window=1/2 +0>"
    session.receive(an_answer(number), 0)
    assert session.free_slots == 2


def test_submit_without_a_held_place_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no place is reserved"):
        a_bound_session().submit(a_body(), "a", 0)


def test_nothing_can_be_held_before_the_bind_or_on_a_receiver() -> None:
    for session in (
        EsmeSession(some_options()),
        a_binding_session(),
        a_bound_session(kind=BindKind.RECEIVER),
    ):
        assert not session.reserve()
        assert session.free_slots == 0
    assert a_bound_session(kind=BindKind.TRANSMITTER).reserve()


@pytest.mark.parametrize("end", ["lost", "unbind"])
def test_submit_after_the_end_is_not_sent_and_gives_its_place_back(end: str) -> None:
    session = a_bound_session()
    assert session.reserve()
    assert session.reserve()
    if end == "lost":
        session.lost()
    else:
        session.unbind(0)
    session.data_to_send()
    with pytest.raises(NotBoundError, match=r"the session is (closed|unbinding)"):
        session.submit(a_body(), "a", 0)
    assert_nothing_sent(session)
    session.unreserve()
    assert "+0" in repr(session)


def test_sequence_numbers_wrap_and_skip_what_is_in_use() -> None:
    session = a_bound_session(window=10)
    (old,) = submitted(session, "old")
    session._requests.last = c.MAX_SEQUENCE_NUMBER - 1
    assert submitted(session, "a", "b", "c") == [c.MAX_SEQUENCE_NUMBER, 1, 3]
    assert old == 2


def test_sequence_numbers_skip_a_timed_out_submit_and_our_own_requests() -> None:
    session = a_bound_session(window=10)
    submitted(session, "silent")  # 2
    session.tick(10)
    session.receive(an_answer(999), 10)
    session.tick(40)  # enquire_link takes 3
    session._requests.last = 1
    assert submitted(session, "next") == [4]


# --- deliver ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pdu", "response"), [(DeliverSm(short_message=b"MO"), DeliverSmResp), (DataSm(), DataSmResp)]
)
@pytest.mark.parametrize("number", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("status", [c.ESME_ROK, c.ESME_RX_T_APPN])
def test_delivery_is_handed_over_and_answered_under_its_own_number(
    pdu: DeliverSm | DataSm, response: type[Pdu], number: int, status: int
) -> None:
    session = a_bound_session()
    (event,) = session.receive(encode(pdu, number), 1)
    assert event == Delivered(pdu, number)
    assert_nothing_sent(session)
    assert isinstance(event, Delivered)
    session.answer_deliver(event, status)
    assert_pdu_sent(session, response, number, status)


def test_a_receipt_of_the_common_shape_is_read_and_answered_with_others() -> None:
    session = a_bound_session()
    text = receipt_text("77", "UNDELIV", err="045", submit_date="a", done_date="b")
    frames = [encode(DeliverSm(esm_class=4, short_message=text), number) for number in (3, 0xFFFFFFFF)]
    events = session.receive(b"".join(frames), 1)
    wanted = ("77", SegmentState.UNDELIVERABLE, "UNDELIV", "045")
    assert events == [ReceiptDelivered(*wanted, 3), ReceiptDelivered(*wanted, 0xFFFFFFFF)]
    assert_nothing_sent(session)
    session.answer_receipts([3, 0xFFFFFFFF], c.ESME_RX_T_APPN)
    answers = [
        (type(pdu), header.sequence_number, header.command_status) for header, pdu in pdus_sent(session)
    ]
    assert answers == [(DeliverSmResp, number, c.ESME_RX_T_APPN) for number in (3, 0xFFFFFFFF)]
    session.lost()
    session.answer_receipts([4], c.ESME_ROK)
    assert_nothing_sent(session)


def test_a_receipt_of_the_common_shape_is_refused_before_the_bind_is_answered() -> None:
    session = a_binding_session()
    session.data_to_send()
    text = receipt_text("77", submit_date="a", done_date="b")
    (event,) = session.receive(encode(DeliverSm(esm_class=4, short_message=text), 9), 0)
    assert event == Unexpected("deliver_sm before the bind was answered")
    assert_pdu_sent(session, DeliverSmResp, 9, c.ESME_RINVBNDSTS)


def test_delivery_is_not_answered_after_the_end() -> None:
    session = a_bound_session()
    (event,) = session.receive(a_receipt(), 0)
    assert isinstance(event, Delivered)
    session.lost()
    session.answer_deliver(event, 0)
    assert_nothing_sent(session)


# --- keep-alive ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 7, 0xFFFFFFFF])
@pytest.mark.parametrize("session", [a_binding_session(), a_bound_session()], ids=["binding", "bound"])
def test_enquire_link_is_answered_in_every_state(session: EsmeSession, number: int) -> None:
    session.data_to_send()
    assert session.receive(encode(EnquireLink(), number), 0) == []
    assert_pdu_sent(session, EnquireLinkResp, number)


def test_quiet_link_is_asked_answered_and_asked_again() -> None:
    session = a_bound_session()
    session.tick(29)
    assert_nothing_sent(session)
    assert session.tick(30) == []
    assert_pdu_sent(session, EnquireLink, 2)
    assert session.receive(encode(EnquireLinkResp(), 2), 31) == []
    session.tick(60)
    assert_nothing_sent(session)
    session.tick(61)
    assert_pdu_sent(session, EnquireLink, 3)


def test_deaf_link_ends_after_interval_and_response_timeout() -> None:
    session = a_bound_session()
    session.tick(30)
    events = session.tick(40)
    assert events == [Closed("enquire_link not answered")]
    assert_closed(session, events)


def test_any_octet_proves_life() -> None:
    session = a_bound_session()
    session.tick(30)
    session.receive(a_receipt()[:5], 39)
    assert session.tick(40) == []
    assert session.receive(encode(EnquireLinkResp(), 2), 41) == []


def test_an_empty_read_proves_nothing() -> None:
    session = a_bound_session()
    session.tick(30)
    assert session.receive(b"", 39) == []
    assert session.tick(40) == [Closed("enquire_link not answered")]


def test_enquire_link_answered_by_generic_nack_is_life_all_the_same() -> None:
    session = a_bound_session()
    session.tick(30)
    assert session.receive(encode(GenericNack(), 2, c.ESME_RINVCMDID), 31) == []
    assert session.state is State.BOUND


# --- the end ---------------------------------------------------------------------------------------------


def test_unbind_waits_for_its_answer() -> None:
    session = a_bound_session()
    session.unbind(0)
    assert_pdu_sent(session, Unbind, 2)
    assert session.state is State.UNBINDING
    assert not session.reserve()
    events = session.receive(encode(UnbindResp(), 2), 1)
    assert events == [Closed("unbound")]
    assert_closed(session, events)


def test_submits_are_still_answered_while_unbinding() -> None:
    session = a_bound_session()
    first, _ = submitted(session, "a", "b")
    session.unbind(0)
    assert session.receive(an_answer(first), 1) == [SubmitAnswered("a", 0, "id-1")]
    assert session.receive(encode(UnbindResp(), 4), 1) == [SubmitLost("b"), Closed("unbound")]


def test_unbind_without_an_answer_ends_without_complaint() -> None:
    session = a_bound_session()
    session.unbind(0)
    assert session.tick(9) == []
    events = session.tick(10)
    assert events == [Closed("unbound without an answer")]
    assert_closed(session, events)


def test_unbind_answered_by_generic_nack_is_the_end_too() -> None:
    session = a_bound_session()
    session.unbind(0)
    assert session.receive(encode(GenericNack(), 2, c.ESME_RINVCMDID), 1) == [Closed("unbound")]


def test_unbind_before_the_bind_or_twice_does_nothing() -> None:
    session = a_binding_session()
    session.data_to_send()
    session.unbind(0)
    assert_nothing_sent(session)
    bound = a_bound_session()
    bound.unbind(0)
    bound.unbind(0)
    assert_pdu_sent(bound, Unbind)


def test_unbind_of_the_smsc_is_answered_before_the_close() -> None:
    session = a_bound_session()
    submitted(session, "a")
    session.data_to_send()
    events = session.receive(encode(Unbind(), 0xFFFFFFFF), 0)
    assert events == [PeerUnbound(), SubmitLost("a"), Closed("unbound by the SMSC")]
    assert_pdu_sent(session, UnbindResp, 0xFFFFFFFF)
    assert_closed(session, events)


def test_what_follows_an_unbind_in_the_same_read_is_ignored() -> None:
    session = a_bound_session()
    events = session.receive(encode(Unbind(), 1) + a_receipt(), 0)
    assert [type(event) for event in events] == [PeerUnbound, Closed]


def test_lost_connection_hands_back_everything_in_flight() -> None:
    session = a_bound_session()
    first, *_ = submitted(session, "a", "b", "c")
    session.receive(an_answer(first), 1)
    events = session.lost()
    assert events == [SubmitLost("b"), SubmitLost("c"), Closed("connection lost")]
    assert_closed(session, events)


def test_lost_connection_while_binding_is_told() -> None:
    assert a_binding_session().lost() == [Closed("connection lost")]


# --- the promise about octets ----------------------------------------------------------------------------


def play(session: EsmeSession, chunks: list[bytes]) -> tuple[list[Event], bytes]:
    events = [event for chunk in chunks for event in session.receive(chunk, 1)]
    return events, session.data_to_send()


@given(st.lists(st.tuples(PDUS, st.integers(0, 6)), max_size=6), st.binary(max_size=6))
def test_dribbled_and_glued_octets_give_the_same_events(pdus: list[tuple[Pdu, int]], rest: bytes) -> None:
    data = b"".join(encode(pdu, number) for pdu, number in pdus) + rest
    glued, dribbled = a_bound_session(), a_bound_session()
    submitted(glued, "a", "b", "c")
    submitted(dribbled, "a", "b", "c")
    assert play(glued, [data]) == play(dribbled, [bytes((octet,)) for octet in data])
    assert glued.state is dribbled.state


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.tuples(PDUS, st.integers(0, 6))), max_size=8), st.booleans()
)
def test_any_octets_leave_the_session_alive_or_closed_and_every_owner_told_once(
    items: list[bytes | tuple[Pdu, int]], bound: bool
) -> None:
    session = a_bound_session() if bound else a_binding_session()
    owners = {"a", "b", "c"} if bound else set()
    submitted(session, *sorted(owners))
    events: list[Event] = []
    for item in items:
        if isinstance(item, bytes):  # a header in front, so that random bodies reach the decoders
            events += session.receive((16 + len(item)).to_bytes(4, "big") + b"\0\0\0\5" + bytes(8) + item, 1)
        else:
            events += session.receive(encode(item[0], item[1]), 1)
    events += session.lost()
    told = [owner for event in events if (owner := getattr(event, "owner", None)) is not None]
    assert sorted(told) == sorted(owners)
    assert sum(isinstance(event, Closed) for event in events) == 1
    assert isinstance(events[-1], Closed)


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_raw_noise_never_raises(chunks: list[bytes]) -> None:
    events, _ = play(a_bound_session(), chunks)
    assert all(isinstance(event, Unexpected | Closed | Delivered) for event in events)
