"""What an SMSC can read in a submit_sm: the segment's place in its message, and its text.

A user data header (3GPP TS 23.040 §9.2.3.24) or SAR TLVs (SMPP v3.4 §5.3.2.22) say which segment it is. The
text is decoded by data_coding (§5.2.19) where that tells the alphabet; what cannot be decoded is None, never
an error. Called by the planner and the truth log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from smsproxy.smpp.constants import ESM_CLASS_UDHI, TLV_MESSAGE_PAYLOAD
from smsproxy.smpp.pdu import DataSm, DeliverSm, SubmitSm
from smsproxy.smpp.tlv import read_sar
from smsproxy.text.errors import TextError
from smsproxy.text.gsm7 import BASIC, EXTENSION, GSM7, SeptetAlphabet
from smsproxy.text.national_shift import LANGUAGES, LOCKING_SHIFT_IEI, SINGLE_SHIFT_IEI

Message = SubmitSm | DataSm | DeliverSm

_CONCAT_8, _CONCAT_16 = 0x00, 0x08
_NATIONAL = {1: "turkish", 2: "spanish", 3: "portuguese"}  # TS 23.038 §6.2.1.2.4


class Concat(NamedTuple):
    """The place of a segment: which message, out of how many, which one (from 1)."""

    concat_ref: int
    total_segments: int
    segment_no: int


@dataclass(frozen=True, slots=True)
class Content:
    """The octets of a segment without its header, and what that header said."""

    octets: bytes
    concat: Concat | None = None
    single_shift: int = 0
    locking_shift: int = 0


def user_data(pdu: Message) -> bytes:
    """short_message, or the message_payload that stands in for it (§5.3.2.32)."""
    if isinstance(pdu, DataSm):
        return pdu.tlvs.get(TLV_MESSAGE_PAYLOAD, b"")
    return pdu.short_message or pdu.tlvs.get(TLV_MESSAGE_PAYLOAD, b"")


def content_of(pdu: Message) -> Content:
    """The content of a message. A header that does not hold together is taken as text."""
    data = user_data(pdu)
    if pdu.esm_class & ESM_CLASS_UDHI and data and data[0] < len(data):
        return _with_header(data)
    sar = read_sar(pdu.tlvs) if pdu.tlvs else None
    return Content(data, Concat(*sar) if sar else None)


def _with_header(data: bytes) -> Content:
    end = 1 + data[0]
    elements = _elements(data[1:end])
    return Content(
        data[end:],
        _concat(elements),
        int.from_bytes(elements.get(SINGLE_SHIFT_IEI, b""), "big"),
        int.from_bytes(elements.get(LOCKING_SHIFT_IEI, b""), "big"),
    )


def _concat(elements: dict[int, bytes]) -> Concat | None:
    """§9.2.3.24.1 and .8: a reference of one or two octets, then total and number."""
    for identifier, ref_octets in ((_CONCAT_8, 1), (_CONCAT_16, 2)):
        value = elements.get(identifier, b"")
        if len(value) == ref_octets + 2:
            return Concat(int.from_bytes(value[:ref_octets], "big"), value[-2], value[-1])
    return None


def _elements(header: bytes) -> dict[int, bytes]:
    """Information elements by identifier; a cut one is left out, of a repeated one the last counts."""
    elements: dict[int, bytes] = {}
    at = 0
    while at + 2 <= len(header):
        identifier, length = header[at], header[at + 1]
        value = header[at + 2 : at + 2 + length]
        if len(value) == length:
            elements[identifier] = value
        at += 2 + length
    return elements


def decode_text(octets: bytes, data_coding: int, single_shift: int = 0, locking_shift: int = 0) -> str | None:
    """The text, or None where data_coding names no alphabet or the octets do not fit it."""
    try:
        match _alphabet(data_coding):
            case "gsm7":
                return _septets(single_shift, locking_shift).decode(octets)
            case "":
                return None
            case codec:
                return octets.decode(codec)
    except (TextError, UnicodeDecodeError):
        return None


def _alphabet(data_coding: int) -> str:
    """SMPP's own codes (§5.2.19), and the TS 23.038 groups with a message class; empty for binary."""
    if data_coding >= 0xF0:
        return "" if data_coding & 0x04 else "gsm7"
    if 0x10 <= data_coding <= 0x1F:
        return ("gsm7", "", "utf-16-be", "")[data_coding >> 2 & 3]
    return {0: "gsm7", 1: "ascii", 3: "latin-1", 8: "utf-16-be"}.get(data_coding, "")


def _septets(single_shift: int, locking_shift: int) -> SeptetAlphabet:
    if not single_shift and not locking_shift:
        return GSM7
    basic, extension = BASIC, EXTENSION
    single = LANGUAGES.get(_NATIONAL.get(single_shift, ""), ())
    if single:
        extension = dict(single[0].alphabet.extension)
    locking = LANGUAGES.get(_NATIONAL.get(locking_shift, ""), ())
    if locking:
        basic = locking[-1].alphabet.basic
    return SeptetAlphabet(basic, extension)
