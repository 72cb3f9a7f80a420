"""National language shift tables of 3GPP TS 23.038 Annex A: Turkish, Spanish, Portuguese.

A single shift table replaces the extension table, a locking shift table the basic one. Which are in force is
said by information elements in the user data header (TS 23.040 §9.2.3.24.15, .16) of every segment, so a
language costs header octets even in a single segment. Off by default; a link lists the languages its SMSC
passes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smsproxy.text.gsm7 import BASIC, EXTENSION, SeptetAlphabet

SINGLE_SHIFT_IEI = 0x24
LOCKING_SHIFT_IEI = 0x25


def _replaced(basic: str, changes: Mapping[int, str]) -> str:
    """A basic table with some positions changed."""
    return "".join(changes.get(code, char) for code, char in enumerate(basic))


# Annex A.2: what each single shift table adds to (or puts in place of) the default extension table.
_TURKISH_SINGLE = {**EXTENSION, 0x47: "Ğ", 0x49: "İ", 0x53: "Ş", 0x63: "ç", 0x67: "ğ", 0x69: "ı", 0x73: "ş"}
_SPANISH_SINGLE = {
    **EXTENSION,
    0x09: "ç", 0x41: "Á", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x61: "á", 0x69: "í", 0x6F: "ó", 0x75: "ú",
}  # fmt: skip
_PORTUGUESE_SINGLE = {
    **EXTENSION,
    0x05: "ê", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á",
    0x12: "Φ", 0x13: "Γ", 0x15: "Ω", 0x16: "Π", 0x17: "Ψ", 0x18: "Σ", 0x19: "Θ", 0x1F: "Ê",
    0x41: "À", 0x49: "Í", 0x4F: "Ó", 0x55: "Ú", 0x5B: "Ã", 0x5C: "Õ",
    0x61: "Â", 0x69: "í", 0x6F: "ó", 0x75: "ú", 0x7B: "ã", 0x7C: "õ", 0x7F: "â",
}  # fmt: skip

# Annex A.3: where each locking shift table differs from the default alphabet. Spanish has none.
_TURKISH_LOCKING = _replaced(
    BASIC,
    {0x04: "€", 0x07: "ı", 0x0B: "Ğ", 0x0C: "ğ", 0x1C: "Ş", 0x1D: "ş", 0x40: "İ", 0x60: "ç"},
)
_PORTUGUESE_LOCKING = _replaced(
    BASIC,
    {
        0x04: "ê", 0x06: "ú", 0x07: "í", 0x08: "ó", 0x09: "ç", 0x0B: "Ô", 0x0C: "ô", 0x0E: "Á", 0x0F: "á",
        0x12: "ª", 0x13: "Ç", 0x14: "À", 0x15: "∞", 0x16: "^", 0x17: "\\", 0x18: "€", 0x19: "Ó", 0x1A: "|",
        0x1C: "Â", 0x1D: "â", 0x1E: "Ê", 0x24: "º", 0x40: "Í",
        0x5B: "Ã", 0x5C: "Õ", 0x5D: "Ú", 0x60: "~", 0x7B: "ã", 0x7C: "õ", 0x7D: "`",
    },
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShiftTables:
    """Tables in force for a message, and the header elements that say so to the handset."""

    alphabet: SeptetAlphabet
    elements: bytes
    """Information elements, without the length octet of the header they go into."""


def _tables(code: int, single: Mapping[int, str], locking: str | None = None) -> ShiftTables:
    elements = bytes((SINGLE_SHIFT_IEI, 1, code))
    if locking is not None:
        elements += bytes((LOCKING_SHIFT_IEI, 1, code))
    return ShiftTables(SeptetAlphabet(locking or BASIC, single), elements)


LANGUAGES: Mapping[str, tuple[ShiftTables, ...]] = {
    "turkish": (_tables(1, _TURKISH_SINGLE), _tables(1, _TURKISH_SINGLE, _TURKISH_LOCKING)),
    "spanish": (_tables(2, _SPANISH_SINGLE),),
    "portuguese": (_tables(3, _PORTUGUESE_SINGLE), _tables(3, _PORTUGUESE_SINGLE, _PORTUGUESE_LOCKING)),
}
"""What a language offers, cheapest header first: single shift, then locking and single shift together."""
