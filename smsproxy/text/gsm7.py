"""The GSM 7-bit alphabet (3GPP TS 23.038 §6.2.1): text to unpacked septets, one per octet, and back.

A `SeptetAlphabet` is a basic table of 128 characters and an extension table reached with ESC (two septets).
`GSM7` is the default one; the national languages in `national_shift` are others. SMPP carries septets
unpacked, the SMSC packs them, so nothing here packs. Called by `segmentation` for every message, hence the
care for speed.
"""

from __future__ import annotations

from codecs import charmap_build, charmap_encode
from collections.abc import Mapping

from smsproxy.text.errors import TextError

ESC = 0x1B
"""Announces a character of the extension table. It is no character itself: a raw U+001B is not GSM7."""

BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅå"
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ"
    " !\"#¤%&'()*+,-./"
    "0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNO"
    "PQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmno"
    "pqrstuvwxyzäöñüà"
)
"""The default alphabet; the position in the string is the septet."""

EXTENSION: Mapping[int, str] = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
"""The default extension table: second septet to character."""

_UNUSED = "\ufffe"  # what charmap_build takes for "no character here"
_OUTSIDE = 0x80 | ESC  # marks a character outside the alphabet; free, as ESC ESC is reserved


class SeptetAlphabet:
    """A basic table and an extension table, made ready for fast encoding.

    Encoding is two table walks in C: character to a private single-octet code, that to the septet, with bit 8
    set for an extension character. Bit 8 is rare, so its expansion to an escape pair comes only where it
    occurs. (One `str.translate` with two-character values does the same at two to five times the cost.)
    """

    __slots__ = ("_from_ascii", "_from_code", "_pairs", "_to_code", "basic", "extension")

    def __init__(self, basic: str, extension: Mapping[int, str]) -> None:
        self.basic = basic
        self.extension = extension
        # A character in both tables takes the basic one: a septet instead of two.
        septets = {char: 0x80 | code for code, char in extension.items()}
        septets |= {char: code for code, char in enumerate(basic) if code != ESC}
        # charmap_build makes its fast map only if code 0 is NUL. NUL is in no alphabet, so it is marked as
        # such.
        codes = "\0" + "".join(septets)
        self._to_code = charmap_build(codes.ljust(256, _UNUSED))
        self._from_code = bytes((_OUTSIDE, *septets.values())).ljust(256, bytes((_OUTSIDE,)))
        self._from_ascii = bytes(septets.get(chr(code), _OUTSIDE) for code in range(256))
        self._pairs = [(bytes((0x80 | code,)), bytes((ESC, code))) for code in extension]

    def encode(self, text: str) -> bytes | None:
        """The text as unpacked septets, escapes included, or None when a character is outside."""
        if text.isascii():
            octets = text.encode().translate(self._from_ascii)
        else:
            try:
                octets = charmap_encode(text, "strict", self._to_code)[0].translate(self._from_code)
            except UnicodeEncodeError:
                return None
        if octets.isascii():
            return octets
        if _OUTSIDE in octets:
            return None
        for marked, pair in self._pairs:
            octets = octets.replace(marked, pair)
        return octets

    def decode(self, octets: bytes) -> str:
        """Unpacked septets as text. Raises TextError for an octet above 0x7F.

        As TS 23.038 asks of a handset: ESC before a code without an extension character shows the basic one,
        ESC ESC and an ESC at the end show a space.
        """
        if not octets.isascii():
            raise TextError("not unpacked septets: an octet is above 0x7F")
        if ESC not in octets:
            return octets.decode("ascii").translate(self.basic)
        shown: list[str] = []
        codes = iter(octets)
        for code in codes:
            if code == ESC:
                code = next(codes, ESC)
                shown.append(self.extension.get(code) or (" " if code == ESC else self.basic[code]))
            else:
                shown.append(self.basic[code])
        return "".join(shown)


GSM7 = SeptetAlphabet(BASIC, EXTENSION)
"""The default alphabet of every link."""


def septet_ends(octets: bytes, limit: int) -> list[int]:
    """The ends of the fewest pieces of at most `limit` septets, no escape pair torn."""
    ends: list[int] = []
    end = 0
    while end < len(octets):
        end += limit
        # ESC is never the second of a pair, so one in the last place always has its character after the cut.
        if end < len(octets) and octets[end - 1] == ESC:
            end -= 1
        ends.append(min(end, len(octets)))
    return ends
