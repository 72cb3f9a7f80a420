"""From a text to its segments: the one function SendMessage and CheckTextLen share (spec §2.4).

What `segment` returns is what goes on the wire. Encodings are tried from the cheapest, those that keep every
character before the one that does not:

    GSM7 > GSM7 with a national shift table > LATIN1 > GSM7 after transliteration > UCS2

140 octets is what a segment holds on the air (3GPP TS 23.040 §9.2.3.24), its user data header included. The
SMSC packs septets, so GSM7 is counted packed and handed over unpacked. All options come from the settings of
a link.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from smsproxy.text import ucs2
from smsproxy.text.errors import TextError, TooManySegmentsError
from smsproxy.text.gsm7 import GSM7, septet_ends
from smsproxy.text.national_shift import LANGUAGES
from smsproxy.text.transliterate import to_gsm7

LongMessages = Literal["udh8", "udh16", "sar", "payload"]

AIR_OCTETS = 140
SINGLE_SEPTETS = AIR_OCTETS * 8 // 7
MAX_SEGMENTS = 255
"""The total is one octet in every kind of concatenation. It also keeps a payload far below 64 KiB."""

# Octets of the concatenation element in each segment. With sar and payload we send none, but on the air there
# is no other way to join segments: the SMSC adds its own, the 8-bit form unless told otherwise, so room is
# kept for it.
_CONCATENATION_OCTETS: dict[LongMessages, int] = {"udh8": 5, "udh16": 6, "sar": 5, "payload": 5}


class Alphabet(StrEnum):
    """What the octets of a segment mean. The values are the `encode` words of CheckTextLen."""

    GSM7 = "GSM7"
    LATIN1 = "LATIN1"
    UCS2 = "UCS2"


# An enum's attribute is found by way of its metaclass, a global at once: these are read for every message.
_GSM7 = Alphabet.GSM7
_LATIN1 = Alphabet.LATIN1
_UCS2 = Alphabet.UCS2


@dataclass(frozen=True, slots=True)
class TextOptions:
    """The text settings of a link (spec §3). Raises ValueError for a value no link may have."""

    max_segments: int = 10
    long_messages: LongMessages = "udh8"
    gsm7: bool = True
    """False: the SMSC knows no GSM7, so national_shift and transliterate have no effect."""
    gsm7_data_coding: int = 0
    ucs2_data_coding: int = 8
    latin1: bool = False
    latin1_data_coding: int = 3
    national_shift: tuple[str, ...] = ()
    transliterate: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.max_segments <= MAX_SEGMENTS:
            raise ValueError(f"max_segments must be 1 to {MAX_SEGMENTS}")
        if self.long_messages not in _CONCATENATION_OCTETS:
            raise ValueError(f"long_messages must be one of {', '.join(_CONCATENATION_OCTETS)}")
        for language in self.national_shift:
            if language not in LANGUAGES:
                raise ValueError(f"national_shift knows {', '.join(LANGUAGES)}, not {language}")


DEFAULT_OPTIONS = TextOptions()


@dataclass(slots=True)
class SegmentedText:
    """A text ready for the wire: its measures and its segments. Not to be changed once made."""

    alphabet: Alphabet
    data_coding: int
    symbols: int
    """Code points of the text as given."""
    units: int
    """Septets (escapes included), octets or UTF-16 units of the whole text as sent, headers not included."""
    bodies: tuple[bytes, ...]
    """User data of each segment without a header; GSM7 unpacked. Empty for an empty text."""
    concatenation: LongMessages | Literal[""] = ""
    """How the bodies are joined (``payload``: the one body is carried); empty if one segment is enough."""
    shift_elements: bytes = b""
    """Information elements of the national shift tables in force, in the header of each segment."""

    @property
    def parts(self) -> int:
        """PDUs that go out; with ``payload`` it is one, whatever the SMSC makes of it."""
        return len(self.bodies)

    @property
    def udhi(self) -> bool:
        """Whether `user_data` begins with a header (esm_class bit 0x40, SMPP v3.4 §5.2.12)."""
        return bool(self.shift_elements) or self.concatenation == "udh8" or self.concatenation == "udh16"

    def user_data(self, index: int, reference: int) -> bytes:
        """Header, if any, and body of ``bodies[index]``, counted from 0.

        `reference` joins the segments of one message; the low 8 or 16 bits of it are used, none in a single
        one.
        """
        body = self.bodies[index]
        shift = self.shift_elements
        total = len(self.bodies)
        if self.concatenation == "udh8":
            head = bytes((5 + len(shift), 0x00, 3, reference & 0xFF, total, index + 1))
        elif self.concatenation == "udh16":
            high, low = reference >> 8 & 0xFF, reference & 0xFF
            head = bytes((6 + len(shift), 0x08, 4, high, low, total, index + 1))
        elif shift:
            head = bytes((len(shift),))
        else:
            return body
        return head + shift + body


def segment(text: str, options: TextOptions = DEFAULT_OPTIONS) -> SegmentedText:
    """The text as segments, in the first alphabet that holds it; no segments for an empty text.

    Raises TextError for a text that no alphabet holds (half a surrogate pair), TooManySegmentsError with the
    measures for one that is too long.
    """
    octets = GSM7.encode(text) if options.gsm7 or not text else None
    if octets is None:
        return _segment_other(text, options)
    units = len(octets)
    if 0 < units <= SINGLE_SEPTETS:  # nine messages of ten: nothing else to decide
        return SegmentedText(_GSM7, options.gsm7_data_coding, len(text), units, (octets,))
    return _divide(_Encoded(_GSM7, options.gsm7_data_coding, len(text), octets), options)


@dataclass(slots=True)
class _Encoded:
    """A text in one alphabet, not yet cut."""

    alphabet: Alphabet
    data_coding: int
    symbols: int
    octets: bytes
    shift_elements: bytes = b""

    @property
    def units(self) -> int:
        return len(self.octets) // 2 if self.alphabet is _UCS2 else len(self.octets)

    def capacity(self, concatenation_octets: int) -> int:
        """Units that one segment holds beside its header."""
        elements = concatenation_octets + len(self.shift_elements)
        room = AIR_OCTETS - (1 + elements if elements else 0)
        if self.alphabet is _GSM7:
            return room * 8 // 7
        return room if self.alphabet is _LATIN1 else room // 2

    def ends(self, mode: LongMessages) -> list[int]:
        """The ends of the fewest segments the air takes, nothing torn that must stay whole."""
        limit = self.capacity(0)
        if self.units > limit:
            limit = self.capacity(_CONCATENATION_OCTETS[mode])
        if self.alphabet is _GSM7:
            return septet_ends(self.octets, limit)
        if self.alphabet is _UCS2:
            return ucs2.pair_ends(self.octets, limit)
        return [*range(limit, len(self.octets), limit), len(self.octets)]


def _segment_other(text: str, options: TextOptions) -> SegmentedText:
    """A text outside the default alphabet, or for a link without it."""
    symbols = len(text)
    gsm7 = options.gsm7
    encoded = _with_national_shift(text, options) if gsm7 else None
    if encoded is None and options.latin1:
        encoded = _in_latin1(text, options)
    if encoded is None and gsm7 and options.transliterate and (octets := GSM7.encode(to_gsm7(text) or "")):
        encoded = _Encoded(_GSM7, options.gsm7_data_coding, symbols, octets)
    if encoded is None:
        encoded = _Encoded(_UCS2, options.ucs2_data_coding, symbols, ucs2.encode(text))
    return _divide(encoded, options)


def _with_national_shift(text: str, options: TextOptions) -> _Encoded | None:
    """The text in the first language that holds it: single shift, unless locking saves a segment."""
    for language in options.national_shift:
        fitting = [
            _Encoded(_GSM7, options.gsm7_data_coding, len(text), octets, tables.elements)
            for tables in LANGUAGES[language]
            if (octets := tables.alphabet.encode(text)) is not None
        ]
        if fitting:
            return min(fitting, key=lambda encoded: len(encoded.ends(options.long_messages)))
    return None


def _in_latin1(text: str, options: TextOptions) -> _Encoded | None:
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        return None
    return _Encoded(_LATIN1, options.latin1_data_coding, len(text), octets)


def _divide(encoded: _Encoded, options: TextOptions) -> SegmentedText:
    """Cuts an encoded text, or says that it is too long."""
    mode = options.long_messages
    octets = encoded.octets
    ends = encoded.ends(mode) if octets else []
    if len(ends) > options.max_segments:
        raise TooManySegmentsError(
            alphabet=encoded.alphabet,
            symbols=encoded.symbols,
            units=encoded.units,
            parts=len(ends),
            max_segments=options.max_segments,
        )
    long = len(ends) > 1
    if long and mode == "payload":
        ends = [len(octets)]
    elif long and encoded.alphabet is _UCS2:
        ends = ucs2.character_ends(octets, encoded.capacity(_CONCATENATION_OCTETS[mode]))
    bodies = tuple(octets[start:end] for start, end in zip([0, *ends], ends, strict=False))
    return SegmentedText(
        encoded.alphabet,
        encoded.data_coding,
        encoded.symbols,
        encoded.units,
        bodies,
        mode if long else "",
        encoded.shift_elements,
    )


__all__ = [
    "DEFAULT_OPTIONS",
    "Alphabet",
    "LongMessages",
    "SegmentedText",
    "TextError",
    "TextOptions",
    "TooManySegmentsError",
    "segment",
]
