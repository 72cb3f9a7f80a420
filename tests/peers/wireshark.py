"""tshark, the dissector of Wireshark, as the judge of the octets we write.

PDUs go into a capture file made by hand (raw IPv4 and TCP, one PDU a packet, so neither root nor a network is
needed); what tshark reads in it comes back as `Verdict`s. `MISSING` tells why it cannot be had, or is empty.
"""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TSHARK = shutil.which("tshark")
MISSING = "" if _TSHARK else "tshark is not installed: scripts/peers.sh installs it on Debian, run as root"
_SMPP_PORT = 2775
_RAW_IP = 101  # LINKTYPE_RAW
_JUDGE_S = 50


@dataclass(frozen=True)
class Verdict:
    """What tshark reads in one PDU: every value of every field, and what it finds wrong."""

    fields: dict[str, list[str]]
    faults: list[str]

    def __getitem__(self, name: str) -> str:
        """The one value of a field of the smpp or gsm_sms dissector."""
        (value,) = self.fields[name]
        return value

    def number(self, name: str) -> int:
        return int(self[name], 0)

    def octets(self, name: str) -> bytes:
        return bytes.fromhex(self[name].replace(":", ""))


def judge(folder: Path, pdus: list[bytes]) -> list[Verdict]:
    """One verdict a PDU, in their order."""
    assert _TSHARK is not None
    capture = folder / "pdus.pcap"
    capture.write_bytes(_capture(pdus))
    command = [_TSHARK, "-r", str(capture), "-d", f"tcp.port=={_SMPP_PORT},smpp", "-T", "json"]
    done = subprocess.run(
        [*command, "--no-duplicate-keys"], capture_output=True, text=True, timeout=_JUDGE_S, check=True
    )
    return [_verdict(packet["_source"]["layers"]) for packet in json.loads(done.stdout)]


def _verdict(layers: dict[str, Any]) -> Verdict:
    fields: dict[str, list[str]] = {}
    for name, value in _leaves(layers):
        fields.setdefault(name, []).append(value)
    faults = ["malformed"] if any("malformed" in name for name in fields) else []
    faults += fields.get("_ws.expert.message", [])
    return Verdict(fields, faults)


def _leaves(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield from _leaves(one)
            else:
                yield name, str(one)


def _capture(pdus: list[bytes]) -> bytes:
    """A pcap file of one TCP stream from an ESME to port 2775."""
    records = [struct.pack("<LHHLLLL", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, _RAW_IP)]
    position = 1
    for number, pdu in enumerate(pdus):
        tcp = struct.pack(">HHLLBBHHH", 40000, _SMPP_PORT, position, 1, 5 << 4, 0x18, 0xFFFF, 0, 0) + pdu
        addresses = bytes((127, 0, 0, 1, 127, 0, 0, 2))
        packet = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), number, 0, 64, 6, 0) + addresses + tcp
        records.append(struct.pack("<LLLL", number, 0, len(packet), len(packet)) + packet)
        position += len(pdu)
    return b"".join(records)
