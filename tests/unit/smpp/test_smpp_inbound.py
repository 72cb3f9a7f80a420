"""What a handset sent, off the wire: headers, SAR TLVs, payloads, alphabets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpp_builders import DEST, SOURCE

from smsproxy.domain.inbound import InboundSegment
from smsproxy.smpp.inbound import read_inbound
from smsproxy.smpp.pdu import DataSm, DeliverSm
from smsproxy.text.handset import Alphabets, decode
from smsproxy.text.segmentation import TextOptions

UDHI = 0x40


STANDARD = Alphabets(TextOptions())


def read(
    octets: bytes, esm_class: int = 0, tlvs: dict[int, bytes] | None = None, data_coding: int = 0
) -> InboundSegment:
    pdu = DeliverSm(
        "", DEST, SOURCE, esm_class, data_coding=data_coding, short_message=octets, tlvs=tlvs or {}
    )
    return read_inbound(pdu, "account", STANDARD)


def test_a_short_message_is_whole() -> None:
    assert read(b"hello") == InboundSegment("account", DEST, SOURCE, 0, b"hello", "GSM7")


def test_a_long_text_may_be_in_message_payload_and_in_data_sm() -> None:
    assert read(b"", tlvs={0x0424: b"long"}).octets == b"long"
    assert read_inbound(DataSm("", DEST, SOURCE, tlvs={0x0424: b"long"}), "a", STANDARD).octets == b"long"


@pytest.mark.parametrize(
    ("head", "reference", "wide"),
    [
        (b"\x05\x00\x03\x2a\x03\x02", 0x2A, False),
        (b"\x06\x08\x04\x01\x2a\x03\x02", 0x012A, True),
        (b"\x09\x24\x01\x01\x00\x03\x2a\x03\x02\x70", 0x2A, False),
    ],
)
def test_a_segment_is_joined_by_its_user_data_header(head: bytes, reference: int, wide: bool) -> None:
    segment = read(head + b"text", UDHI)
    assert segment.octets == b"text"
    joined_by = (segment.concat_ref, segment.wide, segment.total, segment.number)
    assert joined_by == (reference, wide, 3, 2)


def test_a_segment_is_joined_by_sar_tlvs() -> None:
    segment = read(b"text", tlvs={0x020C: b"\x01\x2a", 0x020E: b"\x03", 0x020F: b"\x02"})
    assert (segment.octets, segment.concat_ref, segment.total, segment.number) == (b"text", 0x012A, 3, 2)


@pytest.mark.parametrize(
    "head", [b"\x05\x00\x03\x2a\x02\x03", b"\x05\x00\x03\x2a\x02\x00", b"\x03\x05\x01\x00"]
)
def test_a_header_that_joins_nothing_is_taken_off_and_the_segment_is_whole(head: bytes) -> None:
    segment = read(head + b"text", UDHI)
    assert (segment.octets, segment.total, segment.number) == (b"text", 1, 1)


def test_a_header_that_is_longer_than_the_message_is_text() -> None:
    assert read(b"\x40text", UDHI).octets == b"\x40text"


@given(st.binary(max_size=200), st.integers(0, 255), st.integers(0, 255))
def test_any_octets_are_read_somehow(octets: bytes, esm_class: int, data_coding: int) -> None:
    segment = read(octets, esm_class, data_coding=data_coding)
    assert 1 <= segment.number <= segment.total
    decode(segment.octets, segment.alphabet)
