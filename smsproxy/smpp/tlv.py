"""Optional parameters (SMPP v3.4 §5.3): tag, length, value, at the end of a PDU.

Values stay raw octets; a reader asks for the type it expects and gets None when the length is wrong. A TLV
that is unknown, cut short or of a wrong length never spoils the PDU around it. Called by the codec, the
receipt parser and whoever builds a submit_sm.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from smsproxy.smpp.constants import TLV_SAR_MSG_REF_NUM, TLV_SAR_SEGMENT_SEQNUM, TLV_SAR_TOTAL_SEGMENTS

_TAG_LENGTH = struct.Struct(">HH")
_SAR = struct.Struct(">HHHHHBHHB")
_unpack_tag_length = _TAG_LENGTH.unpack_from


def parse_tlvs(data: bytes, start: int) -> dict[int, bytes]:
    """The TLVs from `start` to the end. A cut one is dropped; of a repeated tag the last counts."""
    end = len(data)
    tlvs: dict[int, bytes] = {}
    while start + 4 <= end:
        tag, length = _unpack_tag_length(data, start)
        start += 4
        stop = start + length
        if stop > end:
            break
        tlvs[tag] = data[start:stop]
        start = stop
    return tlvs


def encode_tlvs(tlvs: Mapping[int, bytes]) -> bytes:
    """The octets of `tlvs`, in their order. Raises ValueError for a tag or a length over two octets."""
    parts = []
    for tag, value in tlvs.items():
        if not 0 <= tag <= 0xFFFF:
            raise ValueError(f"TLV tag {tag:#x} does not fit two octets")
        if len(value) > 0xFFFF:
            raise ValueError(f"TLV 0x{tag:04X} has {len(value)} octets, at most 65535 fit")
        parts.append(_TAG_LENGTH.pack(tag, len(value)))
        parts.append(value)
    return b"".join(parts)


def sar_tlvs(concat_ref: int, total_segments: int, segment_no: int) -> bytes:
    """The three TLVs that join segments without a UDH (§5.3.2.22 to §5.3.2.24), encoded."""
    try:
        return _SAR.pack(
            TLV_SAR_MSG_REF_NUM, 2, concat_ref,
            TLV_SAR_TOTAL_SEGMENTS, 1, total_segments,
            TLV_SAR_SEGMENT_SEQNUM, 1, segment_no,
        )  # fmt: skip
    except struct.error as error:
        raise ValueError(
            f"sar TLVs out of range: ref {concat_ref}, segment {segment_no} of {total_segments}"
        ) from error


def read_sar(tlvs: Mapping[int, bytes]) -> tuple[int, int, int] | None:
    """(concat_ref, total_segments, segment_no) of the same three TLVs; None unless all are there."""
    concat_ref = int_tlv(tlvs, TLV_SAR_MSG_REF_NUM, 2)
    total = int_tlv(tlvs, TLV_SAR_TOTAL_SEGMENTS)
    segment_no = int_tlv(tlvs, TLV_SAR_SEGMENT_SEQNUM)
    if concat_ref is None or total is None or segment_no is None:
        return None
    return concat_ref, total, segment_no


def int_tlv(tlvs: Mapping[int, bytes], tag: int, octets: int = 1) -> int | None:
    """The number in a TLV, or None when it is absent or not `octets` long."""
    value = tlvs.get(tag)
    if value is None or len(value) != octets:
        return None
    return int.from_bytes(value, "big")


def text_tlv(tlvs: Mapping[int, bytes], tag: int) -> str:
    """The text of a C-octet string TLV up to its NUL; a missing NUL costs no character. Empty when absent."""
    value = tlvs.get(tag)
    if value is None:
        return ""
    return value.partition(b"\0")[0].decode("latin-1")
