"""From a message to submit_sm, read back by smpplib's codec, which is not ours."""

from __future__ import annotations

from typing import Any

import pytest
import smpplib.smpp
from links_kit import PHONE, SOURCE, Message

from smsproxy.links.base import text_options
from smsproxy.links.submitter import Submitter
from smsproxy.settings import LinkSettings
from smsproxy.smpp.codec import pack_header
from smsproxy.smpp.constants import SUBMIT_SM
from smsproxy.text.segmentation import segment

LONG = "x" * 300


class _Numbers:
    """What smpplib wants of a client."""

    sequence = 1

    def next_sequence(self) -> int:
        return 1


def a_message(text: str, settings: LinkSettings, reference: int = 0x1234) -> Message:
    message = Message("m", 1, (1, "unary"))
    message.text = segment(text, text_options(settings, 10))
    message.reference = reference
    return message


def pdus(text: str, reference: int = 0x1234, **values: Any) -> list[Any]:
    """Every submit_sm of a text, as smpplib reads it."""
    settings = LinkSettings(system_id="esme", **values)
    message = a_message(text, settings, reference)
    submitter = Submitter(settings)
    found = []
    for number in range(1, message.text.parts + 1):
        body = submitter.body(message, number)
        octets = pack_header(16 + len(body), SUBMIT_SM, 0, number) + body
        found.append(smpplib.smpp.parse_pdu(octets, client=_Numbers(), allow_unknown_opt_params=True))
    return found


def test_a_short_text_goes_as_one_plain_segment() -> None:
    (pdu,) = pdus("hello")
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (5, 0, SOURCE.digits.encode())
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (1, 1, PHONE.digits.encode())
    assert (pdu.esm_class, pdu.data_coding, pdu.registered_delivery) == (0, 0, 1)
    assert pdu.short_message == b"hello"
    assert (pdu.priority_flag, pdu.validity_period, pdu.service_type) == (0, b"", b"")


def test_udh8_joins_segments_by_the_low_octet_of_the_reference() -> None:
    for number, pdu in enumerate(pdus(LONG), 1):
        assert pdu.esm_class == 0x40
        assert pdu.short_message[:6] == bytes((5, 0, 3, 0x34, 2, number))


def test_udh16_joins_segments_by_the_whole_reference() -> None:
    for number, pdu in enumerate(pdus(LONG, long_messages="udh16"), 1):
        assert pdu.esm_class == 0x40
        assert pdu.short_message[:7] == bytes((6, 8, 4, 0x12, 0x34, 2, number))


def test_sar_joins_segments_by_tlvs() -> None:
    for number, pdu in enumerate(pdus(LONG, long_messages="sar"), 1):
        assert pdu.esm_class == 0
        assert (pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum) == (0x1234, 2, number)
        assert pdu.short_message.strip(b"x") == b""


def test_payload_carries_the_whole_text_in_one_pdu() -> None:
    (pdu,) = pdus(LONG, long_messages="payload")
    assert pdu.message_payload == LONG.encode()
    assert not pdu.short_message
    assert pdu.registered_delivery == 1


def test_a_short_text_needs_no_joining_in_any_mode() -> None:
    for mode in ("udh8", "udh16", "sar", "payload"):
        (pdu,) = pdus("hello", long_messages=mode)
        assert (pdu.esm_class, pdu.short_message) == (0, b"hello")


@pytest.mark.parametrize(("wanted", "flags"), [("all", [1, 1, 1]), ("last", [0, 0, 1]), ("none", [0, 0, 0])])
def test_receipts_are_asked_for_as_set(wanted: str, flags: list[int]) -> None:
    assert [pdu.registered_delivery for pdu in pdus("x" * 400, registered_delivery=wanted)] == flags


def test_data_codings_are_the_link_s_own() -> None:
    assert pdus("hello", gsm7_data_coding=1)[0].data_coding == 1
    assert pdus("Привет", ucs2_data_coding=0x18)[0].data_coding == 0x18
    assert pdus("ÀÀ", latin1=True, latin1_data_coding=4)[0].data_coding == 4


def test_ucs2_goes_big_endian() -> None:
    assert pdus("Привет")[0].short_message == "Привет".encode("utf-16-be")


def test_constants_of_the_link_are_on_every_segment() -> None:
    for pdu in pdus(
        LONG,
        priority=3,
        validity_period="000002000000000R",
        service_type="VMA",
        tlvs={"0x1400": "text", "0x1401": "hex:0A0B"},
    ):
        assert (pdu.priority_flag, pdu.validity_period, pdu.service_type) == (3, b"000002000000000R", b"VMA")
        assert bytes.fromhex("1400000474657874") + bytes.fromhex("140100020A0B") in raw(LONG)


def raw(text: str) -> bytes:
    settings = LinkSettings(system_id="esme", tlvs={"0x1400": "text", "0x1401": "hex:0A0B"})
    return Submitter(settings).body(a_message(text, settings), 1)


def test_vendor_tlvs_go_with_the_tlvs_of_joining() -> None:
    settings = LinkSettings(system_id="esme", long_messages="sar", tlvs={"0x1400": 7})
    body = Submitter(settings).body(a_message(LONG, settings), 1)
    assert body.endswith(bytes.fromhex("1400000107" + "020C00021234" + "020E000102" + "020F000101"))
