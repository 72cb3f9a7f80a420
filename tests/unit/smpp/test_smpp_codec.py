"""PDUs to octets and back: what goes in comes out, what does not fit is refused by name."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpp_strategies import DELIVERS, PDUS, SUBMITS

from smsproxy.domain.address import Address
from smsproxy.smpp import constants as c
from smsproxy.smpp import pdu as p
from smsproxy.smpp.codec import (
    Header,
    decode,
    decode_by_layout,
    decode_message_id,
    encode,
    encode_delivery_answer,
)
from smsproxy.smpp.errors import BadPduError, FramingLostError
from smsproxy.smpp.layouts import LAYOUTS

SEQUENCES = st.integers(0, 0xFFFFFFFF)


def raw(command_id: int, body: bytes = b"", command_status: int = 0, sequence_number: int = 7) -> bytes:
    return struct.pack(">LLLL", 16 + len(body), command_id, command_status, sequence_number) + body


@given(PDUS, SEQUENCES)
def test_every_pdu_survives_the_wire(pdu: p.Pdu, sequence_number: int) -> None:
    octets = encode(pdu, sequence_number)
    assert decode(octets) == ((len(octets), pdu.command_id, 0, sequence_number), pdu)


@given(st.one_of(SUBMITS, DELIVERS, st.builds(p.SubmitSmResp, st.text("abc123", max_size=9))), st.data())
def test_hand_written_decoders_agree_with_the_layouts(pdu: p.Pdu, data: st.DataObject) -> None:
    octets = encode(pdu, 1)
    cut = octets[: data.draw(st.integers(16, len(octets)))]
    octets = struct.pack(">L", len(cut)) + cut[4:]
    header = Header(len(octets), pdu.command_id, 0, 1)
    assert outcome(lambda: decode(octets)[1]) == outcome(
        lambda: decode_by_layout(octets, header, LAYOUTS[pdu.command_id])
    )


def outcome(act: Any) -> object:
    try:
        return act()
    except BadPduError as error:
        return error.command_status, error.reason


@given(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            raw, st.sampled_from([*LAYOUTS, 0x21, 0x80000021]), st.binary(max_size=80), SEQUENCES, SEQUENCES
        ),
    )
)
def test_any_octets_are_a_pdu_or_refused_with_a_named_error(octets: bytes) -> None:
    try:
        header, pdu = decode(octets)
    except FramingLostError:
        known = len(octets) < 16
    except BadPduError as error:
        known = error.command_status in (c.ESME_RINVCMDLEN, c.ESME_RINVMSGLEN)
    else:
        known = header.command_id == pdu.command_id
    assert known


def test_bad_pdu_carries_what_an_answer_needs() -> None:
    with pytest.raises(BadPduError) as caught:
        decode(raw(c.DELIVER_SM, b"\0\1\1123", sequence_number=0xFFFFFFFF))
    error = caught.value
    assert (error.command_id, error.sequence_number) == (c.DELIVER_SM, 0xFFFFFFFF)
    assert error.command_status == c.ESME_RINVCMDLEN
    assert error.reason == "deliver_sm: source_addr does not end"


@pytest.mark.parametrize(
    ("command_id", "body", "reason"),
    [
        (c.SUBMIT_SM, b"", "submit_sm: service_type does not end"),
        (c.SUBMIT_SM, b"\0", "submit_sm: source_addr is missing"),
        (c.DELIVER_SM, b"\0" * 11, "deliver_sm: validity_period does not end"),
        (c.DELIVER_SM, b"\0" * 16, "deliver_sm: short_message is missing"),
        (c.BIND_TRANSCEIVER, b"esme\0secret", "bind_transceiver: password does not end"),
        (c.DATA_SM, b"\0\0\0\0\0\0\0\0", "data_sm: registered_delivery is missing"),
        (c.QUERY_SM, b"1\0\0\0", "query_sm: source_addr does not end"),
    ],
)
def test_cut_request_is_refused_by_the_field_that_is_cut(command_id: int, body: bytes, reason: str) -> None:
    with pytest.raises(BadPduError) as caught:
        decode(raw(command_id, body))
    assert (caught.value.reason, caught.value.command_status) == (reason, c.ESME_RINVCMDLEN)


@pytest.mark.parametrize("validity_period", ["", "000001000000000R"])
def test_lying_sm_length_is_refused(validity_period: str) -> None:
    octets = bytearray(encode(p.DeliverSm(validity_period=validity_period, short_message=b"hello"), 1))
    octets[-6] = 6
    with pytest.raises(BadPduError, match="sm_length 6, but 5 octets are left") as caught:
        decode(bytes(octets))
    assert caught.value.command_status == c.ESME_RINVMSGLEN


def test_frame_and_command_length_must_agree() -> None:
    with pytest.raises(BadPduError, match="command_length 16, frame of 17 octets"):
        decode(raw(c.ENQUIRE_LINK) + b"\0")
    with pytest.raises(FramingLostError, match="15 octets are no PDU"):
        decode(bytes(15))


def test_an_sm_length_of_255_is_taken_from_a_peer() -> None:
    octets = raw(c.DELIVER_SM, b"\0" * 16 + b"\xff" + b"x" * 255)
    _, pdu = decode(octets)
    assert isinstance(pdu, p.DeliverSm)
    assert len(pdu.short_message) == 255


@pytest.mark.parametrize(
    ("body", "message_id", "tlvs"),
    [
        (b"", "", {}),
        (b"\0", "", {}),
        (b"abc\0", "abc", {}),
        (b"abc", "abc", {}),
        (b"abc\0\x00\x1d\x00\x02no", "abc", {0x001D: b"no"}),
        (b"abc\0\x00\x1d\x00\x09no", "abc", {}),
    ],
)
@pytest.mark.parametrize("command_status", [0, 0x58])
def test_submit_sm_resp_with_and_without_status_and_body(
    command_status: int, body: bytes, message_id: str, tlvs: dict[int, bytes]
) -> None:
    octets = raw(c.SUBMIT_SM_RESP, body, command_status)
    header, pdu = decode(octets)
    assert header.command_status == command_status
    assert pdu == p.SubmitSmResp(message_id, tlvs)
    assert decode_message_id(octets) == message_id


@pytest.mark.parametrize(
    ("command_id", "expected"),
    [
        (c.BIND_TRANSCEIVER_RESP, p.BindResp(p.BindKind.TRANSCEIVER)),
        (c.DELIVER_SM_RESP, p.DeliverSmResp()),
        (c.DATA_SM_RESP, p.DataSmResp()),
        (c.QUERY_SM_RESP, p.QuerySmResp()),
    ],
)
def test_responses_without_a_body_are_blank(command_id: int, expected: p.Pdu) -> None:
    assert decode(raw(command_id, b"", c.ESME_RSYSERR))[1] == expected


def test_tlvs_that_kill_other_parsers_are_kept_or_skipped() -> None:
    """A known TLV that deliver_sm does not list, one of a wrong length, one past the end."""
    body = b"\0" * 17 + b"\x00\x05\x00\x01\x02" + b"\x04\x27\x00\x02\x00\x02" + b"\x14\x00\x00\x09x"
    _, pdu = decode(raw(c.DELIVER_SM, body))
    assert pdu == p.DeliverSm(tlvs={0x0005: b"\x02", 0x0427: b"\x00\x02"})


def test_unknown_command_keeps_its_octets() -> None:
    assert decode(raw(0x99, b"junk"))[1] == p.UnknownPdu(0x99, b"junk")


@pytest.mark.parametrize(
    ("pdu", "message"),
    [
        (p.Bind(p.BindKind.RECEIVER, system_id="x" * 16), "system_id has 16 octets, at most 15 fit"),
        (p.Bind(p.BindKind.RECEIVER, password="x" * 9), "password has 9 octets, at most 8 fit"),
        (p.Bind(p.BindKind.RECEIVER, system_type="x" * 13), "system_type has 13 octets, at most 12 fit"),
        (p.Bind(p.BindKind.RECEIVER, address_range="x" * 41), "address_range has 41 octets, at most 40 fit"),
        (p.Bind(p.BindKind.RECEIVER, interface_version=256), "interface_version is 256, not 0 to 255"),
        (p.SubmitSm(service_type="x" * 6), "service_type has 6 octets, at most 5 fit"),
        (p.SubmitSm(source_addr=Address(0, 0, "x" * 21)), "source_addr has 21 octets, at most 20 fit"),
        (p.SubmitSm(destination_addr=Address(0, 0, "x" * 21)), "destination_addr has 21 octets"),
        (p.SubmitSm(source_addr=Address(256, 0, "")), "source_addr_ton is 256, not 0 to 255"),
        (p.SubmitSm(source_addr=Address(0, -1, "")), "source_addr_npi is -1, not 0 to 255"),
        (p.SubmitSm(source_addr=Address(0, 0, "Ж")), "source_addr has characters outside Latin-1"),
        (p.SubmitSm(source_addr=Address(0, 0, "a\0b")), "source_addr has a NUL inside"),
        (p.SubmitSm(esm_class=-1), "esm_class is -1, not 0 to 255"),
        (p.SubmitSm(validity_period="x" * 17), "validity_period has 17 octets, at most 16 fit"),
        (p.SubmitSm(short_message=bytes(255)), "at most 254 fit: use message_payload"),
        (p.SubmitSmResp("x" * 65), "message_id has 65 octets, at most 64 fit"),
        (p.DataSm(source_addr=Address(0, 0, "x" * 65)), "source_addr has 65 octets, at most 64 fit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name_and_never_cut(pdu: p.Pdu, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(pdu, 1)


def test_long_password_goes_whole_where_allowed() -> None:
    bind = p.Bind(p.BindKind.TRANSCEIVER, "esme", "a-long-password")
    assert decode(encode(bind, 1, allow_long_password=True))[1] == bind
    with pytest.raises(ValueError, match="password has 65 octets, at most 64 fit"):
        encode(p.Bind(p.BindKind.TRANSCEIVER, "esme", "x" * 65), 1, allow_long_password=True)
    with pytest.raises(ValueError, match="system_id has 16"):
        encode(p.Bind(p.BindKind.TRANSCEIVER, "x" * 16), 1, allow_long_password=True)


@pytest.mark.parametrize(("sequence_number", "command_status"), [(-1, 0), (2**32, 0), (0, -1), (0, 2**32)])
def test_header_numbers_out_of_range_are_refused(sequence_number: int, command_status: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        encode(p.EnquireLink(), sequence_number, command_status)


def test_error_responses_without_fields_go_without_a_body() -> None:
    for blank in (p.SubmitSmResp(), p.BindResp(p.BindKind.RECEIVER), p.DataSmResp(), p.QuerySmResp()):
        assert len(encode(blank, 1, c.ESME_RSYSERR)) == 16
        assert len(encode(blank, 1)) > 16
    assert encode(p.SubmitSmResp("id"), 1, c.ESME_RSYSERR).endswith(b"id\0")
    assert encode(p.DeliverSmResp(), 1, c.ESME_RX_T_APPN) == raw(
        c.DELIVER_SM_RESP, b"\0", c.ESME_RX_T_APPN, 1
    )
    assert encode(p.SubmitSm(), 1, 1).endswith(b"\0" * 17)
    assert encode(p.UnknownPdu(0x80000099, b"\0"), 1, 1) == raw(0x80000099, b"\0", 1, 1)


@given(SEQUENCES, SEQUENCES)
def test_delivery_answer_is_the_deliver_sm_resp_of_the_layouts(sequence: int, status: int) -> None:
    fast = encode_delivery_answer(c.DELIVER_SM_RESP, sequence, status)
    assert fast == encode(p.DeliverSmResp(), sequence, status)
    assert decode(encode_delivery_answer(c.DATA_SM_RESP, sequence, status))[1] == p.DataSmResp()


def test_a_repr_shows_no_secret_and_no_text() -> None:
    shown = repr(
        [
            p.Bind(p.BindKind.TRANSCEIVER, "esme", "hidden"),
            p.Outbind("smsc", "hidden"),
            p.SubmitSm(short_message=b"hidden", tlvs={0x0424: b"hidden"}),
            p.DeliverSm(short_message=b"hidden", tlvs={0x0424: b"hidden"}),
            p.DataSm(tlvs={0x0424: b"hidden"}),
            p.UnknownPdu(0x99, b"hidden"),
        ]
    )
    assert "hidden" not in shown
