"""PDU values to octets and back (SMPP v3.4 §3, §4), for both sides of a session.

`encode` and `decode` read the layouts; three PDUs that come with every message have a way of their own:
deliver_sm and submit_sm are decoded, and deliver_sm_resp is built, by hand-written code that tests hold equal
to the layouts. Single fields are the matter of `fields`.
Called by the session and the simulator; submit_sm bodies of the hot path are built in `submit`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from smsproxy.domain.address import Address
from smsproxy.smpp.constants import (
    DELIVER_SM,
    ESME_RINVCMDLEN,
    RESPONSE_BIT,
    SUBMIT_SM,
    SUBMIT_SM_RESP,
    command_name,
)
from smsproxy.smpp.errors import BadPduError, FramingLostError
from smsproxy.smpp.fields import ENCODERS, FieldError, FieldReader
from smsproxy.smpp.framing import HEADER_OCTETS
from smsproxy.smpp.layouts import LAYOUTS, Layout
from smsproxy.smpp.pdu import DeliverSm, Pdu, SubmitSm, SubmitSmResp, UnknownPdu
from smsproxy.smpp.tlv import encode_tlvs, parse_tlvs

LONG_PASSWORD_OCTETS = 64
"""Some providers hand out passwords over the protocol's 8 octets; this is what we go along with."""

_HEADER = struct.Struct(">LLLL")
_DELIVERY_ANSWER = struct.Struct(">LLLLB")
_unpack_numbers = struct.Struct(">10B").unpack_from
_new = tuple.__new__  # half the price of a NamedTuple's own constructor
unpack_header = _HEADER.unpack_from
pack_header = _HEADER.pack


class Header(NamedTuple):
    """The sixteen octets before the body (§3.2)."""

    command_length: int
    command_id: int
    command_status: int
    sequence_number: int


# --- decode ----------------------------------------------------------------------------------------------


def decode(frame: bytes) -> tuple[Header, Pdu]:
    """One whole PDU as its header and value.

    Raises BadPduError when the mandatory part of a request cannot be read, FramingLostError when `frame` is
    no PDU at all. Responses, a last text without its NUL and TLVs are read leniently.
    """
    if len(frame) < HEADER_OCTETS:
        raise FramingLostError(f"{len(frame)} octets are no PDU")
    header = _new(Header, unpack_header(frame))
    command_length, command_id, _, _ = header
    if command_length != len(frame):
        raise _bad(header, ESME_RINVCMDLEN, f"command_length {command_length}, frame of {len(frame)} octets")
    fast = _FAST.get(command_id)
    if fast is not None:
        return header, fast(frame, header)
    layout = LAYOUTS.get(command_id)
    if layout is None:
        return header, UnknownPdu(command_id, frame[HEADER_OCTETS:])
    return header, decode_by_layout(frame, header, layout)


def decode_message_id(frame: bytes) -> str:
    """The message_id of a submit_sm_resp (§4.4.2), with or without its NUL; empty when there is no body."""
    end = frame.find(0, HEADER_OCTETS)
    return (frame[HEADER_OCTETS:] if end < 0 else frame[HEADER_OCTETS:end]).decode("latin-1")


def _decode_submit_sm_resp(frame: bytes, _header: Header) -> SubmitSmResp:
    end = frame.find(0, HEADER_OCTETS)
    if end < 0:
        return SubmitSmResp(frame[HEADER_OCTETS:].decode("latin-1"), {})
    tlvs = parse_tlvs(frame, end + 1) if end + 1 < len(frame) else {}
    return SubmitSmResp(frame[HEADER_OCTETS:end].decode("latin-1"), tlvs)


def _decode_short_message(frame: bytes, header: Header) -> Pdu:
    """deliver_sm and submit_sm without dates (§4.6.1, §4.4.1). Others, and cut ones, go by their layout."""
    index = frame.index
    try:
        service_end = index(0, HEADER_OCTETS)
        source = service_end + 3
        source_end = index(0, source)
        dest = source_end + 3
        dest_end = index(0, dest)
        numbers = _unpack_numbers(frame, dest_end + 1)
    except (ValueError, struct.error):
        return decode_by_layout(frame, header, LAYOUTS[header.command_id])
    esm_class, pid, priority, schedule, validity, registered, replace, coding, default_id, length = numbers
    text = dest_end + 11
    text_end = text + length
    if schedule or validity or text_end > len(frame):
        return decode_by_layout(frame, header, LAYOUTS[header.command_id])
    return (DeliverSm if header[1] == DELIVER_SM else SubmitSm)(
        frame[HEADER_OCTETS:service_end].decode("latin-1") if service_end > HEADER_OCTETS else "",
        _new(Address, (frame[source - 2], frame[source - 1], frame[source:source_end].decode("latin-1"))),
        _new(Address, (frame[dest - 2], frame[dest - 1], frame[dest:dest_end].decode("latin-1"))),
        esm_class,
        pid,
        priority,
        "",
        "",
        registered,
        replace,
        coding,
        default_id,
        frame[text:text_end],
        parse_tlvs(frame, text_end),
    )


_FAST: dict[int, Callable[[bytes, Header], Pdu]] = {
    SUBMIT_SM_RESP: _decode_submit_sm_resp,
    DELIVER_SM: _decode_short_message,
    SUBMIT_SM: _decode_short_message,
}


def decode_by_layout(frame: bytes, header: Header, layout: Layout) -> Pdu:
    """Any PDU, as its layout says. Raises BadPduError as `decode` does."""
    reader = FieldReader(frame, lenient=bool(header.command_id & RESPONSE_BIT))
    try:
        values = [reader.read(field) for field in layout.fields]
    except FieldError as error:
        raise _bad(header, error.command_status, str(error)) from None
    if layout.has_tlvs:
        values.append(parse_tlvs(frame, reader.position))
    return layout.make(*values)


def _bad(header: Header, command_status: int, reason: str) -> BadPduError:
    text = f"{command_name(header.command_id)}: {reason}"
    return BadPduError(header.command_id, header.sequence_number, command_status, text)


# --- encode ----------------------------------------------------------------------------------------------


def encode(
    pdu: Pdu, sequence_number: int, command_status: int = 0, *, allow_long_password: bool = False
) -> bytes:
    """The octets of a PDU. Raises ValueError naming the field that does not fit; nothing is ever cut.

    A response with an error status and blank fields goes without a body, as §4.4.2 wants it.
    """
    body = encode_body(pdu, allow_long_password=allow_long_password)
    command_id = pdu.command_id
    if command_status and not body.strip(b"\0"):
        layout = LAYOUTS.get(command_id)
        if layout is not None and layout.empty_on_error:
            body = b""
    try:
        return pack_header(HEADER_OCTETS + len(body), command_id, command_status, sequence_number) + body
    except struct.error as error:
        raise ValueError(f"status {command_status} or sequence {sequence_number} out of range") from error


def encode_body(pdu: Pdu, *, allow_long_password: bool = False) -> bytes:
    """Everything after the header. Raises ValueError as `encode` does."""
    if isinstance(pdu, UnknownPdu):
        return pdu.body
    parts = []
    for name, encode_field, max_octets in _BUILDERS[pdu.command_id]:
        if allow_long_password and name == "password":
            max_octets = LONG_PASSWORD_OCTETS
        parts.append(encode_field(name, getattr(pdu, name), max_octets))
    tlvs = getattr(pdu, "tlvs", None)
    if tlvs:
        parts.append(encode_tlvs(tlvs))
    return b"".join(parts)


def encode_delivery_answer(command_id: int, sequence_number: int, command_status: int) -> bytes:
    """deliver_sm_resp or data_sm_resp with the empty message_id that every status may carry (§4.6.2)."""
    return _DELIVERY_ANSWER.pack(HEADER_OCTETS + 1, command_id, command_status, sequence_number, 0)


_BUILDERS = {
    command_id: tuple((field.name, ENCODERS[field.shape], field.max_octets) for field in layout.fields)
    for command_id, layout in LAYOUTS.items()
}
