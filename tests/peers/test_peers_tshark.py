"""What our sessions and links write, read by Wireshark: nothing malformed, every field as meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wireshark import MISSING, Verdict, judge

from smsproxy.links.base import text_options
from smsproxy.links.submitter import Submitter
from smsproxy.settings import LinkSettings
from smsproxy.smpp import constants as c
from smsproxy.smpp.codec import encode
from smsproxy.smpp.events import Delivered
from smsproxy.smpp.framing import Framer
from smsproxy.smpp.options import SessionOptions
from smsproxy.smpp.pdu import BindKind, EnquireLink, Unbind, UnknownPdu
from smsproxy.smpp.session import EsmeSession
from smsproxy.text.segmentation import segment
from tests.unit.links.links_kit import APP, PHONE, SOURCE, Message
from tests.unit.smpp.smpp_builders import a_bound_session, a_receipt

pytestmark = [pytest.mark.peer, pytest.mark.skipif(bool(MISSING), reason=MISSING)]
GSM7_TEXT = "Hello [x] 0123456789 " * 20
UCS2_TEXT = "Салом дунё! " * 20
REFERENCE = 0x1234


def sent(session: EsmeSession) -> list[bytes]:
    """Every PDU a session wants on the wire."""
    return Framer().feed(session.data_to_send())


def submits(text: str, **values: Any) -> list[bytes]:
    """The submit_sm of a text, from a link's settings to the octets of a session."""
    settings = LinkSettings(system_id="esme", **values)
    message = Message("m", 1, APP)
    message.text = segment(text, text_options(settings, 10))
    message.reference = REFERENCE
    session = a_bound_session()
    for number in range(1, message.text.parts + 1):
        assert session.reserve()
        session.submit(Submitter(settings).body(message, number), message, 0)
    return sent(session)


def passed(folder: Path, pdus: list[bytes]) -> list[Verdict]:
    """The verdicts, none of which finds a fault."""
    verdicts = judge(folder, pdus)
    assert len(verdicts) == len(pdus)
    assert [verdict.faults for verdict in verdicts] == [[]] * len(pdus)
    for number, (verdict, pdu) in enumerate(zip(verdicts, pdus, strict=True), 1):
        assert verdict.number("smpp.command_length") == len(pdu), number
    return verdicts


def test_the_judge_finds_what_is_wrong(tmp_path: Path) -> None:
    (good,) = submits("hello")
    lying = bytearray(good)
    lying[-6] = 200  # sm_length
    assert judge(tmp_path, [bytes(lying)])[0].faults


@pytest.mark.parametrize("kind", BindKind)
def test_every_bind_is_read_as_it_was_meant(tmp_path: Path, kind: BindKind) -> None:
    options = SessionOptions(
        "esme", "secret", kind, "VMA", addr_ton=1, addr_npi=1, address_range="^99890", bind_timeout_s=5
    )
    session = EsmeSession(options)
    session.start(0)
    (verdict,) = passed(tmp_path, sent(session))
    assert verdict.number("smpp.command_id") == kind
    assert verdict.number("smpp.sequence_number") == 1
    assert verdict.number("smpp.interface_version") == 0x34
    assert (verdict.number("smpp.addr_ton"), verdict.number("smpp.addr_npi")) == (1, 1)
    texts = [verdict[f"smpp.{name}"] for name in ("system_id", "password", "system_type", "address_range")]
    assert texts == ["esme", "secret", "VMA", "^99890"]


def test_what_a_session_says_by_itself_is_well_formed(tmp_path: Path) -> None:
    session = a_bound_session()
    session.tick(31)
    requests = encode(EnquireLink(), 8) + encode(UnknownPdu(0x99, b"?"), 9)
    delivered = session.receive(a_receipt(7) + requests, 31)[0]
    assert isinstance(delivered, Delivered)
    session.answer_deliver(delivered, c.ESME_ROK)
    session.answer_deliver(delivered, c.ESME_RX_T_APPN)
    session.unbind(31)
    session.receive(encode(Unbind(), 11), 31)
    found = [
        (verdict.number("smpp.command_id"), verdict.number("smpp.sequence_number"), status_of(verdict))
        for verdict in passed(tmp_path, sent(session))
    ]
    assert found == [
        (c.ENQUIRE_LINK, 2, None),
        (c.ENQUIRE_LINK_RESP, 8, c.ESME_ROK),
        (c.GENERIC_NACK, 9, c.ESME_RINVCMDID),
        (c.DELIVER_SM_RESP, 7, c.ESME_ROK),
        (c.DELIVER_SM_RESP, 7, c.ESME_RX_T_APPN),
        (c.UNBIND, 3, None),
        (c.UNBIND_RESP, 11, c.ESME_ROK),
    ]


def status_of(verdict: Verdict) -> int | None:
    """The command_status, which tshark shows of responses alone."""
    return verdict.number("smpp.command_status") if "smpp.command_status" in verdict.fields else None


@pytest.mark.parametrize(("text", "data_coding"), [("Hello", 0), ("Салом", 8)])
def test_a_short_message_has_every_field_as_the_settings_say(
    tmp_path: Path, text: str, data_coding: int
) -> None:
    (verdict,) = passed(
        tmp_path,
        submits(
            text, service_type="VMA", priority=2, validity_period="000001000000000R", tlvs={"0x1400": "hi"}
        ),
    )
    numbers = {
        "command_id": c.SUBMIT_SM, "sequence_number": 2, "esm.submit.features": 0, "protocol_id": 0,
        "source_addr_ton": SOURCE.ton, "source_addr_npi": SOURCE.npi, "dest_addr_ton": PHONE.ton,
        "dest_addr_npi": PHONE.npi, "priority_flag": 2, "regdel.receipt": 1, "replace_if_present_flag": 0,
        "data_coding": data_coding, "sm_default_msg_id": 0, "opt_param_tag": 0x1400, "opt_param_len": 2,
    }  # fmt: skip
    assert {name: verdict.number(f"smpp.{name}") for name in numbers} == numbers
    assert (verdict["smpp.source_addr"], verdict["smpp.destination_addr"]) == (SOURCE.digits, PHONE.digits)
    assert verdict["smpp.service_type"] == "VMA"
    assert float(verdict["smpp.validity_period_r"]) == 86_400
    octets = text.encode("utf-16-be") if data_coding else text.encode()
    assert verdict.octets("smpp.message") == octets
    assert verdict.number("smpp.sm_length") == len(octets)
    if data_coding:
        assert verdict["smpp.message_text"] == text


@pytest.mark.parametrize("text", [GSM7_TEXT, UCS2_TEXT], ids=["GSM7", "UCS2"])
@pytest.mark.parametrize(("mode", "reference"), [("udh8", REFERENCE & 0xFF), ("udh16", REFERENCE)])
def test_segments_with_a_header_are_joined_by_tshark_to_the_text(
    tmp_path: Path, mode: str, reference: int, text: str
) -> None:
    verdicts = passed(tmp_path, submits(text, long_messages=mode))
    parts = len(verdicts)
    for number, verdict in enumerate(verdicts, 1):
        assert verdict.number("smpp.esm.submit.features") == 1, "UDHI"
        header = [verdict.number(f"gsm_sms.udh.mm.{name}") for name in ("msg_id", "msg_parts", "msg_part")]
        assert header == [reference, parts, number]
    assert verdicts[-1].number("gsm_sms_ud.fragment.count") == parts
    joined = verdicts[-1].octets("gsm_sms_ud.short_msg")
    assert joined == (text.encode("utf-16-be") if text == UCS2_TEXT else text_in_gsm7(text))


def text_in_gsm7(text: str) -> bytes:
    """One septet an octet (3GPP TS 23.038 §6.2.1), for what the text of this file needs."""
    return text.encode().replace(b"[", b"\x1b<").replace(b"]", b"\x1b>")


def test_sar_segments_carry_reference_total_and_number(tmp_path: Path) -> None:
    verdicts = passed(tmp_path, submits(UCS2_TEXT, long_messages="sar"))
    names = ("sar_msg_ref_num", "sar_total_segments", "sar_segment_seqnum")
    for number, verdict in enumerate(verdicts, 1):
        assert verdict.number("smpp.esm.submit.features") == 0
        assert [verdict.number(f"smpp.{name}") for name in names] == [REFERENCE, len(verdicts), number]
    assert "".join(verdict["smpp.message_text"] for verdict in verdicts) == UCS2_TEXT


def test_a_payload_is_one_pdu_with_the_whole_text(tmp_path: Path) -> None:
    (verdict,) = passed(tmp_path, submits(UCS2_TEXT, long_messages="payload"))
    assert verdict.number("smpp.sm_length") == 0
    assert verdict.octets("smpp.message_payload") == UCS2_TEXT.encode("utf-16-be")


def test_a_national_shift_table_is_named_in_the_header(tmp_path: Path) -> None:
    text = "İstanbul'da güneşli bir gün, ığdır " * 6
    for verdict in passed(tmp_path, submits(text, national_shift=["turkish"])):
        assert verdict.number("gsm_sms.dis_iei_lang.single_shift") == 1
