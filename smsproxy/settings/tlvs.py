"""links.N.tlvs: constant TLVs that a vendor wants on every submit_sm.

Keys are hexadecimal tags (``0x1400``). Values: an integer (1, 2 or 4 octets, big-endian, the shortest that
holds it), text (Latin-1, no zero added), or ``hex:0A0B`` for exact octets. Who reads it: links.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, PlainValidator

_TAG = re.compile(r"(0x)?([0-9A-Fa-f]{4})")
_VALUE_MAX = 255  # constants are short, and every one rides on each PDU
_COUNT_MAX = 16
_OURS = {0x020C: "sar_msg_ref_num", 0x020E: "sar_total_segments", 0x020F: "sar_segment_seqnum",
         0x0424: "message_payload", 0x0204: "user_message_reference"}  # fmt: skip


def parse_tag(value: object) -> int:
    """A tag from its TOML key. Raises ValueError."""
    match = _TAG.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a TLV's tag is four hexadecimal digits: 0x1400")
    tag = int(match[2], 16)
    if tag in _OURS:
        raise ValueError(f"{_OURS[tag]} is set by the gateway itself")
    return tag


def parse_value(value: object) -> bytes:
    """A TLV's octets. Raises ValueError."""
    if isinstance(value, bytes):
        octets = value
    elif isinstance(value, str):
        octets = _text_octets(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        octets = _integer_octets(value)
    else:
        raise ValueError("must be an integer, text, or hex:0A0B")
    if len(octets) > _VALUE_MAX:
        raise ValueError(f"has {len(octets)} octets; a constant has at most {_VALUE_MAX}")
    return octets


def _text_octets(text: str) -> bytes:
    if text.startswith("hex:"):
        try:
            return bytes.fromhex(text.removeprefix("hex:"))
        except ValueError:
            raise ValueError("hex: is followed by pairs of hexadecimal digits") from None
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("must be Latin-1: one octet a character on the wire") from None


def _integer_octets(number: int) -> bytes:
    for size in (1, 2, 4):
        if 0 <= number < 1 << (8 * size):
            return number.to_bytes(size, "big")
    raise ValueError("must be 0 to 4294967295")


Tlvs = Annotated[
    dict[Annotated[int, PlainValidator(parse_tag)], Annotated[bytes, PlainValidator(parse_value)]],
    Field(max_length=_COUNT_MAX),
]
"""tag -> octets"""
