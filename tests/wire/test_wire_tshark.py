"""What we write, judged by Wireshark's dissector: no malformed PDU, and the parts join to the text again.

A peer of ours could share a mistake of ours; tshark reads SMPP for people who debug both sides.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from smsproxy.domain.address import Address
from smsproxy.links.base import text_options
from smsproxy.links.submitter import Submitter
from smsproxy.settings import LinkSettings
from smsproxy.smpp.codec import encode, pack_header
from smsproxy.smpp.constants import SUBMIT_SM
from smsproxy.smpp.pdu import (
    Bind,
    BindKind,
    DataSmResp,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Unbind,
    UnbindResp,
)
from smsproxy.text.segmentation import segment
from tests.unit.links.links_kit import Message

TSHARK = shutil.which("tshark") or ""
pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not TSHARK, reason="tshark is not installed (apt install tshark)"),
]

SMPP_PORT = 2775
RAW_IP = 101
GSM7 = "The quick brown fox jumps over the lazy dog [€]. " * 8
GSM7_OCTETS = GSM7.replace("[", "\x1b<").replace("€", "\x1be").replace("]", "\x1b>").encode()
UCS2 = "Съешь ещё этих мягких французских булок. 🙂 " * 5


def submits(text: str, **values: object) -> list[bytes]:
    """Every submit_sm of a text, header included."""
    settings = LinkSettings(system_id="esme", **values)
    message = Message("m", 1, (1, "unary"))
    message.text = segment(text, text_options(settings, 10))
    message.reference = 0x1234
    message.source, message.destination = Address(5, 0, "MYBRAND"), Address(1, 1, "998901234567")
    submitter = Submitter(settings)
    bodies = [submitter.body(message, number) for number in range(1, message.text.parts + 1)]
    return [pack_header(16 + len(body), SUBMIT_SM, 0, number) + body for number, body in enumerate(bodies, 1)]


def capture(file: Path, pdus: list[bytes]) -> Path:
    """A pcap of one TCP connection that carries these, a PDU a packet."""
    packets = [struct.pack("<LHHLLLL", 0xA1B2C3D4, 2, 4, 0, 0, 65535, RAW_IP)]
    at = 1
    for number, pdu in enumerate(pdus):
        tcp = struct.pack(">HHLLBBHHH", 40000, SMPP_PORT, at, 1, 0x50, 0x18, 65535, 0, 0) + pdu
        home = bytes((127, 0, 0, 1))
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), number, 0, 64, 6, 0) + home + home + tcp
        packets.append(struct.pack("<LLLL", number, 0, len(ip), len(ip)) + ip)
        at += len(pdu)
    file.write_bytes(b"".join(packets))
    return file


FIELDS = [
    "smpp.command_id",
    "_ws.malformed",
    "smpp.esm.submit.features",
    "gsm_sms_ud.short_msg",
    "smpp.message_payload",
    "smpp.sar_segment_seqnum",
]


def dissected(folder: Path, pdus: list[bytes]) -> list[dict[str, str]]:
    """What tshark reads in each of these PDUs, by the names of its fields; empty where there is nothing."""
    command = [TSHARK, "-r", str(capture(folder / "smpp.pcap", pdus)), "-d", f"tcp.port=={SMPP_PORT},smpp"]
    command += ["-T", "fields", "-E", "separator=;"]
    for field in FIELDS:
        command += ["-e", field]
    found = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return [dict(zip(FIELDS, line.split(";"), strict=True)) for line in found.stdout.splitlines()]


@pytest.mark.parametrize("mode", ["udh8", "udh16"])
@pytest.mark.parametrize(("text", "spelled"), [(GSM7, GSM7_OCTETS), (UCS2, UCS2.encode("utf-16-be"))])
def test_the_header_of_a_part_is_a_header_and_the_parts_join_to_the_text(
    tmp_path: Path, mode: str, text: str, spelled: bytes
) -> None:
    read = dissected(tmp_path, submits(text, long_messages=mode, tlvs={"0x1400": "vendor"}))
    assert {pdu["_ws.malformed"] for pdu in read} == {""}
    assert {pdu["smpp.esm.submit.features"] for pdu in read} == {"0x01"}
    assert bytes.fromhex(read[-1]["gsm_sms_ud.short_msg"]) == spelled


def test_parts_joined_by_tlvs_and_a_whole_text_in_the_payload_are_well_formed(tmp_path: Path) -> None:
    parts = submits(GSM7, long_messages="sar")
    read = dissected(tmp_path, parts + submits(UCS2, long_messages="payload"))
    assert {pdu["_ws.malformed"] for pdu in read} == {""}
    assert [int(pdu["smpp.sar_segment_seqnum"] or "0", 0) for pdu in read] == [1, 2, 3, 0]
    assert bytes.fromhex(read[-1]["smpp.message_payload"]) == UCS2.encode("utf-16-be")


def test_binds_and_the_rest_of_a_session_are_well_formed(tmp_path: Path) -> None:
    binds = [Bind(kind, "esme", "secret", "VMA", address_range="99890.*") for kind in BindKind]
    pdus = [*binds, EnquireLink(), EnquireLinkResp(), DeliverSmResp(), DataSmResp(), UnbindResp(), Unbind()]
    read = dissected(tmp_path, [encode(pdu, number) for number, pdu in enumerate(pdus, 1)])
    assert [int(pdu["smpp.command_id"], 0) for pdu in read] == [pdu.command_id for pdu in pdus]
    assert {pdu["_ws.malformed"] for pdu in read} == {""}


def test_the_judge_does_notice_a_lying_length(tmp_path: Path) -> None:
    (honest,) = submits("hello")
    lying = honest.replace(b"\x05hello", b"\xf0hello")
    assert dissected(tmp_path, [lying])[0]["_ws.malformed"]
