"""Texts from handsets: which alphabet a data_coding means at this SMSC, and the text it then makes.

The numbers are those of SMPP v3.4 §5.2.19, but for those that the link gives another meaning (spec §3): an
SMSC that takes 0 for Latin-1 in what we send says 0 for Latin-1 in what it delivers. Called by the links
(`Alphabets`, once per link) and by the pipeline (`decode`, once a message is whole).
"""

from __future__ import annotations

from smsproxy.text.gsm7 import GSM7
from smsproxy.text.segmentation import Alphabet, TextOptions

_STANDARD = {0: Alphabet.GSM7, 1: Alphabet.LATIN1, 3: Alphabet.LATIN1, 8: Alphabet.UCS2}
_GROUPED = {0x00: Alphabet.GSM7, 0x08: Alphabet.UCS2}


class Alphabets:
    """What the data_codings of one link's SMSC mean."""

    __slots__ = ("_by_number",)

    def __init__(self, options: TextOptions) -> None:
        self._by_number = {**_STANDARD, options.ucs2_data_coding: Alphabet.UCS2}
        if options.latin1:
            self._by_number[options.latin1_data_coding] = Alphabet.LATIN1
        if options.gsm7:
            self._by_number[options.gsm7_data_coding] = Alphabet.GSM7

    def __repr__(self) -> str:
        return f"<Alphabets {self._by_number}>"

    def of(self, data_coding: int) -> Alphabet | None:
        """None for binary data and alphabets we do not know. Message classes are those of TS 23.038 §4."""
        known = self._by_number.get(data_coding)
        if known is not None:
            return known
        if data_coding >= 0xF0:
            return None if data_coding & 0x04 else Alphabet.GSM7  # a message class: bit 2 says 8-bit data
        if 0x10 <= data_coding <= 0x1F:
            return _GROUPED.get(data_coding & 0x0C)  # the same class in the general group
        return None


def decode(octets: bytes, alphabet: str) -> str | None:
    """The text of octets in an `Alphabet`; None for any other word. Raises nothing.

    Liberal: octets above 0x7F where septets should be are read as Latin-1, as such SMSCs mean them, and what
    is no character in UCS2 becomes U+FFFD.
    """
    match alphabet:
        case Alphabet.GSM7:
            return GSM7.decode(octets) if octets.isascii() else octets.decode("latin-1")
        case Alphabet.LATIN1:
            return octets.decode("latin-1")
        case Alphabet.UCS2:
            return octets.decode("utf-16-be", errors="replace")
        case _:
            return None
