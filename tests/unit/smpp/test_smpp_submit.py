"""The fast builder of submit_sm bodies: the same octets as the codec, the same refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from smpp_builders import DEST, SOURCE
from smpp_strategies import SUBMITS

from smsproxy.domain.address import Address
from smsproxy.smpp.codec import encode_body
from smsproxy.smpp.pdu import SubmitSm
from smsproxy.smpp.submit import payload_tlv, submit_sm_body, submit_sm_options, submit_sm_prefix
from smsproxy.smpp.tlv import encode_tlvs, sar_tlvs


def fast(pdu: SubmitSm) -> bytes:
    options = submit_sm_options(
        esm_class=pdu.esm_class,
        protocol_id=pdu.protocol_id,
        priority_flag=pdu.priority_flag,
        schedule_delivery_time=pdu.schedule_delivery_time,
        validity_period=pdu.validity_period,
        registered_delivery=pdu.registered_delivery,
        replace_if_present_flag=pdu.replace_if_present_flag,
        data_coding=pdu.data_coding,
        sm_default_msg_id=pdu.sm_default_msg_id,
    )
    prefix = submit_sm_prefix(pdu.service_type, pdu.source_addr)
    return submit_sm_body(prefix, pdu.destination_addr, options, pdu.short_message, encode_tlvs(pdu.tlvs))


@given(SUBMITS)
def test_fast_body_equals_the_body_of_the_layouts(pdu: SubmitSm) -> None:
    assert fast(pdu) == encode_body(pdu)


def body(text: bytes = b"hi", destination: Address = DEST, tlvs: bytes = b"") -> bytes:
    return submit_sm_body(submit_sm_prefix("", SOURCE), destination, submit_sm_options(), text, tlvs)


def test_short_message_ends_at_254_octets_and_payload_takes_over() -> None:
    assert body(b"x" * 254).endswith(b"\xfe" + b"x" * 254)
    with pytest.raises(
        ValueError, match="short_message has 255 octets, at most 254 fit: use message_payload"
    ):
        body(b"x" * 255)
    assert body(b"", tlvs=payload_tlv(b"x" * 300)).endswith(b"\0\x04\x24\x01\x2c" + b"x" * 300)


def test_sar_and_vendor_tlvs_follow_the_text() -> None:
    tlvs = sar_tlvs(7, 2, 1) + encode_tlvs({0x1400: b"v"})
    assert body(b"hi", tlvs=tlvs).endswith(b"\x02hi" + tlvs)


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        (Address(0, 0, "1" * 21), "destination_addr has 21 octets, at most 20 fit"),
        (Address(0, 0, "1\0002"), "destination_addr has a NUL inside"),
        (Address(0, 0, "Ж"), "destination_addr has characters outside Latin-1"),
        (Address(256, 0, "1"), "destination_addr ton 256 or npi 0 is not 0 to 255"),
        (Address(0, -1, "1"), "destination_addr ton 0 or npi -1 is not 0 to 255"),
    ],
)
def test_destination_that_does_not_fit_is_refused_and_never_cut(destination: Address, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        body(destination=destination)


def test_prefix_and_options_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="source_addr has 21 octets"):
        submit_sm_prefix("", Address(0, 0, "x" * 21))
    with pytest.raises(ValueError, match="service_type has 6 octets"):
        submit_sm_prefix("abcdef", SOURCE)
    with pytest.raises(ValueError, match="validity_period has 17 octets"):
        submit_sm_options(validity_period="0" * 17)
