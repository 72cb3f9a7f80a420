"""What the simulator reads in a submit: segment and text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsproxy.simulator.texts import Concat, content_of, decode_text
from smsproxy.smpp.pdu import DataSm, DeliverSm, SubmitSm
from smsproxy.text.segmentation import TextOptions, segment


def test_an_8_bit_and_a_16_bit_reference_are_read_from_the_header() -> None:
    eight = SubmitSm(esm_class=0x40, short_message=b"\x05\x00\x03\x2a\x03\x02body")
    sixteen = SubmitSm(esm_class=0x43, short_message=b"\x06\x08\x04\x12\x34\x03\x02body")
    assert (content_of(eight).concat, content_of(eight).octets) == (Concat(0x2A, 3, 2), b"body")
    assert (content_of(sixteen).concat, content_of(sixteen).octets) == (Concat(0x1234, 3, 2), b"body")


def test_sar_tlvs_are_read_when_all_three_are_there() -> None:
    tlvs = {0x020C: b"\x12\x34", 0x020E: b"\x03", 0x020F: b"\x02"}
    assert content_of(SubmitSm(short_message=b"body", tlvs=tlvs)).concat == Concat(0x1234, 3, 2)
    for tag in tlvs:
        fewer = {key: value for key, value in tlvs.items() if key != tag}
        assert content_of(SubmitSm(short_message=b"body", tlvs=fewer)).concat is None


def test_a_payload_stands_in_for_the_short_message() -> None:
    assert content_of(SubmitSm(tlvs={0x0424: b"long"})).octets == b"long"
    assert content_of(DataSm(tlvs={0x0424: b"long"})).octets == b"long"
    assert content_of(DataSm()).octets == b""
    assert content_of(SubmitSm(short_message=b"short", tlvs={0x0424: b"long"})).octets == b"short"


@pytest.mark.parametrize("data", [b"", b"\x05\x00\x03", b"\xff" * 20])
def test_a_header_that_does_not_hold_together_is_text(data: bytes) -> None:
    assert content_of(SubmitSm(esm_class=0x40, short_message=data)).octets == data


def test_other_and_cut_elements_of_a_header_are_passed_over() -> None:
    data = b"\x09\x05\x04\x0b\x84\x23\xf0\x00\x03\x01body"
    assert content_of(SubmitSm(esm_class=0x40, short_message=data)).concat is None
    assert content_of(SubmitSm(esm_class=0x40, short_message=data)).octets == b"body"


@given(st.binary(max_size=200), st.integers(0, 255), st.integers(0, 255))
def test_any_octets_have_a_content_and_a_text_or_none(data: bytes, esm_class: int, coding: int) -> None:
    content = content_of(DeliverSm(esm_class=esm_class, short_message=data))
    text = decode_text(content.octets, coding, content.single_shift, content.locking_shift)
    assert data.endswith(content.octets)
    assert text is None or isinstance(text, str)


@pytest.mark.parametrize(
    ("octets", "coding", "text"),
    [
        (b"\x00\x1be", 0, "@€"),
        (b"\x00", 0xF1, "@"),
        (b"\x00", 0x11, "@"),
        (b"abc", 1, "abc"),
        (b"\xe9", 3, "é"),
        ("Да".encode("utf-16-be"), 8, "Да"),
        ("Да".encode("utf-16-be"), 0x18, "Да"),
        (b"\x80", 0, None),
        (b"\x80", 1, None),
        (b"\xd8\x00", 8, None),
        (b"abc", 4, None),
        (b"abc", 0xF5, None),
        (b"abc", 0x14, None),
        (b"abc", 0x77, None),
    ],
)
def test_the_data_coding_names_the_alphabet(octets: bytes, coding: int, text: str | None) -> None:
    assert decode_text(octets, coding) == text


@pytest.mark.parametrize("language", ["turkish", "spanish", "portuguese"])
def test_national_shift_tables_are_honoured(language: str) -> None:
    text = {"turkish": "Işığı söndür", "spanish": "¿Qué día?", "portuguese": "Não há ãõ"}[language]
    sent = segment(text, TextOptions(national_shift=(language,)))
    esm_class = 0x40 if sent.udhi else 0
    content = content_of(SubmitSm(esm_class=esm_class, short_message=sent.user_data(0, 1)))
    assert decode_text(content.octets, 0, content.single_shift, content.locking_shift) == text


def test_an_unknown_language_reads_as_the_default_alphabet() -> None:
    assert decode_text(b"\x00", 0, 99, 99) == "@"
    assert decode_text(b"\x04\x1be", 0, 0, 1) == "€€"
