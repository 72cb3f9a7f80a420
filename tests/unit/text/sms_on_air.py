"""A handset in miniature: reads user data back with its own idea of TS 23.040, to judge ours by."""

from __future__ import annotations

from dataclasses import dataclass

from smsproxy.text.gsm7 import BASIC, EXTENSION, SeptetAlphabet
from smsproxy.text.national_shift import LANGUAGES
from smsproxy.text.segmentation import Alphabet, SegmentedText

_CODES = {1: "turkish", 2: "spanish", 3: "portuguese"}


@dataclass
class Heard:
    """One segment as a handset understands it."""

    elements: dict[int, bytes]
    body: bytes
    text: str
    air_octets: int


def split_header(user_data: bytes) -> tuple[dict[int, bytes], bytes]:
    length = user_data[0]
    header, body = user_data[1 : 1 + length], user_data[1 + length :]
    elements = {}
    while header:
        iei, size = header[0], header[1]
        assert iei not in elements, "an element is repeated"
        assert len(header) >= 2 + size, "an element reaches past the header"
        elements[iei] = header[2 : 2 + size]
        header = header[2 + size :]
    return elements, body


def hear(sent: SegmentedText, index: int, reference: int) -> Heard:
    user_data = sent.user_data(index, reference)
    elements, body = split_header(user_data) if sent.udhi else ({}, user_data)
    header_octets = len(user_data) - len(body)
    match sent.alphabet:
        case Alphabet.UCS2:
            return Heard(elements, body, body.decode("utf-16-be"), len(user_data))
        case Alphabet.LATIN1:
            return Heard(elements, body, body.decode("latin-1"), len(user_data))
        case Alphabet.GSM7:
            fill_bits = -header_octets * 8 % 7
            bits = header_octets * 8 + fill_bits + len(body) * 7
            assert body[-1:] != b"\x1b", "an escape pair is torn"
            return Heard(elements, body, _alphabet(elements).decode(body), -(-bits // 8))


def _alphabet(elements: dict[int, bytes]) -> SeptetAlphabet:
    basic, extension = BASIC, EXTENSION
    if 0x24 in elements:
        extension = LANGUAGES[_CODES[elements[0x24][0]]][0].alphabet.extension
    if 0x25 in elements:
        basic = LANGUAGES[_CODES[elements[0x25][0]]][1].alphabet.basic
    return SeptetAlphabet(basic, extension)


def hear_all(sent: SegmentedText, reference: int = 0x1234) -> list[Heard]:
    return [hear(sent, index, reference) for index in range(sent.parts)]
