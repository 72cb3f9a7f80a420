"""smpp34 (Rust) as a second referee for submit_sm and deliver_sm, its two codecs that Python can reach.

It wants addresses and dates in UTF-8, so the comparison stays in ASCII.
"""

from __future__ import annotations

from typing import Any

import smpp34
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.domain.address import Address
from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import decode, encode, encode_delivery_answer
from smsproxy.smpp.pdu import DeliverSm, EnquireLink, SubmitSm, SubmitSmResp

OCTET = st.integers(0, 255)
SEQUENCE = st.integers(1, c.MAX_SEQUENCE_NUMBER)
ASCII = st.characters(min_codepoint=1, max_codepoint=127)
TLVS = st.dictionaries(
    st.integers(0x1400, 0x3FFF) | st.sampled_from([0x001E, 0x0424]), st.binary(max_size=20), max_size=3
)
FIELDS = st.fixed_dictionaries(
    {
        "service_type": st.text(ASCII, max_size=5),
        "esm_class": OCTET,
        "protocol_id": OCTET,
        "priority_flag": OCTET,
        "schedule_delivery_time": st.sampled_from(["", "210101000000000+"]),
        "validity_period": st.sampled_from(["", "000001000000000R"]),
        "registered_delivery": OCTET,
        "replace_if_present_flag": OCTET,
        "data_coding": OCTET,
        "sm_default_msg_id": OCTET,
        "short_message": st.binary(max_size=254),
    }
)
ADDRESSES = st.builds(Address, OCTET, OCTET, st.text(ASCII, max_size=20))


def theirs(
    kind: Any, source: Address, dest: Address, tlvs: dict[int, bytes], number: int, fields: dict[str, Any]
) -> Any:
    return kind(
        source.digits,
        dest.digits,
        **fields,
        source_addr_ton=source.ton,
        source_addr_npi=source.npi,
        dest_addr_ton=dest.ton,
        dest_addr_npi=dest.npi,
        tlvs=[smpp34.Tlv(tag, value) for tag, value in tlvs.items()],
        sequence_number=number,
    )


@given(ADDRESSES, ADDRESSES, TLVS, SEQUENCE, FIELDS)
def test_submit_sm_and_deliver_sm_agree_both_ways(
    source: Address, dest: Address, tlvs: dict[int, bytes], number: int, fields: dict[str, Any]
) -> None:
    for our_kind, their_kind in ((SubmitSm, smpp34.SubmitSm), (DeliverSm, smpp34.DeliverSm)):
        pdu = our_kind(source_addr=source, destination_addr=dest, tlvs=tlvs, **fields)
        octets = encode(pdu, number)
        assert octets == theirs(their_kind, source, dest, tlvs, number, fields).encode()
        assert decode(octets)[1] == pdu
        other: Any = smpp34.decode(octets)
        assert (other.source_addr, other.destination_addr) == (source.digits, dest.digits)
        assert (other.short_message, other.sequence_number) == (pdu.short_message, number)


@given(SEQUENCE, st.sampled_from([0, c.ESME_RTHROTTLED]))
def test_headers_agree(number: int, status: int) -> None:
    frames = [
        encode(EnquireLink(), number, status),
        encode(SubmitSmResp("id-1"), number, status),
        encode_delivery_answer(c.DELIVER_SM_RESP, number, status),
    ]
    for octets in frames:
        other: Any = smpp34.decode(octets)
        assert (other.command_id, other.command_status, other.sequence_number) == decode(octets)[0][1:]
        assert other.body == octets[16:]
