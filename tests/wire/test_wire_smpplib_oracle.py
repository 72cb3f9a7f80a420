"""smpplib as a referee: the same octets for the same fields, and the same fields from the same octets.

Where smpplib is known to be wrong, the difference is stated here as an exception with its reason:
- `sequence=` given to make_pdu is ignored: it is set after construction;
- a request needs a client to draw a number from, even to be parsed: a dummy is passed;
- interface_version is overwritten with 0x34: only that value is compared;
- an empty short_message reads as None;
- texts over the limit are cut in silence: only fitting ones are compared, ours are refused;
- the length of a string TLV is one too short on the way in (the last octet is dropped with or without a
  NUL), and known TLVs that a command does not list, or of a wrong length, raise: shown below, one by one.
"""

from __future__ import annotations

from typing import Any

import pytest
import smpplib.smpp
from hypothesis import given
from hypothesis import strategies as st
from smpplib.client import SimpleSequenceGenerator

from smsproxy.domain.address import Address
from smsproxy.smpp import constants as c
from smsproxy.smpp import pdu as p
from smsproxy.smpp.codec import decode, encode

OCTET = st.integers(0, 255)
SEQUENCE = st.integers(1, c.MAX_SEQUENCE_NUMBER)
STATUS = st.sampled_from([0, c.ESME_RTHROTTLED, c.ESME_RSYSERR])
ASCII = st.characters(min_codepoint=1, max_codepoint=127)


def text(max_size: int, min_size: int = 0) -> st.SearchStrategy[str]:
    return st.text(ASCII, min_size=min_size, max_size=max_size)


def theirs(name: str, sequence_number: int, **fields: Any) -> bytes:
    """What smpplib makes of the fields."""
    pdu = smpplib.smpp.make_pdu(name, client=SimpleSequenceGenerator(), **fields)
    pdu.sequence = sequence_number
    return bytes(pdu.generate())


def parsed(octets: bytes) -> Any:
    return smpplib.smpp.parse_pdu(octets, client=SimpleSequenceGenerator(), allow_unknown_opt_params=True)


MESSAGE_FIELDS = st.fixed_dictionaries(
    {
        "service_type": text(5),
        "source_addr_ton": OCTET,
        "source_addr_npi": OCTET,
        "source_addr": text(20),
        "dest_addr_ton": OCTET,
        "dest_addr_npi": OCTET,
        "destination_addr": text(20),
        "esm_class": OCTET,
        "protocol_id": OCTET,
        "priority_flag": OCTET,
        "schedule_delivery_time": st.just("") | text(16),
        "validity_period": st.just("") | text(16),
        "registered_delivery": OCTET,
        "replace_if_present_flag": OCTET,
        "data_coding": OCTET,
        "sm_default_msg_id": OCTET,
        "short_message": st.binary(max_size=254),
    }
)


def ours(kind: type[p.SubmitSm] | type[p.DeliverSm], fields: dict[str, Any]) -> Any:
    rest = {name: value for name, value in fields.items() if not name.startswith(("source_", "dest"))}
    return kind(
        source_addr=Address(fields["source_addr_ton"], fields["source_addr_npi"], fields["source_addr"]),
        destination_addr=Address(
            fields["dest_addr_ton"], fields["dest_addr_npi"], fields["destination_addr"]
        ),
        **rest,
    )


@given(MESSAGE_FIELDS, SEQUENCE)
def test_submit_sm_and_deliver_sm_are_octet_for_octet_smpplib_s(fields: dict[str, Any], number: int) -> None:
    assert encode(ours(p.SubmitSm, fields), number) == theirs("submit_sm", number, **fields)
    assert encode(ours(p.DeliverSm, fields), number) == theirs("deliver_sm", number, **fields)


@given(MESSAGE_FIELDS, SEQUENCE)
def test_deliver_sm_reads_as_smpplib_reads_it(fields: dict[str, Any], number: int) -> None:
    octets = theirs("deliver_sm", number, **fields)
    (_, command_id, status, sequence_number), pdu = decode(octets)
    assert (command_id, status, sequence_number) == (c.DELIVER_SM, 0, number)
    assert pdu == ours(p.DeliverSm, fields)
    other = parsed(octets)
    assert isinstance(pdu, p.DeliverSm)
    assert other.sequence == number
    assert other.source_addr == pdu.source_addr.digits.encode()
    assert other.destination_addr == pdu.destination_addr.digits.encode()
    assert (other.esm_class, other.data_coding) == (pdu.esm_class, pdu.data_coding)
    assert (other.short_message or b"") == pdu.short_message


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "user_message_reference": st.integers(0, 0xFFFF),
            "sar_msg_ref_num": st.integers(0, 0xFFFF),
            "sar_total_segments": OCTET,
            "sar_segment_seqnum": OCTET,
            "message_payload": st.binary(min_size=1, max_size=300),
        },
    ),
    SEQUENCE,
)
def test_submit_sm_tlvs_are_octet_for_octet_smpplib_s(fields: dict[str, Any], number: int) -> None:
    tags = {
        "user_message_reference": (0x0204, 2),
        "sar_msg_ref_num": (c.TLV_SAR_MSG_REF_NUM, 2),
        "sar_total_segments": (c.TLV_SAR_TOTAL_SEGMENTS, 1),
        "sar_segment_seqnum": (c.TLV_SAR_SEGMENT_SEQNUM, 1),
    }
    tlvs = {tag: fields[name].to_bytes(size, "big") for name, (tag, size) in tags.items() if name in fields}
    if "message_payload" in fields:
        tlvs[c.TLV_MESSAGE_PAYLOAD] = fields["message_payload"]
    blank = dict.fromkeys(("service_type", "source_addr", "destination_addr"), "")
    assert encode(p.SubmitSm(tlvs=tlvs), number) == theirs("submit_sm", number, **blank, **fields)


@given(st.sampled_from(p.BindKind), text(15), text(8), text(12), OCTET, OCTET, text(40), SEQUENCE)
def test_binds_are_octet_for_octet_smpplib_s(
    kind: p.BindKind,
    system_id: str,
    password: str,
    system_type: str,
    ton: int,
    npi: int,
    area: str,
    number: int,
) -> None:
    assert encode(p.Bind(kind, system_id, password, system_type, 0x34, ton, npi, area), number) == theirs(
        c.command_name(kind), number, system_id=system_id, password=password, system_type=system_type,
        addr_ton=ton, addr_npi=npi, address_range=area,
    )  # fmt: skip


@given(st.sampled_from(p.BindKind), text(15), st.none() | OCTET, SEQUENCE)
def test_bind_resps_are_octet_for_octet_smpplib_s(
    kind: p.BindKind, system_id: str, version: int | None, number: int
) -> None:
    tlvs = {} if version is None else {c.TLV_SC_INTERFACE_VERSION: bytes((version,))}
    name = c.command_name(kind | c.RESPONSE_BIT)
    octets = theirs(name, number, system_id=system_id, sc_interface_version=version)
    assert encode(p.BindResp(kind, system_id, tlvs), number) == octets


@given(SEQUENCE, STATUS)
def test_pdus_without_a_body_are_octet_for_octet_smpplib_s(number: int, status: int) -> None:
    for pdu in (p.EnquireLink(), p.EnquireLinkResp(), p.Unbind(), p.UnbindResp(), p.GenericNack()):
        octets = theirs(c.command_name(pdu.command_id), number, status=status)
        assert encode(pdu, number, status) == octets
        assert decode(octets) == ((16, pdu.command_id, status, number), pdu)


@given(text(64, 1), SEQUENCE, STATUS)
def test_responses_with_an_id_are_octet_for_octet_smpplib_s(
    message_id: str, number: int, status: int
) -> None:
    for pdu in (p.SubmitSmResp(message_id), p.DeliverSmResp(message_id), p.DataSmResp(message_id)):
        octets = theirs(c.command_name(pdu.command_id), number, status=status, message_id=message_id)
        assert encode(pdu, number, status) == octets
        assert decode(octets)[1] == pdu
        assert parsed(octets).message_id == message_id.encode()


def test_deliver_sm_resp_is_octet_for_octet_smpplib_s() -> None:
    octets = theirs("deliver_sm_resp", 9, status=c.ESME_RX_T_APPN, message_id="")
    assert encode(p.DeliverSmResp(), 9, c.ESME_RX_T_APPN) == octets


@given(text(64, 1), OCTET, OCTET, text(20), SEQUENCE)
def test_query_sm_is_octet_for_octet_smpplib_s(
    message_id: str, ton: int, npi: int, digits: str, number: int
) -> None:
    assert encode(p.QuerySm(message_id, Address(ton, npi, digits)), number) == theirs(
        "query_sm",
        number,
        message_id=message_id,
        source_addr_ton=ton,
        source_addr_npi=npi,
        source_addr=digits,
    )


# --- where smpplib is wrong, and we are not ---------------------------------------------------------------


def a_receipt(tlvs: dict[int, bytes]) -> bytes:
    return encode(p.DeliverSm(esm_class=4, tlvs=tlvs), 1)


def test_smpplib_ignores_the_sequence_it_is_given() -> None:
    pdu = smpplib.smpp.make_pdu("enquire_link", client=SimpleSequenceGenerator(), sequence=5)
    assert pdu.sequence != 5
    assert decode(encode(p.EnquireLink(), 5))[0].sequence_number == 5


def test_smpplib_cuts_what_we_refuse() -> None:
    octets = theirs("submit_sm", 1, source_addr="", destination_addr="1" * 21, service_type="")
    _, cut = decode(octets)
    assert isinstance(cut, p.SubmitSm)
    assert cut.destination_addr.digits == "1" * 20
    with pytest.raises(ValueError, match="destination_addr has 21 octets"):
        encode(p.SubmitSm(destination_addr=Address(0, 0, "1" * 21)), 1)


def test_smpplib_loses_the_last_character_of_an_id_without_nul() -> None:
    octets = a_receipt({c.TLV_RECEIPTED_MESSAGE_ID: b"ABC123"})
    assert parsed(octets).receipted_message_id == b"ABC12"
    assert decode(octets)[1] == p.DeliverSm(esm_class=4, tlvs={c.TLV_RECEIPTED_MESSAGE_ID: b"ABC123"})


def test_smpplib_mistakes_a_message_id_without_nul_for_tlvs() -> None:
    octets = encode(p.UnknownPdu(c.SUBMIT_SM_RESP, b"1234567"), 1)
    assert parsed(octets).message_id == b"123456"
    assert decode(octets)[1] == p.SubmitSmResp("1234567")


def test_smpplib_dies_of_a_known_tlv_that_the_command_does_not_list() -> None:
    octets = a_receipt({0x0005: b"\1"})
    with pytest.raises(KeyError):
        parsed(octets)
    assert decode(octets)[1] == p.DeliverSm(esm_class=4, tlvs={0x0005: b"\1"})


def test_smpplib_loses_its_place_after_a_number_of_another_length() -> None:
    tlvs = {c.TLV_MESSAGE_STATE: b"\0\2", c.TLV_RECEIPTED_MESSAGE_ID: b"ABC\0"}
    octets = a_receipt(tlvs)
    assert parsed(octets).receipted_message_id is None
    assert decode(octets)[1] == p.DeliverSm(esm_class=4, tlvs=tlvs)


def test_smpplib_takes_a_cut_deliver_sm_that_we_refuse() -> None:
    octets = encode(p.DeliverSm(short_message=b"hello"), 1)[:-3]
    octets = len(octets).to_bytes(4, "big") + octets[4:]
    assert parsed(octets).short_message == b"he"
    with pytest.raises(Exception, match="sm_length 5, but 2 octets are left"):
        decode(octets)
