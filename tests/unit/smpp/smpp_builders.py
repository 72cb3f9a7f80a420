"""Builders and assertions that speak SMPP, for the tests of this folder."""

from __future__ import annotations

from smsproxy.domain.address import Address
from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import Header, decode, encode
from smsproxy.smpp.events import Bound, Event
from smsproxy.smpp.framing import Framer
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import BindKind, BindResp, DeliverSm, Pdu, SubmitSmResp
from smsproxy.smpp.session import EsmeSession, State
from smsproxy.smpp.submit import submit_sm_body, submit_sm_options, submit_sm_prefix

SOURCE = Address(5, 0, "MYBRAND")
DEST = Address(1, 1, "998901234567")


def a_body(text: bytes = b"hello") -> bytes:
    return submit_sm_body(submit_sm_prefix("", SOURCE), DEST, submit_sm_options(registered_delivery=1), text)


def some_options(kind: BindKind = BindKind.TRANSCEIVER, window: int = 10) -> SessionOptions:
    return SessionOptions(
        "esme", "secret", kind, window=window, enquire_link_s=30, response_timeout_s=10, bind_timeout_s=5
    )


def a_bound_session(window: int = 10, kind: BindKind = BindKind.TRANSCEIVER, now: float = 0) -> EsmeSession:
    """Bound at `now`, with nothing left to send. Its bind took sequence_number 1."""
    session = EsmeSession(some_options(kind, window))
    session.start(now)
    tlvs = {c.TLV_SC_INTERFACE_VERSION: b"\x34"}
    events = session.receive(encode(BindResp(kind, "smsc", tlvs), 1), now)
    assert events == [Bound("smsc", 0x34)]
    session.data_to_send()
    return session


def submitted(session: EsmeSession, *owners: object, now: float = 0) -> list[int]:
    """Reserve and submit for each owner; their sequence numbers."""
    numbers = []
    for owner in owners:
        assert session.reserve()
        numbers.append(session.submit(a_body(), owner, now))
    return numbers


def an_answer(sequence_number: int, smsc_id: str = "id-1", command_status: int = 0) -> bytes:
    return encode(SubmitSmResp(smsc_id), sequence_number, command_status)


def a_receipt(sequence_number: int = 1) -> bytes:
    return encode(DeliverSm("", DEST, SOURCE, 4, short_message=b"id:1 stat:DELIVRD"), sequence_number)


def pdus_sent(session: EsmeSession) -> list[tuple[Header, Pdu]]:
    """What the session wants on the wire, decoded."""
    return [decode(frame) for frame in Framer().feed(session.data_to_send())]


def assert_pdu_sent(
    session: EsmeSession, kind: type[Pdu], sequence_number: int | None = None, command_status: int = 0
) -> Pdu:
    """Exactly one PDU is to be sent, of this kind."""
    ((header, pdu),) = pdus_sent(session)
    assert isinstance(pdu, kind)
    assert header.command_status == command_status
    assert sequence_number in (None, header.sequence_number)
    return pdu


def assert_nothing_sent(session: EsmeSession) -> None:
    assert session.data_to_send() == b""


def assert_closed(session: EsmeSession, events: list[Event]) -> None:
    """The session is closed, deaf and silent."""
    assert type(events[-1]).__name__ == "Closed"
    assert session.state is State.CLOSED
    session.data_to_send()
    assert session.receive(an_answer(1), 99) == []
    assert session.tick(1e9) == []
    assert session.lost() == []
    assert not session.reserve()
    assert session.free_slots == 0
    assert_nothing_sent(session)
